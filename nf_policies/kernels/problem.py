"""A field over a sequence, in the form that every backend takes."""

from typing import NamedTuple

from torch import Tensor


class Problem(NamedTuple):
    """What the fused recurrence takes. All tensors have one dtype, float32 or float64, and one device.

    Attributes:
        inputs: (time, batch, input_size), or external stimuli (time, batch, hidden_size) without `weights_in`.
        potentials: Before the first step. (batch, hidden_size)
        episode_starts: Bool, (time, batch), or None for nowhere.
        lateral: (hidden_size, hidden_size)
        neurons: One row each: resting level, rate, scale, bias, initial potentials, then the polynomial's
            coefficients c1, c2, as many as it has. (5 + terms, hidden_size)
        weights_in: (hidden_size, input_size), or None.
        bias_in: (hidden_size,), or None.
        weights_out: (output_size, hidden_size), or None for no outputs.
        bias_out: (output_size,), or None.
        activation: "sigmoid" or "tanh".
        power: k of the polynomial, 1 or 2.
        leak: c0 of the polynomial.
    """

    inputs: Tensor
    potentials: Tensor
    episode_starts: Tensor | None
    lateral: Tensor
    neurons: Tensor
    weights_in: Tensor | None
    bias_in: Tensor | None
    weights_out: Tensor | None
    bias_out: Tensor | None
    activation: str
    power: int
    leak: float

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """time, batch, hidden_size and output_size (0 for no outputs)."""
        time, batch = self.inputs.shape[:2]
        return time, batch, self.lateral.shape[-1], 0 if self.weights_out is None else self.weights_out.shape[-2]


class Gradients(NamedTuple):
    """Gradients of a problem's tensors, in their order; empty where the tensor is None or none is needed."""

    inputs: Tensor
    potentials: Tensor
    lateral: Tensor
    neurons: Tensor
    weights_in: Tensor
    bias_in: Tensor
    weights_out: Tensor
    bias_out: Tensor
