"""Swing a pendulum up and hold it there with a weak motor: Gymnasium's Pendulum-v1."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from nf_envs.base import Draws, NonNegative, Positive, Rng, Task, between, clipped


@dataclass(frozen=True)
class Constants:
    """In kg, m, s, rad; the weights are those of the reward."""

    gravity: Positive = 10.0
    mass: Positive = 1.0
    length: Positive = 1.0
    dt: Positive = 0.05
    omega_limit: Positive = 8.0
    torque_limit: Positive = 2.0
    omega_weight: NonNegative = 0.1
    torque_weight: NonNegative = 0.001
    theta_start: Positive = math.pi
    omega_start: Positive = 1.0


class State(NamedTuple):
    """All (num_envs,); theta is 0 where the pendulum is upright, and is not wrapped."""

    theta: Tensor
    omega: Tensor


_HIGH = np.array([1, 1, 8], dtype=np.float32)


class Pendulum(Task[State]):
    """Reward -(theta² + 0.1 omega² + 0.001 torque²); no end but the time limit."""

    constants = Constants
    observation_space = Box(-_HIGH, _HIGH)
    action_space = Box(-2, 2, (1,))
    observation_names = ("angle_cosine [1]", "angle_sine [1]", "angular_velocity [rad/s]")
    action_names = ("torque [N m]",)
    draws = Draws(initial=2)
    velocities = (2,)
    twin = "Pendulum-v1"

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """Any angle, slow."""
        c = params or self.default_params
        return State(
            between(rng[0], -c.theta_start, c.theta_start),
            between(rng[1], -c.omega_start, c.omega_start),
        )

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """One symplectic Euler step."""
        c = params or self.default_params
        theta, omega = state
        torque = _torque(action, c)
        angular = 3 * c.gravity / (2 * c.length) * torch.sin(theta) + 3 / (c.mass * c.length**2) * torque
        omega = clipped(omega + angular * c.dt, -c.omega_limit, c.omega_limit)
        return State(theta + omega * c.dt, omega)

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """Cos and sin of the angle, and its velocity."""
        return torch.cos(state.theta), torch.sin(state.theta), state.omega

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """Minus the cost of the state before the step and of the torque."""
        c = params or self.default_params
        theta = torch.remainder(state.theta + math.pi, 2 * math.pi) - math.pi
        return -(theta**2 + c.omega_weight * state.omega**2 + c.torque_weight * _torque(action, c) ** 2)

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Never."""
        return torch.zeros_like(state.theta, dtype=torch.bool)


def _torque(action: Tensor, c: Constants) -> Tensor:
    return clipped(action[..., 0], -c.torque_limit, c.torque_limit)
