"""Small robots that neural-field policies were first used on, as simulated by SimuRLacra (Muratore 2020)."""

from nf_envs.robots.ball_balancer import BallBalancer
from nf_envs.robots.ball_on_beam import BallOnBeam
from nf_envs.robots.damped_pendulum import DampedPendulum
from nf_envs.robots.furuta import Furuta, furuta_balance, furuta_swing_up
from nf_envs.robots.motor_cart_pole import MotorCartPole, motor_cart_pole_balance, motor_cart_pole_swing_up
from nf_envs.robots.oscillator import OneMassOscillator

__all__ = [
    "BallBalancer",
    "BallOnBeam",
    "DampedPendulum",
    "Furuta",
    "MotorCartPole",
    "OneMassOscillator",
    "furuta_balance",
    "furuta_swing_up",
    "motor_cart_pole_balance",
    "motor_cart_pole_swing_up",
]
