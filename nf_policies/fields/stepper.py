"""A field in a control loop: one step at a time, with all memory allocated ahead.

    stepper = Stepper(field)
    outputs = stepper(inputs)      # NumPy in, NumPy out, a few microseconds

This is the compiled recurrence of sequences, called on memory that stays where it is.
"""

import copy
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nf_policies.fields.dynamics import CHANGES_MAX, problem_of
from nf_policies.fields.field import Field
from nf_policies.kernels import cpu


class Memory(NamedTuple):
    """What a stepper reads and writes, with the shapes of its attributes."""

    inputs: Tensor
    episode_starts: Tensor
    potentials: Tensor
    outputs: Tensor


class Stepper:
    """Runs a field, or a population of its parameters, step by step on the CPU, without gradients.

    The parameters are those at the time of construction, also in copies and pickles, which compile anew. Without a
    compiler, or for a field with functions of your own, the same call takes the step of a copy of the field.

    Args:
        field: On the CPU, in float32 or float64.
        batch_size: Number of episodes side by side, for each candidate of a population.
        population: For each learnable parameter's name, one value per candidate: (pop_size, *shape).

    Attributes:
        inputs: Where the inputs of the next step may be written. Shape: (batch, input_size); with a population
            (pop_size, batch, input_size), and so for all others.
        episode_starts: Where the next step begins an episode, so that its potentials are first the initial ones; stays
            as it is written, at first nowhere. Bool, shape: (batch,).
        potentials: The memory; may be written. Shape: (batch, memory_size).
        outputs: Of the last step; overwritten by the next. Shape: (batch, output_size).
        tensors: The same four, as tensors.
        compiled: Whether compiled code takes the steps, all but an output embedding of your own.
    """

    @torch.inference_mode(False)  # so that its memory can be used in and outside
    @torch.no_grad()
    def __init__(self, field: Field, batch_size: int = 1, population: Mapping[str, Tensor] | None = None) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
        lead = (len(next(iter(population.values()))),) if population else ()
        like = field.resting_level
        inputs, potentials, outputs = (
            like.new_zeros(*lead, batch_size, size) for size in (field.input_size, field.memory_size, field.output_size)
        )
        starts = torch.zeros(*lead, batch_size, dtype=torch.bool)
        self.tensors = Memory(inputs, starts, potentials, outputs)
        self.inputs, self.episode_starts, self.potentials, self.outputs = (t.numpy() for t in self.tensors)

        c = field.coefficients(population)
        rows = inputs.reshape(1, -1, field.input_size), potentials.flatten(0, -2), starts.reshape(1, -1)
        if field.kept:
            u = like.new_zeros(len(rows[1]), field.hidden_size)
            rows = like.new_zeros(1, len(u), field.felt), u, rows[2]
        p = problem_of(field, c, *rows)
        run = None if p is None else cpu.in_place(p, outputs.reshape(1, -1, field.output_size))
        self.compiled = run is not None
        if run is not None and field.kept:
            run = self._feeling(run, *(t.numpy() for t in (*rows[:2], field.change_gain.clone())))
        self._population = {name: t.clone() for name, t in (population or {}).items()}
        self._read: dict[str, Tensor] = {}
        if run is not None and p is not None and p.weights_out is not None:
            self._call: cpu.Run = run
            self._field, self._read = field, {name: t.clone() for name, t in field.state_dict().items()}
        else:  # what has not been read yet must not change later
            self._call = self._step if run is None else functools.partial(self._read_out, run)
            self._field = copy.deepcopy(field)
            self._coefficients = self._field.coefficients(self._population)
        self._start = c.initial_potentials.expand(potentials.shape).clone()
        self.reset()

    def __getstate__(self) -> tuple[Any, ...]:
        """The field as it was and the memory; the compiled step points into this process's memory."""
        field = copy.deepcopy(self._field)
        field.load_state_dict(self._read, strict=False, assign=True)
        return field, self._population, [t.clone() for t in self.tensors]

    @torch.inference_mode(False)
    def __setstate__(self, state: tuple[Any, ...]) -> None:
        field, population, memory = state
        Stepper.__init__(self, field, memory[0].shape[-2], population)
        for mine, kept in zip(self.tensors, memory, strict=True):
            mine.copy_(kept)

    def __call__(self, inputs: np.ndarray | None = None) -> np.ndarray:
        """Advance by one step.

        Args:
            inputs: Shaped as `self.inputs`; None if they have been written there.
        Returns: `self.outputs`.
        """
        if inputs is not None:
            np.copyto(self.inputs, inputs)
        self._call()
        return self.outputs

    def reset(self, episode_starts: np.ndarray | None = None) -> None:
        """Bring potentials to their initial level now.

        Args:
            episode_starts: Where. Bool, shaped as `self.episode_starts`; None for everywhere.
        """
        where = True if episode_starts is None else episode_starts[..., None]
        np.copyto(self.potentials, self._start.numpy(), where=where)

    @torch.no_grad()
    def _read_out(self, run: cpu.Run) -> None:
        """Take a step and let an output embedding of the user's own follow."""
        run()
        potentials = self.tensors.potentials[..., : self._field.hidden_size]
        self.tensors.outputs.copy_(self._field.read_out(self._coefficients, potentials))

    def _feeling(self, run: cpu.Run, felt: np.ndarray, u: np.ndarray, gain: np.ndarray) -> cpu.Run:
        """A step that feels changes, around a compiled one from `felt` (1, rows, 2 n) and potentials `u` (rows, ·)."""
        rows, n = len(u), self.inputs.shape[-1]
        inputs, begin = self.inputs.reshape(rows, n), self.episode_starts.reshape(rows, 1)
        potentials, before, known = np.split(self.potentials.reshape(rows, -1), [u.shape[1], u.shape[1] + n], axis=1)
        seen, changes = np.split(felt[0], 2, axis=1)

        def step() -> None:
            np.copyto(known, 0.0, where=begin)
            np.multiply(np.subtract(inputs, before, out=changes), known, out=changes)
            np.clip(np.multiply(changes, gain, out=changes), -CHANGES_MAX, CHANGES_MAX, out=changes)
            seen[:], u[:] = inputs, potentials
            run()
            potentials[:], before[:], known[:] = u, inputs, 1.0

        return step

    @torch.no_grad()
    def _step(self) -> None:
        inputs, starts, potentials, outputs = self.tensors
        before = torch.where(starts.unsqueeze(-1), self._start, potentials)
        y, u = self._field.step(inputs, before, self._coefficients)
        outputs.copy_(y)
        potentials.copy_(u)


def steps_past_trace(field: Any) -> bool:
    """Whether a field's `step` was overridden and the `trace` that it should go through was not."""
    places = (vars(field), *map(vars, type(field).__mro__))
    return next(("trace" not in place for place in places if "step" in place or "trace" in place), False)
