"""Leave a valley by swinging, because the motor is too weak for the slope: Gymnasium's MountainCar-v0.

Reference: Moore (1990), Efficient memory-based learning for robot control, PhD thesis, University of Cambridge.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from nf_envs.base import Constant, Draws, Positive, Rng, Task, between, clipped


@dataclass(frozen=True)
class Constants:
    """In units of the task; time is counted in steps."""

    force: Positive = 0.001
    gravity: Positive = 0.0025
    speed_limit: Positive = 0.07
    least_position: Constant = -1.2
    greatest_position: Constant = 0.6
    goal_position: Constant = 0.5
    goal_velocity: Constant = 0.0
    start_low: Constant = -0.6
    start_high: Constant = -0.4


class State(NamedTuple):
    """Both (num_envs,)."""

    position: Tensor
    velocity: Tensor


class MountainCar(Task[State]):
    """Reward -1 per step until the car is at the goal."""

    constants = Constants
    observation_space = Box(np.array([-1.2, -0.07], dtype=np.float32), np.array([0.6, 0.07], dtype=np.float32))
    action_space = Discrete(3)
    observation_names = ("position [m]", "velocity [m/step]")
    action_names = ("push_left [{force} m/step^2]", "push_nothing [{force} m/step^2]", "push_right [{force} m/step^2]")
    draws = Draws(initial=1)
    velocities = (1,)
    still_action = 1
    fps = 30
    twin = "MountainCar-v0"

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """At rest near the bottom of the valley."""
        c = params or self.default_params
        return State(between(rng[0], c.start_low, c.start_high), torch.zeros_like(rng[0]))

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """Push left, not at all or right (0, 1, 2); the wall at the left stops the car."""
        c = params or self.default_params
        position, velocity = state
        velocity = velocity + (action.to(position) - 1) * c.force - torch.cos(3 * position) * c.gravity
        velocity = clipped(velocity, -c.speed_limit, c.speed_limit)
        position = clipped(position + velocity, c.least_position, c.greatest_position)
        return State(position, stop_at_wall(position, velocity, c.least_position))

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """The state."""
        return tuple(state)

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """-1 for every step."""
        return -torch.ones_like(next_state.position)

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Whether the car is at the goal, and fast enough."""
        c = params or self.default_params
        return (state.position >= c.goal_position) & (state.velocity >= c.goal_velocity)


def stop_at_wall(position: Tensor, velocity: Tensor, wall: Constant) -> Tensor:
    """The velocity after the wall at the left; all (num_envs,)."""
    return torch.where((position <= wall) & (velocity < 0), 0.0, velocity)
