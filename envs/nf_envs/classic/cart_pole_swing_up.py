"""Swing a hanging pole up by moving the cart, and balance it: CartPole's physics with a continuous force.

The reward is that of the cart-pole swing-up of the DeepMind control suite (Tassa et al. 2018, arXiv:1801.00690) in
its simplest reading: how upright the pole is, times how near the cart is to the centre.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from nf_envs.base import Draws, NonNegative, Positive, Rng, Task, between
from nf_envs.classic.cart_pole import State
from nf_envs.drawing import Picture


@dataclass(frozen=True)
class Constants:
    """In kg, m, s, rad; `half_length` is the distance from the hinge to the pole's centre of mass."""

    gravity: Positive = 9.8
    cart_mass: Positive = 1.0
    pole_mass: Positive = 0.1
    half_length: Positive = 0.5
    force: Positive = 10.0
    hinge_friction: NonNegative = 0.001
    dt: Positive = 0.02
    x_limit: Positive = 2.4
    start: Positive = 0.05


_HIGH = np.array([4.8, 1, 1, 20, 40], dtype=np.float32)


class CartPoleSwingUp(Task[State]):
    """Reward (1 + cos theta) / 2 · cos(x / 2.4 · pi / 2) per step; ends where the cart leaves ±2.4 m."""

    constants = Constants
    observation_space = Box(-_HIGH, _HIGH)
    action_space = Box(-1, 1, (1,))
    observation_names = (
        "cart_position [m]",
        "pole_angle_cosine [1]",
        "pole_angle_sine [1]",
        "cart_velocity [m/s]",
        "pole_angular_velocity [rad/s]",
    )
    action_names = ("force [{force} N]",)
    draws = Draws(initial=4)
    velocities = (3, 4)

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """Everything within ±0.05 of hanging at rest in the centre."""
        c = params or self.default_params
        x, v, theta, omega = (between(rng[i], -c.start, c.start) for i in range(4))
        return State(x, v, theta + math.pi, omega)

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """One symplectic Euler step with a force of action times 10 N."""
        c = params or self.default_params
        x, v, theta, omega = state
        mass = c.cart_mass + c.pole_mass
        cos, sin = torch.cos(theta), torch.sin(theta)
        push = (action[..., 0] * c.force + c.pole_mass * c.half_length * omega**2 * sin) / mass
        friction = c.hinge_friction * omega / (c.pole_mass * c.half_length)
        angular = (c.gravity * sin - cos * push - friction) / (c.half_length * (4 / 3 - c.pole_mass * cos**2 / mass))
        v = v + c.dt * (push - c.pole_mass * c.half_length * angular * cos / mass)
        omega = omega + c.dt * angular
        return State(x + c.dt * v, v, theta + c.dt * omega, omega)

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """Position, cos and sin of the angle, and both velocities, within the bounds of the space."""
        x, v, theta, omega = state
        return x.clip(-4.8, 4.8), torch.cos(theta), torch.sin(theta), v.clip(-20, 20), omega.clip(-40, 40)

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """Between 0 and 1."""
        c = params or self.default_params
        near = torch.cos((next_state.x / c.x_limit).clip(-1, 1) * (math.pi / 2))
        return (1 + torch.cos(next_state.theta)) / 2 * near

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Whether the cart is outside its limit."""
        c = params or self.default_params
        return state.x.abs() > c.x_limit

    def picture(self, state: State, params: Constants | None = None) -> Picture:
        """Cart and pole."""
        c = params or self.default_params
        x, _, theta, _ = map(float, state)
        length = 2 * float(c.half_length)
        scene = Picture(width=5.4, height=3.0)
        scene.line((-2.7, 0), (2.7, 0), 0.02, "ground")
        scene.box((x, 0), (0.5, 0.25), "body")
        scene.line((x, 0), (x + length * math.sin(theta), length * math.cos(theta)), 0.09, "link")
        scene.disc((x, 0), 0.06, "joint")
        return scene
