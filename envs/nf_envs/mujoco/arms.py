"""Gymnasium's Reacher and Pusher (v5): bring the end of an arm to a goal, or an object with it."""

import math
from typing import Any

import torch
from torch import Tensor

from nf_envs.base import Draws, Rng
from nf_envs.mujoco import names
from nf_envs.mujoco.gymnasiums import ASSETS
from nf_envs.mujoco.picture import View
from nf_envs.mujoco.task import MujocoTask


class Reacher(MujocoTask):
    """Bring the tip of a flat arm to a goal, which differs in each episode."""

    model = ASSETS / "reacher.xml"
    frame_skip = 2
    reads = ("xpos",)
    velocities = (6, 7)
    observation_names = (
        *(f"joint{i}_angle_{function} [1]" for function in ("cosine", "sine") for i in (0, 1)),
        "target_x_position [m]",
        "target_y_position [m]",
        *(f"joint{i}_angular_velocity [rad/s]" for i in (0, 1)),
        "fingertip_from_target_x [m]",
        "fingertip_from_target_y [m]",
    )
    draws = Draws(10)
    twin = "Reacher-v5"
    view = View(above=True, width=0.9, centre=(0.0, 0.0))

    def start(self, u: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        radius, turn = 0.2 * u[:, 8:9].sqrt(), 2 * math.pi * u[:, 9:10]
        goal = torch.cat((radius * turn.cos(), radius * turn.sin()), dim=-1)  # uniform on a disc
        arm, speed = 0.2 * u[:, :2] - 0.1, 0.01 * u[:, 4:6] - 0.005
        return torch.cat((arm, goal), dim=-1), torch.cat((speed, torch.zeros_like(speed)), dim=-1)

    def observation(self, state: Any, rng: Rng = (), params: Any = None) -> Tensor:  # noqa: D102
        arm, goal = state.qpos[:, :2], state.qpos[:, 2:]
        return torch.cat((arm.cos(), arm.sin(), goal, state.qvel[:, :2], self.gap(state)[:, :2]), dim=-1)

    def reward(self, state: Any, action: Tensor, next_state: Any, rng: Rng = (), params: Any = None) -> Tensor:  # noqa: D102
        return -self.gap(next_state).norm(dim=-1) - action.double().square().sum(-1)

    def gap(self, state: Any) -> Tensor:
        """From the goal to the tip, (n, 3)."""
        return self.place(state, "fingertip") - self.place(state, "target")


class Pusher(MujocoTask):
    """Push a cylinder to a goal with an arm of seven joints."""

    model = ASSETS / "pusher_v5.xml"
    frame_skip = 5
    reads = ("xpos",)
    velocities = tuple(range(7, 14))
    draws = Draws(22 + 2 * 16)
    twin = "Pusher-v5"
    view = View(above=True, width=2.4, centre=(0.4, -0.2))

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        places = (f"{body}_{axis}_position [m]" for body in ("tips_arm", "object", "goal") for axis in "xyz")
        self.observation_names = (*names.positions(self.mj)[:7], *names.velocities(self.mj)[:7], *places)

    def start(self, u: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        qpos = torch.as_tensor(self.mj.qpos0).repeat(len(u), 1)
        # The first of sixteen random places that is not too near to the goal; nearly half of them are not.
        places = u[:, 22:].reshape(-1, 16, 2) * u.new_tensor([0.3, 0.4]) - u.new_tensor([0.3, 0.2])
        first = (places.norm(dim=-1) > 0.17).double().argmax(1)
        qpos[:, -4:-2] = places[torch.arange(len(u)), first]
        qpos[:, -2:] = 0
        qvel = 0.01 * u[:, : self.mj.nv] - 0.005
        qvel[:, -4:] = 0
        return qpos, qvel

    def observation(self, state: Any, rng: Rng = (), params: Any = None) -> Tensor:  # noqa: D102
        places = (self.place(state, name) for name in ("tips_arm", "object", "goal"))
        return torch.cat((state.qpos[:, :7], state.qvel[:, :7], *places), dim=-1)

    def reward(self, state: Any, action: Tensor, next_state: Any, rng: Rng = (), params: Any = None) -> Tensor:  # noqa: D102
        arm, thing, goal = (self.place(next_state, name) for name in ("tips_arm", "object", "goal"))
        near, far = (thing - arm).norm(dim=-1), (thing - goal).norm(dim=-1)
        return -far - 0.5 * near - 0.1 * action.double().square().sum(-1)
