"""Swing a rod up and hold it there; full of friction, and it starts at rest.

Constants and reward: SimuRLacra (Muratore 2020), pendulum.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from nf_envs.base import Draws, NonNegative, Positive, Rng, Task
from nf_envs.drawing import Picture
from nf_envs.robots.rewards import angle_error, cost


@dataclass(frozen=True)
class Constants:
    """In kg, m, s, rad, Nm."""

    gravity: Positive = 9.81
    mass: Positive = 1.0
    length: Positive = 1.0
    damping: NonNegative = 0.05
    torque: Positive = 3.5
    dt: Positive = 0.02
    theta_limit: Positive = 4 * math.pi
    omega_limit: Positive = 4 * math.pi


class State(NamedTuple):
    """Both (num_envs,); theta is 0 where the rod hangs down, and is not wrapped."""

    theta: Tensor
    omega: Tensor


_HIGH = np.array([1, 1, 8 * math.pi], dtype=np.float32)


class DampedPendulum(Task[State]):
    """Reward exp(-((theta - pi)² + 1e-3 omega² + 1e-2 torque²)); ends beyond two turns."""

    constants = Constants
    observation_space = Box(-_HIGH, _HIGH)
    action_space = Box(-1, 1, (1,))
    observation_names = ("angle_sine [1]", "angle_cosine [1]", "angular_velocity [rad/s]")
    action_names = ("torque [{torque} N m]",)
    draws = Draws(initial=1)
    velocities = (2,)

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """Hanging at rest: always the same."""
        return State(torch.zeros_like(rng[0]), torch.zeros_like(rng[0]))

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """One symplectic Euler step with a torque of action times 3.5 Nm."""
        c = params or self.default_params
        weight = c.mass * c.gravity * c.length / 2 * torch.sin(state.theta)
        push = c.torque * action[..., 0] - weight - c.damping * state.omega
        omega = state.omega + c.dt * push / (c.mass * c.length**2 / 3)
        return State(state.theta + c.dt * omega, omega)

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """Sin and cos of the angle, and its velocity within the bounds of the space."""
        high = 8 * math.pi
        return torch.sin(state.theta), torch.cos(state.theta), state.omega.clip(-high, high)

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """Between 0 and 1, for the state before the step and the torque."""
        c = params or self.default_params
        values = (angle_error(state.theta, math.pi), state.omega, c.torque * action[..., 0])
        return torch.exp(-cost(values, (1.0, 1e-3, 1e-2)))

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Whether the rod has turned too far or is too fast."""
        c = params or self.default_params
        return (state.theta.abs() > c.theta_limit) | (state.omega.abs() > c.omega_limit)

    def energy(self, state: State, params: Constants | None = None) -> Tensor:
        """Of motion and height, in J. Shape: (num_envs,)."""
        c = params or self.default_params
        height = -c.length / 2 * torch.cos(state.theta)
        return c.mass * c.length**2 / 6 * state.omega**2 + c.mass * c.gravity * height

    def picture(self, state: State, params: Constants | None = None) -> Picture:
        """The rod."""
        c = params or self.default_params
        theta, length = float(state.theta), float(c.length)
        scene = Picture(width=3.0, height=2.6)
        scene.disc((0, length), 0.1, "goal")
        scene.line((0, 0), (length * math.sin(theta), -length * math.cos(theta)), 0.12, "link")
        scene.disc((0, 0), 0.05, "joint")
        return scene
