"""Leave a valley with little fuel: Gymnasium's MountainCarContinuous-v0.

Gymnasium keeps the state of this task, and of no other, in float32. Its physics here is therefore float32, too.
"""

from dataclasses import dataclass

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from nf_envs.base import Constant, Draws, NonNegative, Positive, Rng, Task, between, clipped
from nf_envs.classic.mountain_car import State, stop_at_wall


@dataclass(frozen=True)
class Constants:
    """In units of the task; time is counted in steps."""

    power: Positive = 0.0015
    gravity: Positive = 0.0025
    speed_limit: Positive = 0.07
    least_position: Constant = -1.2
    greatest_position: Constant = 0.6
    goal_position: Constant = 0.45
    goal_velocity: Constant = 0.0
    goal_reward: Constant = 100.0
    fuel_weight: NonNegative = 0.1
    start_low: Constant = -0.6
    start_high: Constant = -0.4


class MountainCarContinuous(Task[State]):
    """Reward 100 at the goal, minus 0.1 action² per step."""

    constants = Constants
    observation_space = Box(np.array([-1.2, -0.07], dtype=np.float32), np.array([0.6, 0.07], dtype=np.float32))
    action_space = Box(-1, 1, (1,))
    observation_names = ("position [m]", "velocity [m/step]")
    action_names = ("force [{power} m/step^2]",)
    draws = Draws(initial=1)
    velocities = (1,)
    twin = "MountainCarContinuous-v0"
    fps = 30

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """At rest near the bottom of the valley."""
        c = params or self.default_params
        return State(between(rng[0], c.start_low, c.start_high), torch.zeros_like(rng[0]))

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """Push by the action; the wall at the left stops the car."""
        c = params or self.default_params
        position, velocity = state.position.float(), state.velocity.float()
        force = torch.clip(action[..., 0].float(), -1, 1)
        # The slope is the one double in Gymnasium's sum of floats.
        slope = (c.gravity * torch.cos((3 * position).double())).float()
        velocity = clipped(velocity + (force * c.power - slope), -c.speed_limit, c.speed_limit)
        position = clipped(position + velocity, c.least_position, c.greatest_position)
        velocity = stop_at_wall(position, velocity, c.least_position)
        return State(position.to(state.position), velocity.to(state.velocity))

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """The state."""
        return tuple(state)

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """100 at the goal, minus the fuel."""
        c = params or self.default_params
        fuel = c.fuel_weight * action[..., 0].to(next_state.position) ** 2
        return torch.where(self.terminal(next_state, (), c), c.goal_reward, 0.0).to(fuel) - fuel

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Whether the car is at the goal, and fast enough."""
        c = params or self.default_params
        return (state.position >= c.goal_position) & (state.velocity >= c.goal_velocity)
