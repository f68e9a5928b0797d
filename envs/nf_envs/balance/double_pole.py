"""Balance two poles of different length on one cart: neuroevolution's benchmark.

Reference: Gomez, Schmidhuber and Miikkulainen (2008), Journal of Machine Learning Research 9, section 5.1.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from nf_envs.balance.cart import Cart, Pole, advance
from nf_envs.balance.single_pole import poles_on_cart
from nf_envs.base import Draws, NonNegative, Positive, Rng, Task
from nf_envs.drawing import Picture

ANGLE_LIMIT = 0.628329
"""36 degrees, with the digits of the benchmark."""


@dataclass(frozen=True)
class Constants:
    """In kg, m, s, rad, N; 1 is the long pole, 2 the short one."""

    gravity: Positive = 9.8
    cart_mass: Positive = 1.0
    cart_friction: NonNegative = 5e-4
    mass_1: Positive = 0.1
    half_length_1: Positive = 0.5
    mass_2: Positive = 0.01
    half_length_2: Positive = 0.05
    hinge_friction: NonNegative = 2e-6
    force: Positive = 10.0
    dt: Positive = 0.02
    x_limit: Positive = 2.4
    theta_limit: Positive = ANGLE_LIMIT
    theta_start: Positive = 0.07


class State(NamedTuple):
    """All (num_envs,); an angle is 0 where its pole is upright."""

    x: Tensor
    v: Tensor
    theta_1: Tensor
    omega_1: Tensor
    theta_2: Tensor
    omega_2: Tensor


_HIGH = np.full(6, 3, dtype=np.float32)


class DoublePole(Task[State]):
    """Reward 1 per step until the cart leaves ±2.4 m or a pole ±36 degrees; solved by 100,000 steps."""

    constants = Constants
    observation_space = Box(-_HIGH, _HIGH)
    action_space = Box(-1, 1, (1,))
    observation_names = (
        "cart_position [2.4 m]",
        "cart_velocity [10 m/s]",
        "long_pole_angle [0.6283 rad]",
        "long_pole_angular_velocity [5 rad/s]",
        "short_pole_angle [0.6283 rad]",
        "short_pole_angular_velocity [16 rad/s]",
    )
    action_names = ("force [{force} N]",)
    draws = Draws(initial=1)
    velocities = (1, 3, 5)

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """The long pole at 0.07 rad, the rest 0: always the same."""
        c = params or self.default_params
        zero = torch.zeros_like(rng[0])
        return State(zero, zero, zero + c.theta_start, zero, zero, zero)

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """Two Runge-Kutta steps of 0.01 s with a force of action times 10 N."""
        return State(*balanced(state, action, params or self.default_params))

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """The state: x / 2.4, v / 10, angles / 0.628329, their velocities / 5 and / 16."""
        return scaled(state)

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """1 for every step."""
        return torch.ones_like(next_state.x)

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Whether the cart or a pole is outside its limit."""
        return fallen(state, params or self.default_params)

    def picture(self, state: State, params: Constants | None = None) -> Picture:
        """Cart and poles."""
        return both_poles(state, params or self.default_params)


def balanced(state: tuple[Tensor, ...], action: Tensor, c: Constants) -> tuple[Tensor, ...]:
    """The six variables after one action."""
    poles = [Pole(c.mass_1, c.half_length_1, c.hinge_friction), Pole(c.mass_2, c.half_length_2, c.hinge_friction)]
    cart = Cart(c.cart_mass, c.cart_friction, c.gravity)
    return advance(state[:6], c.force * action[..., 0], cart, poles, c.dt, substeps=2)


def scaled(state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The six variables as observed, within ±3."""
    scales = (2.4, 10, ANGLE_LIMIT, 5, ANGLE_LIMIT, 16)
    return tuple((entry / scale).clip(-3, 3) for entry, scale in zip(state[:6], scales, strict=True))


def fallen(state: tuple[Tensor, ...], c: Constants) -> Tensor:
    """Whether the cart or a pole is outside its limit. Shape: (num_envs,), bool."""
    return (state[0].abs() > c.x_limit) | (state[2].abs() > c.theta_limit) | (state[4].abs() > c.theta_limit)


def both_poles(state: tuple[Tensor, ...], c: Constants) -> Picture:
    """The picture of a state of numbers."""
    long = (float(state[2]), 2 * float(c.half_length_1))
    # The short pole would hide inside the long one: drawn three times as long.
    short = (float(state[4]), 6 * float(c.half_length_2))
    return poles_on_cart(float(state[0]), [short, long])
