"""Gymnasium's Hopper, Walker2d, HalfCheetah and Swimmer (v5): forward quickly, with little effort."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from nf_envs.base import Rng
from nf_envs.mujoco import names
from nf_envs.mujoco.gymnasiums import ASSETS
from nf_envs.mujoco.picture import View
from nf_envs.mujoco.task import MujocoTask
from nf_envs.randomness import normal


class Runner(MujocoTask):
    """Reward: the velocity forward, less the cost of the action, and a bonus while healthy.

    Attributes:
        effort: Cost of the squared action.
        bonus: For each step in which it is healthy.
        unseen: Number of positions left out of the observation.
        velocity_limit: At which observed velocities are clipped.
    """

    effort: ClassVar[float] = 1e-3
    bonus: ClassVar[float] = 0.0
    unseen: ClassVar[int] = 1
    velocity_limit: ClassVar[float] = math.inf
    view = View(width=4.0, centre=(0.0, 0.75), follow=True)

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        first = self.mj.nq - self.unseen
        self.velocities = tuple(range(first, first + self.mj.nv))
        self.observation_names = names.positions(self.mj)[self.unseen :] + names.velocities(self.mj)

    def observation(self, state: Any, rng: Rng = (), params: Any = None) -> Tensor:  # noqa: D102
        limit = self.velocity_limit
        return torch.cat((state.qpos[:, self.unseen :], state.qvel.clip(-limit, limit)), dim=-1)

    def reward(self, state: Any, action: Tensor, next_state: Any, rng: Rng = (), params: Any = None) -> Tensor:  # noqa: D102
        forward = (next_state.qpos[:, 0] - state.qpos[:, 0]) / self.dt
        return forward + self.bonus * self.healthy(next_state) - self.effort * action.double().square().sum(-1)

    def terminal(self, state: Any, rng: Rng = (), params: Any = None) -> Tensor:  # noqa: D102
        return ~self.healthy(state)

    def healthy(self, state: Any) -> Tensor:
        """Whether it has not fallen, (n,) bool; it cannot, by default."""
        return torch.ones(len(state.qpos), dtype=torch.bool)


class Hopper(Runner):
    """Hop on one leg."""

    model = ASSETS / "hopper.xml"
    frame_skip = 4
    start_noise = 5e-3
    bonus = 1.0
    velocity_limit = 10.0
    twin = "Hopper-v5"

    def healthy(self, state: Any) -> Tensor:
        """High enough, nearly upright, and within bounds."""
        bounded = (torch.cat((state.qpos[:, 2:], state.qvel), dim=-1).abs() < 100).all(-1)
        return bounded & (state.qpos[:, 1] > 0.7) & (state.qpos[:, 2].abs() < 0.2)


class Walker2d(Runner):
    """Walk on two legs."""

    model = ASSETS / "walker2d_v5.xml"
    frame_skip = 4
    start_noise = 5e-3
    bonus = 1.0
    velocity_limit = 10.0
    twin = "Walker2d-v5"

    def healthy(self, state: Any) -> Tensor:
        """At the height of a walker, and not bent too far."""
        z, angle = state.qpos[:, 1], state.qpos[:, 2]
        return (z > 0.8) & (z < 2.0) & (angle.abs() < 1.0)


class HalfCheetah(Runner):
    """Run on a front leg and a hind leg; it starts with normal velocities."""

    model = ASSETS / "half_cheetah.xml"
    frame_skip = 5
    start_noise = 0.1
    effort = 0.1
    twin = "HalfCheetah-v5"
    view = View(width=4.0, centre=(0.0, 0.5), follow=True)

    def start(self, u: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        qpos, _ = super().start(u)
        return qpos, self.start_noise * normal(u[:, self.mj.nq : self.mj.nq + self.mj.nv])


class Swimmer(Runner):
    """Swim with two joints in a viscous fluid."""

    model = ASSETS / "swimmer.xml"
    frame_skip = 4
    start_noise = 0.1
    effort = 1e-4
    unseen = 2
    twin = "Swimmer-v5"
    view = View(above=True, width=6.0, centre=(0.0, 0.0), follow=True)
