"""A MuJoCo model as a `Task`: derive from `MujocoTask`, name the model, and write the reward.

The physics runs outside torch, on the CPU and in float64. It can be neither compiled nor moved to a GPU, and costs so
much that the vector view steps only the lanes whose episodes are under way.
"""

import collections
from pathlib import Path
from typing import Any, ClassVar

import mujoco
import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from nf_envs.base import Draws, Rng, Task
from nf_envs.drawing import Picture
from nf_envs.mujoco import names
from nf_envs.mujoco.factors import Factors, scaled_fields
from nf_envs.mujoco.picture import View, picture_of
from nf_envs.mujoco.simulator import Simulator, load_model


class MujocoTask(Task[Any]):
    """A task on an MJCF model.

    A state has `qpos` (n, nq), `qvel` (n, nv), the fields named in `reads` (n, ...), and `row`, from which MuJoCo
    continues. All are float64.

    Attributes:
        model: Path of an MJCF file, or its text.
        frame_skip: MuJoCo's steps per action.
        reads: Fields of mjData that `observation`, `reward` or `terminal` look at, such as "xpos" or "sensordata". As
            after mj_step, they belong to the state before its last step.
        start_noise: Every entry of qpos and qvel starts this far around the model's own, uniformly.
        constants: Factors on the model's values, or a dataclass of your own with a `model_fields` that reads it.
        velocities: Indices of the observation's velocities, where `observation` is your own.
        view: How pictures are drawn.
    """

    model: ClassVar[str | Path]
    frame_skip: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ()
    start_noise: ClassVar[float] = 0.0
    view: ClassVar[View] = View()
    constants: type[Any] = Factors
    compilable = False

    def __init__(self, params: Any = None) -> None:
        self.default_params = self.constants()
        self.mj = load_model(self.model)
        self.simulator = Simulator(self.mj, self.reads)
        self._state: Any = collections.namedtuple("State", ("row", "qpos", "qvel", *self.reads))  # type: ignore[misc]
        entries = [f"qpos{i}" for i in range(self.mj.nq)] + [f"qvel{i}" for i in range(self.mj.nv)]
        self._start: Any = collections.namedtuple("Start", entries)  # type: ignore[misc]
        self.draws = Draws(max(self.mj.nq + self.mj.nv, self.draws.initial), self.draws.transition)
        self.action_space = _action_space(type(self).__name__, self.mj)
        seen = self.observation(self.initial(torch.full((self.draws.initial, 1), 0.5, dtype=torch.float64).unbind()))
        self.observation_space = Box(-np.inf, np.inf, seen.shape[1:], np.float64)
        self.action_names = self.action_names or names.actions(self.mj)
        if type(self).observation is MujocoTask.observation:
            self.velocities = tuple(range(self.mj.nq, self.mj.nq + self.mj.nv))
            self.observation_names = names.positions(self.mj) + names.velocities(self.mj)
        super().__init__(params)

    @property
    def dt(self) -> float:
        """Seconds per step."""
        return float(self.mj.opt.timestep * self.frame_skip)

    @property
    def pictures_per_second(self) -> int:
        """One per step."""
        return max(1, round(1 / self.dt))

    def observation(self, state: Any, rng: Rng = (), params: Any = None) -> Tensor:
        """The positions and velocities of all joints. Shape: (n, size)."""
        return torch.cat((state.qpos, state.qvel), dim=-1)

    def reward(self, state: Any, action: Tensor, next_state: Any, rng: Rng = (), params: Any = None) -> Tensor:
        """The reward of a step, (n,); `action` is (n, nu)."""
        raise NotImplementedError(f"{type(self).__name__} has no reward.")

    def terminal(self, state: Any, rng: Rng = (), params: Any = None) -> Tensor:
        """Whether the episode is over, (n,) bool; by default it never is."""
        return torch.zeros(len(state.qpos), dtype=torch.bool)

    def start(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """The first positions (n, nq) and velocities (n, nv) from uniform numbers u (n, draws.initial) in [0, 1)."""
        around = self.start_noise * (2 * u[:, : self.mj.nq + self.mj.nv] - 1)
        return torch.as_tensor(self.mj.qpos0) + around[:, : self.mj.nq], around[:, self.mj.nq :]

    def model_fields(self, params: Any) -> dict[str, np.ndarray]:
        """Fields of mjModel and mjOption that the constants change: one value for all lanes, or one each (n, ...)."""
        return scaled_fields(self.mj, params)

    def initial(self, rng: Rng, params: Any = None) -> Any:
        """The state of a new episode."""
        numbers = torch.stack(tuple(rng)[: self.draws.initial], dim=-1).double()
        return self._placed(*self.start(numbers), params)

    def begin(self, physical: Any, rng: Rng, params: Any = None) -> Any:
        """The state of an episode that starts from given positions and velocities, a tuple of (n,)."""
        numbers = torch.stack(tuple(physical), dim=-1).double()
        return self._placed(numbers[:, : self.mj.nq], numbers[:, self.mj.nq :], params)

    def physical(self, state: Any) -> Any:
        """Positions and velocities, (n,) each."""
        return self._start(*state.qpos.unbind(-1), *state.qvel.unbind(-1))

    def transition(self, state: Any, action: Tensor, rng: Rng = (), params: Any = None) -> Any:
        """`frame_skip` steps of MuJoCo."""
        fields = self.model_fields(params or self.default_params)
        return self._of(*self.simulator.step(state.row.numpy(), action.numpy(), fields, self.frame_skip))

    def place(self, state: Any, body: str) -> Tensor:
        """Where a body is, (n, 3), for tasks that read "xpos"."""
        where: Tensor = state.xpos[:, self.mj.body(body).id]
        return where

    def features(self, state: Any, rng: Rng = (), params: Any = None) -> tuple[Tensor, ...]:
        """The entries of the observation, (n,) each."""
        return self.observation(state, rng, params).unbind(-1)

    def picture(self, state: Any, params: Any = None) -> Picture:
        """The model's shapes as lines and discs."""
        return picture_of(self.mj, np.asarray(state[: self.mj.nq]), self.view)

    def _placed(self, qpos: Tensor, qvel: Tensor, params: Any) -> Any:
        rows = np.repeat(self.simulator.first_row[None], len(qpos), axis=0)
        rows[:, 1 : 1 + self.mj.nq], rows[:, 1 + self.mj.nq :][:, : self.mj.nv] = qpos, qvel  # after the time
        if not self.reads:
            return self._of(rows)
        return self._of(*self.simulator.forward(rows, self.model_fields(params or self.default_params)))

    def _of(self, rows: np.ndarray, *read: np.ndarray) -> Any:
        row = torch.from_numpy(rows)
        qpos, qvel = row[:, 1 : 1 + self.mj.nq], row[:, 1 + self.mj.nq :][:, : self.mj.nv]
        return self._state(row, qpos, qvel, *map(torch.from_numpy, read))


def _action_space(name: str, model: mujoco.MjModel) -> Box:
    low, high = model.actuator_ctrlrange.astype(np.float32).T
    free = np.flatnonzero(low >= high)
    if not model.nu or len(free):
        which = f"actuator {free[0]} has no ctrlrange" if model.nu else "model has no actuators"
        raise ValueError(f"The {which}, so {name} has no actions: give each actuator a ctrlrange.")
    return Box(low, high, dtype=np.float32)
