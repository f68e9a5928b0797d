"""Keep a pole upright on a cart that is pushed left or right with full force: Gymnasium's CartPole-v1.

Reference: Barto, Sutton and Anderson (1983), IEEE Transactions on Systems, Man, and Cybernetics 13(5); the equations
are those of Florian (2007), Correct equations for the dynamics of the cart-pole system.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from nf_envs.base import Draws, Positive, Rng, Task, between


@dataclass(frozen=True)
class Constants:
    """In kg, m, s, rad; `half_length` is the distance from the hinge to the pole's centre of mass."""

    gravity: Positive = 9.8
    cart_mass: Positive = 1.0
    pole_mass: Positive = 0.1
    half_length: Positive = 0.5
    force: Positive = 10.0
    dt: Positive = 0.02
    x_limit: Positive = 2.4
    theta_limit: Positive = 12 * 2 * math.pi / 360
    start: Positive = 0.05


class State(NamedTuple):
    """All (num_envs,); theta is 0 where the pole is upright."""

    x: Tensor
    v: Tensor
    theta: Tensor
    omega: Tensor


_HIGH = np.array([4.8, np.inf, 24 * 2 * math.pi / 360, np.inf], dtype=np.float32)


class CartPole(Task[State]):
    """Reward 1 per step until the cart leaves ±2.4 m or the pole ±12 degrees."""

    constants = Constants
    observation_space = Box(-_HIGH, _HIGH)
    action_space = Discrete(2)
    observation_names = (
        "cart_position [m]",
        "cart_velocity [m/s]",
        "pole_angle [rad]",
        "pole_angular_velocity [rad/s]",
    )
    action_names = ("push_left [{force} N]", "push_right [{force} N]")
    draws = Draws(initial=4)
    velocities = (1, 3)
    twin = "CartPole-v1"

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """Everything within ±0.05."""
        c = params or self.default_params
        return State(*(between(rng[i], -c.start, c.start) for i in range(4)))

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """One explicit Euler step; action 0 pushes left, 1 right."""
        c = params or self.default_params
        x, v, theta, omega = state
        force = torch.where(action == 1, 1.0, -1.0).to(x) * c.force
        mass = c.cart_mass + c.pole_mass
        cos, sin = torch.cos(theta), torch.sin(theta)
        push = (force + c.pole_mass * c.half_length * omega**2 * sin) / mass
        angular = (c.gravity * sin - cos * push) / (c.half_length * (4 / 3 - c.pole_mass * cos**2 / mass))
        linear = push - c.pole_mass * c.half_length * angular * cos / mass
        return State(x + c.dt * v, v + c.dt * linear, theta + c.dt * omega, omega + c.dt * angular)

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """The state."""
        return tuple(state)

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """1 for every step, the last one too."""
        return torch.ones_like(next_state.x)

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Whether the cart or the pole is outside its limit."""
        c = params or self.default_params
        return (state.x.abs() > c.x_limit) | (state.theta.abs() > c.theta_limit)
