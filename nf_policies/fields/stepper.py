"""A field in a control loop: one step at a time, with all memory allocated ahead.

    stepper = Stepper(field)
    outputs = stepper(inputs)      # NumPy in, NumPy out, a few microseconds

This is the same compiled recurrence as that of sequences, called on memory that stays where it is.
"""

import copy
import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nf_policies.fields import fused
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

    The parameters are those at the time of construction. Without a compiler, or for a field with functions of your
    own, it is the step of a copy of the field behind the same call.

    Args:
        field: On the CPU, in float32 or float64.
        batch_size: Number of episodes side by side, for each candidate of a population.
        population: For each learnable parameter's name, one value per candidate: (pop_size, *shape).

    Attributes:
        inputs: Where the inputs of the next step may be written. Shape: (batch, input_size); with a population
            (pop_size, batch, input_size), and so for all others.
        episode_starts: Where the next step begins an episode, so that its potentials are first the initial ones; stays
            as it is written, at first nowhere. Bool, shape: (batch,).
        potentials: The memory; may be written. Shape: (batch, hidden_size).
        outputs: Of the last step; overwritten by the next. Shape: (batch, output_size).
        tensors: The same four, as tensors.
        compiled: Whether compiled code takes the steps, all but an output embedding of your own.
    """

    @torch.inference_mode(False)  # so that its memory can be used in and outside
    @torch.no_grad()
    def __init__(self, field: Field, batch_size: int = 1, population: Mapping[str, Tensor] | None = None) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
        self._coefficients = field.coefficients(population)
        lead = (len(next(iter(population.values()))),) if population else ()
        like = field.resting_level
        inputs, potentials, outputs = (
            like.new_zeros(*lead, batch_size, size) for size in (field.input_size, field.hidden_size, field.output_size)
        )
        starts = torch.zeros(*lead, batch_size, dtype=torch.bool)
        self._start = self._coefficients.initial_potentials.expand(potentials.shape).clone()
        self.inputs: np.ndarray = inputs.numpy()
        self.episode_starts: np.ndarray = starts.numpy()
        self.potentials: np.ndarray = potentials.numpy()
        self.outputs: np.ndarray = outputs.numpy()
        self.tensors = Memory(inputs, starts, potentials, outputs)
        run, whole = self._compile(field)
        self.compiled = run is not None
        if not whole:  # what is not read now must not change later
            self._field = copy.deepcopy(field)
            self._coefficients = self._field.coefficients(population)
        self._call = self._step if run is None else run if whole else functools.partial(self._read_out, run)
        self.reset()

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

    def _compile(self, field: Field) -> tuple[cpu.Run | None, bool]:
        """Compiled steps, if they can be had, and whether they read out too."""
        if type(field).step is not Field.step or type(field).trace is not Field.trace:
            return None, False  # a subclass may compute something else
        inputs, starts, potentials, outputs = self.tensors
        rows = (t.reshape(1, -1, t.shape[-1]) for t in (inputs, outputs))
        before = potentials.flatten(0, -2), starts.reshape(1, -1)
        p = fused.problem(field, self._coefficients, next(rows), *before)
        solver = None if p is None else cpu.find(p)
        if p is None or solver is None:
            return None, False
        return cpu.in_place(solver, p, next(rows)), p.weights_out is not None

    @torch.no_grad()
    def _read_out(self, run: cpu.Run) -> None:
        """Take a step and let an output embedding of the user's own follow."""
        run()
        self.tensors.outputs.copy_(self._field.read_out(self._coefficients, self.tensors.potentials))

    @torch.no_grad()
    def _step(self) -> None:
        inputs, starts, potentials, outputs = self.tensors
        before = torch.where(starts.unsqueeze(-1), self._start, potentials)
        y, u = self._field.step(inputs, before, self._coefficients)
        outputs.copy_(y)
        potentials.copy_(u)
