"""A field in a control loop: one step at a time, with all memory allocated ahead.

    stepper = Stepper(field)
    outputs = stepper(inputs)      # NumPy in, NumPy out, a few microseconds

This is the same compiled recurrence as that of sequences, called on memory that stays where it is.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from nf_policies.fields.backends import cpu, fused
from nf_policies.fields.field import Field


class Stepper:
    """Runs a field, or a population of its parameters, step by step on the CPU, without gradients.

    The parameters are those at the time of construction. Without a compiler, or for a field with functions of your
    own, it is `Field.step` behind the same call.

    Args:
        field: On the CPU, in float32 or float64.
        batch_size: Number of episodes side by side, for each candidate of a population.
        population: For each learnable parameter's name, one value per candidate: (pop_size, *shape).

    Attributes:
        inputs: Where the inputs of the next step may be written. Shape: (batch, input_size); with a population
            (pop_size, batch, input_size), and so for all others.
        potentials: The memory; may be written. Shape: (batch, hidden_size).
        outputs: Of the last step; overwritten by the next. Shape: (batch, output_size).
    """

    @torch.no_grad()
    def __init__(self, field: Field, batch_size: int = 1, population: Mapping[str, Tensor] | None = None) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
        self._field, self._coefficients = field, field.coefficients(population)
        lead = (len(next(iter(population.values()))),) if population else ()
        like = field.resting_level
        inputs, potentials, outputs = (
            like.new_zeros(*lead, batch_size, size) for size in (field.input_size, field.hidden_size, field.output_size)
        )
        self._start = self._coefficients.initial_potentials.expand(potentials.shape).numpy().copy()
        self.inputs: np.ndarray = inputs.numpy()
        self.potentials: np.ndarray = potentials.numpy()
        self.outputs: np.ndarray = outputs.numpy()
        self._tensors = (inputs, potentials, outputs)
        self._call = self._compiled()
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
        """Bring potentials to their initial level.

        Args:
            episode_starts: Where. Bool, shape: (batch,), with a population (pop_size, batch); None for everywhere.
        """
        if episode_starts is None:
            np.copyto(self.potentials, self._start)
        else:
            np.copyto(self.potentials, self._start, where=episode_starts[..., None])

    def _compiled(self) -> cpu.Run:
        inputs, potentials, outputs = self._tensors
        rows = (t.reshape(1, -1, t.shape[-1]) for t in (inputs, outputs))
        p = fused.problem(self._field, self._coefficients, next(rows), potentials.flatten(0, -2), None)
        solver = None if p is None or p.weights_out is None else cpu.find(p)
        if p is None or solver is None:
            return self._step
        return cpu.in_place(solver, p, next(rows))

    @torch.no_grad()
    def _step(self) -> None:
        inputs, potentials, outputs = self._tensors
        y, u = self._field.step(inputs, potentials, self._coefficients)
        outputs.copy_(y)
        potentials.copy_(u)
