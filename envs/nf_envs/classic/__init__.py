"""The classic control tasks of Gymnasium, step by step the same, and the cart-pole swing-up."""

from nf_envs.classic.acrobot import Acrobot
from nf_envs.classic.cart_pole import CartPole
from nf_envs.classic.cart_pole_swing_up import CartPoleSwingUp
from nf_envs.classic.mountain_car import MountainCar
from nf_envs.classic.mountain_car_continuous import MountainCarContinuous
from nf_envs.classic.pendulum import Pendulum

__all__ = ["Acrobot", "CartPole", "CartPoleSwingUp", "MountainCar", "MountainCarContinuous", "Pendulum"]
