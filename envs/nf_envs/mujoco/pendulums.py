"""Gymnasium's InvertedPendulum and InvertedDoublePendulum (v5): balance a pole, or two in a row, on a cart."""

from typing import Any

import torch
from torch import Tensor

from nf_envs.base import Rng
from nf_envs.mujoco.gymnasiums import ASSETS
from nf_envs.mujoco.picture import View
from nf_envs.mujoco.task import MujocoTask
from nf_envs.randomness import normal


class InvertedPendulum(MujocoTask):
    """Balance a pole."""

    model = ASSETS / "inverted_pendulum.xml"
    frame_skip = 2
    start_noise = 0.01
    twin = "InvertedPendulum-v5"
    view = View(width=3.0, centre=(0.0, 0.3))

    def reward(self, state: Any, action: Tensor, next_state: Any, rng: Rng = (), params: Any = None) -> Tensor:  # noqa: D102
        return (~self.terminal(next_state)).double()

    def terminal(self, state: Any, rng: Rng = (), params: Any = None) -> Tensor:  # noqa: D102
        return ~torch.isfinite(self.observation(state)).all(-1) | (state.qpos[:, 1].abs() > 0.2)


class InvertedDoublePendulum(MujocoTask):
    """Balance two poles in a row; the observation ends with the force that keeps the cart on its rail."""

    model = ASSETS / "inverted_double_pendulum.xml"
    frame_skip = 5
    start_noise = 0.1
    reads = ("site_xpos", "qfrc_constraint")
    velocities = (5, 6, 7)
    observation_names = (
        "slider_position [m]",
        *(f"{joint}_angle_{function} [1]" for function in ("sine", "cosine") for joint in ("hinge", "hinge2")),
        "slider_velocity [m/s]",
        *(f"{joint}_angular_velocity [rad/s]" for joint in ("hinge", "hinge2")),
        "slider_constraint_force [N]",
    )
    twin = "InvertedDoublePendulum-v5"
    view = View(width=4.0, centre=(0.0, 0.6))

    def start(self, u: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        qpos, _ = super().start(u)
        return qpos, self.start_noise * normal(u[:, self.mj.nq : self.mj.nq + self.mj.nv])

    def observation(self, state: Any, rng: Rng = (), params: Any = None) -> Tensor:  # noqa: D102
        cart, poles = state.qpos[:, :1], state.qpos[:, 1:]
        bounded = (state.qvel.clip(-10, 10), state.qfrc_constraint[:, :1].clip(-10, 10))
        return torch.cat((cart, poles.sin(), poles.cos(), *bounded), dim=-1)

    def reward(self, state: Any, action: Tensor, next_state: Any, rng: Rng = (), params: Any = None) -> Tensor:  # noqa: D102
        x, _, y = next_state.site_xpos[:, 0].unbind(-1)  # of the tip
        _, first, second = next_state.qvel.unbind(-1)
        far, fast = 0.01 * x**2 + (y - 2) ** 2, 1e-3 * first**2 + 5e-3 * second**2
        return 10.0 * (y > 1) - far - fast

    def terminal(self, state: Any, rng: Rng = (), params: Any = None) -> Tensor:  # noqa: D102
        return state.site_xpos[:, 0, 2] <= 1
