"""Bring a mass between springs to rest at a goal: linear, one degree of freedom.

Constants and reward: SimuRLacra (Muratore 2020), one-mass oscillator.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from gymnasium.spaces import Box
from torch import Tensor

from nf_envs.base import Constant, Draws, NonNegative, Positive, Rng, Task, between
from nf_envs.drawing import Picture
from nf_envs.robots.rewards import cost


@dataclass(frozen=True)
class Constants:
    """In kg, m, s, N."""

    mass: Positive = 1.0
    stiffness: Positive = 30.0
    damping: NonNegative = 0.5
    force: Positive = 30.0
    goal: Constant = 0.0
    dt: Positive = 0.02
    x_limit: Positive = 1.0
    v_limit: Positive = 10.0
    failure: NonNegative = 1000.0


class State(NamedTuple):
    """Both (num_envs,)."""

    x: Tensor
    v: Tensor


_HIGH = np.array([2, 20], dtype=np.float32)


class OneMassOscillator(Task[State]):
    """Reward -(10 (x - goal)² + 0.01 v² + 1e-6 F²); -1000 where the mass leaves ±1 m."""

    constants = Constants
    observation_space = Box(-_HIGH, _HIGH)
    action_space = Box(-1, 1, (1,))
    observation_names = ("position [m]", "velocity [m/s]")
    action_names = ("force [{force} N]",)
    draws = Draws(initial=2)
    velocities = (1,)

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """Far to the left, slow."""
        return State(between(rng[0], -0.75, -0.65), between(rng[1], -0.1, 0.1))

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """One symplectic Euler step with a force of action times 30 N."""
        c = params or self.default_params
        push = c.force * action[..., 0] - c.stiffness * state.x - c.damping * state.v
        v = state.v + c.dt * push / c.mass
        return State(state.x + c.dt * v, v)

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """The state, within the bounds of the space."""
        return state.x.clip(-2, 2), state.v.clip(-20, 20)

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """Minus the cost of the state before the step and of the force, and of failure."""
        c = params or self.default_params
        spent = cost((state.x - c.goal, state.v, c.force * action[..., 0]), (10.0, 0.01, 1e-6))
        return -spent - c.failure * self.terminal(next_state, (), c).to(spent)

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Whether the mass is too far or too fast."""
        c = params or self.default_params
        return (state.x.abs() > c.x_limit) | (state.v.abs() > c.v_limit)

    def energy(self, state: State, params: Constants | None = None) -> Tensor:
        """Of motion and spring, in J. Shape: (num_envs,)."""
        c = params or self.default_params
        return c.mass * state.v**2 / 2 + c.stiffness * state.x**2 / 2

    def picture(self, state: State, params: Constants | None = None) -> Picture:
        """Wall, spring, mass and goal."""
        c = params or self.default_params
        x, goal = float(state.x), float(c.goal)
        scene = Picture(width=3.0, height=1.2)
        scene.line((-1.4, -0.2), (1.4, -0.2), 0.02, "ground")
        scene.line((-1.35, -0.2), (-1.35, 0.35), 0.06, "ground")
        coils = 12
        step = (x - 0.15 + 1.35) / coils
        points = [(-1.35 + i * step, 0.08 * (-1) ** i if 0 < i < coils else 0.0) for i in range(coils + 1)]
        for start, end in pairwise(points):
            scene.line(start, end, 0.02, "link")
        scene.line((goal, -0.3), (goal, 0.4), 0.02, "goal")
        scene.box((x, 0), (0.3, 0.36), "body")
        return scene
