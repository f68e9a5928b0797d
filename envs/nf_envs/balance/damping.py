"""Two poles without wiggling: Gruau's fitness, which shaking the cart does not earn.

Fitness after t steps, at most 1,000: 0.1 t / 1000 + 0.9 f, where f = 0 before 100 steps and else
0.75 / sum over the last 100 steps of (|x| + |x'| + |theta_1| + |theta_1'|).

Reference: Gruau, Whitley and Pyeatt (1996), A comparison between cellular encoding and direct encoding for genetic
neural networks, Genetic Programming 1996.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from nf_envs.balance.double_pole import Constants, DoublePole, balanced, both_poles, fallen, scaled
from nf_envs.base import Draws, Rng, Task
from nf_envs.drawing import Picture

WINDOW, HORIZON = 100, 1000


def damping_fitness(wiggles: Tensor) -> Tensor:
    """Gruau's fitness of episodes.

    Args:
        wiggles: |x| + |x'| + |theta_1| + |theta_1'| after each step of the episode. Shape: (time, ...).
    Returns: Fitness. Shape: (...).
    """
    t = len(wiggles)
    stable = 0.75 / wiggles[-WINDOW:].sum(0) if t >= WINDOW else torch.zeros_like(wiggles[0])
    return 0.1 * t / HORIZON + 0.9 * stable


def wiggle(state: Any) -> Tensor:
    """|x| + |x'| + |theta_1| + |theta_1'|. Shape: (num_envs,)."""
    return state.x.abs() + state.v.abs() + state.theta_1.abs() + state.omega_1.abs()


class State(NamedTuple):
    """All (num_envs,), except `wiggles`."""

    x: Tensor
    v: Tensor
    theta_1: Tensor
    omega_1: Tensor
    theta_2: Tensor
    omega_2: Tensor
    t: Tensor
    wiggles: Tensor
    """Of the last 100 steps, in a ring. Shape: (num_envs, 100)."""


_HIGH = np.full(6, 3, dtype=np.float32)


class DoublePoleDamping(Task[State]):
    """Rewards add up to the damping fitness: each is the change of one step."""

    constants = Constants
    observation_space = Box(-_HIGH, _HIGH)
    action_space = Box(-1, 1, (1,))
    observation_names = DoublePole.observation_names
    action_names = DoublePole.action_names
    draws = Draws(initial=1)
    velocities = (1, 3, 5)

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """The long pole at 0.07 rad, the rest 0: always the same."""
        c = params or self.default_params
        zero = torch.zeros_like(rng[0])
        ring = zero.unsqueeze(-1) + torch.zeros(WINDOW, dtype=zero.dtype, device=zero.device)
        return State(zero, zero, zero + c.theta_start, zero, zero, zero, zero, ring)

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """As `DoublePole`, with one more entry in the ring."""
        six = balanced(state, action, params or self.default_params)
        moved = State._make((*six, state.t + 1, state.wiggles))
        slots = torch.arange(WINDOW, device=state.t.device)
        here = slots == torch.remainder(state.t, WINDOW).unsqueeze(-1)
        return moved._replace(wiggles=torch.where(here, wiggle(moved).unsqueeze(-1), state.wiggles))

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """As `DoublePole`."""
        return scaled(state)

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """The fitness after the step minus the fitness before it."""
        return _so_far(next_state) - _so_far(state)

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Whether the cart or a pole is outside its limit."""
        return fallen(state, params or self.default_params)

    def picture(self, state: State, params: Constants | None = None) -> Picture:
        """Cart and poles."""
        return both_poles(state, params or self.default_params)


def _so_far(state: State) -> Tensor:
    total = state.wiggles.sum(-1)
    stable = torch.where(state.t >= WINDOW, 0.75 / total.clip(min=1e-12), 0.0)
    return 0.1 * state.t / HORIZON + 0.9 * stable
