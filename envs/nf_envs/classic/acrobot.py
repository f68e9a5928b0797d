"""Swing the tip of a two-link arm above a line with a motor at the elbow: Gymnasium's Acrobot-v1.

Reference: Sutton and Barto (2018), Reinforcement Learning, section 11.3 of the first edition; Sutton (1996), NeurIPS 8.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from nf_envs.base import Constant, Draws, Positive, Rng, Task, between, clipped
from nf_envs.integrators import Variables, rk4


@dataclass(frozen=True)
class Constants:
    """In kg, m, s, rad; 1 is the upper link, 2 the lower; `centre` is from its joint to its centre of mass."""

    gravity: Positive = 9.8
    length_1: Positive = 1.0
    mass_1: Positive = 1.0
    mass_2: Positive = 1.0
    centre_1: Positive = 0.5
    centre_2: Positive = 0.5
    inertia_1: Positive = 1.0
    inertia_2: Positive = 1.0
    torque: Positive = 1.0
    dt: Positive = 0.2
    omega_1_limit: Positive = 4 * math.pi
    omega_2_limit: Positive = 9 * math.pi
    goal_height: Constant = 1.0
    start: Positive = 0.1


class State(NamedTuple):
    """All (num_envs,); theta_1 is 0 where the upper link hangs down, theta_2 is relative to it."""

    theta_1: Tensor
    theta_2: Tensor
    omega_1: Tensor
    omega_2: Tensor


_HIGH = np.array([1, 1, 1, 1, 4 * math.pi, 9 * math.pi], dtype=np.float32)


class Acrobot(Task[State]):
    """Reward -1 per step until the tip is a link's length above the shoulder."""

    constants = Constants
    observation_space = Box(-_HIGH, _HIGH)
    action_space = Discrete(3)
    observation_names = (
        "joint_1_angle_cosine [1]",
        "joint_1_angle_sine [1]",
        "joint_2_angle_cosine [1]",
        "joint_2_angle_sine [1]",
        "joint_1_angular_velocity [rad/s]",
        "joint_2_angular_velocity [rad/s]",
    )
    action_names = ("torque_negative [{torque} N m]", "torque_zero [{torque} N m]", "torque_positive [{torque} N m]")
    draws = Draws(initial=4)
    velocities = (4, 5)
    still_action = 1
    twin = "Acrobot-v1"

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """Everything within ±0.1."""
        c = params or self.default_params
        return State(*(between(rng[i], -c.start, c.start) for i in range(4)))

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """One Runge-Kutta step of 0.2 s with torque -1, 0 or 1 (actions 0, 1, 2)."""
        c = params or self.default_params
        torque = (action.to(state.theta_1) - 1) * c.torque
        theta_1, theta_2, omega_1, omega_2 = rk4(lambda y: _rate(y, torque, c), state, c.dt)
        return State(
            _wrapped(theta_1),
            _wrapped(theta_2),
            clipped(omega_1, -c.omega_1_limit, c.omega_1_limit),
            clipped(omega_2, -c.omega_2_limit, c.omega_2_limit),
        )

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """Cos and sin of both angles, and their velocities."""
        one, two = state.theta_1, state.theta_2
        return torch.cos(one), torch.sin(one), torch.cos(two), torch.sin(two), state.omega_1, state.omega_2

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """-1, and 0 for the step that reaches the goal."""
        return torch.where(self.terminal(next_state, (), params), 0.0, -1.0).to(next_state.theta_1)

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Whether the tip is above the line; the height takes both links as 1 m long, as Gymnasium's does."""
        c = params or self.default_params
        return -torch.cos(state.theta_1) - torch.cos(state.theta_2 + state.theta_1) > c.goal_height


def _wrapped(angle: Tensor) -> Tensor:
    """The angle within [-pi, pi]."""
    turns = torch.ceil((angle.abs() - math.pi) / (2 * math.pi)).clip(min=0)
    return angle - torch.sign(angle) * turns * (2 * math.pi)


def _rate(y: Variables, torque: Tensor, c: Constants) -> Variables:
    """Time derivative of the state: the equations of the book, not of the NeurIPS paper."""
    theta_1, theta_2, omega_1, omega_2 = y
    cos, sin = torch.cos(theta_2), torch.sin(theta_2)
    coupling = c.mass_2 * c.length_1 * c.centre_2
    d1 = (
        c.mass_1 * c.centre_1**2
        + c.mass_2 * (c.length_1**2 + c.centre_2**2 + 2 * c.length_1 * c.centre_2 * cos)
        + c.inertia_1
        + c.inertia_2
    )
    d2 = c.mass_2 * (c.centre_2**2 + c.length_1 * c.centre_2 * cos) + c.inertia_2
    # cos(x - pi/2) = sin(x)
    phi_2 = c.mass_2 * c.centre_2 * c.gravity * torch.sin(theta_1 + theta_2)
    phi_1 = (
        -coupling * omega_2**2 * sin
        - 2 * coupling * omega_2 * omega_1 * sin
        + (c.mass_1 * c.centre_1 + c.mass_2 * c.length_1) * c.gravity * torch.sin(theta_1)
        + phi_2
    )
    angular_2 = (torque + d2 / d1 * phi_1 - coupling * omega_1**2 * sin - phi_2) / (
        c.mass_2 * c.centre_2**2 + c.inertia_2 - d2**2 / d1
    )
    angular_1 = -(d2 * angular_2 + phi_1) / d1
    return omega_1, omega_2, angular_1, angular_2
