"""Balance one pole on a cart with a continuous force: the easiest of neuroevolution's benchmarks.

Reference: Gomez, Schmidhuber and Miikkulainen (2008), Journal of Machine Learning Research 9, section 5.1.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from nf_envs.balance.cart import Cart, Pole, advance
from nf_envs.base import DEGREE, Draws, NonNegative, Positive, Rng, Task
from nf_envs.drawing import Picture


@dataclass(frozen=True)
class Constants:
    """In kg, m, s, rad, N."""

    gravity: Positive = 9.8
    cart_mass: Positive = 1.0
    cart_friction: NonNegative = 5e-4
    pole_mass: Positive = 0.1
    half_length: Positive = 0.5
    hinge_friction: NonNegative = 2e-6
    force: Positive = 10.0
    dt: Positive = 0.02
    x_limit: Positive = 2.4
    theta_limit: Positive = 12 * DEGREE
    theta_start: Positive = 0.07


class State(NamedTuple):
    """All (num_envs,); theta is 0 where the pole is upright."""

    x: Tensor
    v: Tensor
    theta: Tensor
    omega: Tensor


_HIGH = np.full(4, 3, dtype=np.float32)


class SinglePole(Task[State]):
    """Reward 1 per step until the cart leaves ±2.4 m or the pole ±12 degrees; solved by 100,000 steps."""

    constants = Constants
    observation_space = Box(-_HIGH, _HIGH)
    action_space = Box(-1, 1, (1,))
    observation_names = (
        "cart_position [2.4 m]",
        "cart_velocity [10 m/s]",
        "pole_angle [0.2094 rad]",
        "pole_angular_velocity [5 rad/s]",
    )
    action_names = ("force [{force} N]",)
    draws = Draws(initial=1)
    velocities = (1, 3)

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """The pole at 0.07 rad, the rest 0: always the same."""
        c = params or self.default_params
        zero = torch.zeros_like(rng[0])
        return State(zero, zero, zero + c.theta_start, zero)

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """Two Runge-Kutta steps of 0.01 s with a force of action times 10 N."""
        c = params or self.default_params
        pole = Pole(c.pole_mass, c.half_length, c.hinge_friction)
        cart = Cart(c.cart_mass, c.cart_friction, c.gravity)
        return State(*advance(state, c.force * action[..., 0], cart, [pole], c.dt, substeps=2))

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """The state, each entry scaled so that it stays near ±1."""
        scaled = state.x / 2.4, state.v / 10, state.theta / (12 * DEGREE), state.omega / 5
        return tuple(entry.clip(-3, 3) for entry in scaled)

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """1 for every step."""
        return torch.ones_like(next_state.x)

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Whether the cart or the pole is outside its limit."""
        c = params or self.default_params
        return (state.x.abs() > c.x_limit) | (state.theta.abs() > c.theta_limit)

    def picture(self, state: State, params: Constants | None = None) -> Picture:
        """Cart and pole."""
        c = params or self.default_params
        return poles_on_cart(float(state.x), [(float(state.theta), 2 * float(c.half_length))])


def poles_on_cart(x: float, poles: list[tuple[float, float]]) -> Picture:
    """A cart on its track with poles (angle, length), the first one in front."""
    scene = Picture(width=5.4, height=2.4, centre=(0.0, 0.5))
    scene.line((-2.4, -0.14), (2.4, -0.14), 0.02, "ground")
    scene.box((x, 0), (0.5, 0.25), "body")
    for theta, length in reversed(poles):
        scene.line((x, 0.1), (x + length * math.sin(theta), 0.1 + length * math.cos(theta)), 0.07, "link")
    scene.disc((x, 0.1), 0.05, "joint")
    return scene
