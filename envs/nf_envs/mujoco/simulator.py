"""Many simulations of one model, stepped by mjbatch on threads: rows of numbers in, rows of numbers out.

A row is MuJoCo's integration state, all that the next step depends on, so a simulation can be continued in any row of
any batch. Each call loads its rows, which costs little beside the physics.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import mjbatch
import mujoco
import numpy as np
import torch

Values = Mapping[str, np.ndarray]
"""Fields of mjModel or mjOption by name, one value for all simulations or one each (n, ...)."""

_DERIVE = {"body_mass", "body_inertia", "body_ipos", "body_pos", "dof_armature"}
"""Fields of the model from which MuJoCo derives others, as mj_setConst does."""


def load_model(model: str | Path) -> mujoco.MjModel:
    """The model of an MJCF file, or of a string that is one.

    Raises: ValueError if there is no such file, or it is no model.
    """
    try:
        if isinstance(model, str) and model.lstrip().startswith("<"):
            return mujoco.MjModel.from_xml_string(model)
        return mujoco.MjModel.from_xml_path(str(Path(model).expanduser()))
    except ValueError as error:
        raise ValueError(f"MuJoCo cannot read this model: {' '.join(str(error).split())}") from error


def threads() -> int:
    """As many as torch uses, and no more than there are cores for this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(torch.get_num_threads(), cores)


class Simulator:
    """Simulations of a model.

    Args:
        model: Not changed.
        reads: Fields of mjData to give out after each call, beside the rows.
    """

    def __init__(self, model: mujoco.MjModel, reads: Sequence[str] = ()) -> None:
        self.model, self.reads = model, tuple(reads)
        self.first_row = np.zeros(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(model, mujoco.MjData(model), self.first_row, mujoco.mjtState.mjSTATE_INTEGRATION)
        self._batch: mjbatch.Batch | None = None
        self._size = 0

    def step(self, rows: np.ndarray, controls: np.ndarray, values: Values, times: int) -> tuple[np.ndarray, ...]:
        """Take a number of MuJoCo's steps.

        Args:
            rows: Integration states (n, size), not modified.
            controls: (n, nu).
            values: Of the model's fields; those not named have the model's own.
            times: How many steps.
        Returns: New rows, and the fields that are read (n, ...); as after mj_step, the latter are those of the state
            before the last step.
        """
        ids = self._load(rows, values)
        self._controls[: len(rows)] = controls
        self._batch_of(len(rows)).step(ids, times)
        return self._out(len(rows))

    def forward(self, rows: np.ndarray, values: Values) -> tuple[np.ndarray, ...]:
        """As `step`, without one: the fields are those of the rows."""
        self._batch_of(len(rows)).forward(self._load(rows, values))
        return self._out(len(rows))

    def _batch_of(self, n: int) -> mjbatch.Batch:
        if self._batch is None or self._size < n:
            self._batch, self._size = mjbatch.Batch(self.model, n, threads()), n
            self._rows, self._controls = self._batch.bind("state"), self._batch.bind("ctrl")
            self._read = [self._batch.bind(name) for name in self.reads]
            self._values: dict[str, np.ndarray] = {}
        return self._batch

    def _load(self, rows: np.ndarray, values: Values) -> np.ndarray | None:
        n = len(rows)
        batch = self._batch_of(n)
        stale = np.zeros(n, dtype=bool)
        for name in {*values, *self._values}:
            if name not in self._values:
                self._values[name] = batch.expand(name)
            held, new = self._values[name][:n], values.get(name, self._own(name))
            if name in _DERIVE:
                stale |= (held != new).reshape(n, -1).any(1)
            held[:] = new
        if stale.any():
            batch.set_const(np.flatnonzero(stale))
        self._rows[:n] = rows
        return None if n == self._size else np.arange(n)

    def _own(self, name: str) -> np.ndarray:
        return np.asarray(getattr(self.model if hasattr(self.model, name) else self.model.opt, name))

    def _out(self, n: int) -> tuple[np.ndarray, ...]:
        return tuple(array[:n].copy() for array in (self._rows, *self._read))
