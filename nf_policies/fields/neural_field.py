"""NeuralField: Amari's field, a convolution over neurons, usually below 1,000 parameters.

A convolution over H neurons is a product with an H x H matrix. The kernel is laid out as that matrix once per call, so
each step is left with a single product, and autograd sums the matrix's gradient back to the kernel.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from nf_policies.fields.dynamics import cubic
from nf_policies.fields.field import Field
from nf_policies.fields.options import NeuralOptions, Padding


class NeuralField(Field):
    """A recurrent network of potentials whose neighbours interact through a convolution kernel.

    tau du/dt = s + h - u + kappa (h - u)^3, with s = embedded inputs + kernel * activations, integrated with step dt.

    Args:
        hidden_size: Number of neurons, at least 2.
        output_size: Number of outputs; by default one per neuron.
        input_embedding: Module from (..., input_size) to (..., hidden_size); by default linear without bias.
        output_embedding: Module from (..., hidden_size) to (..., output_size); by default linear without bias.
        generator: Source of the random start values; by default torch's.
        options: As in `nf_policies.fields.options.NeuralOptions`, among them activation, kernel_size, tau_init, dt.
    Raises: ValueError naming the argument that does not fit.
    Reference: Amari (1977), Dynamics of pattern formation in lateral-inhibition type neural fields.
    """

    options: NeuralOptions
    kernel: nn.Parameter
    _layout: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        *,
        input_embedding: nn.Module | None = None,
        output_embedding: nn.Module | None = None,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        o = NeuralOptions.of(options)
        kernel_size = hidden_size if o.kernel_size is None else o.kernel_size
        if hidden_size < 2:
            raise ValueError(f"A NeuralField needs hidden_size >= 2 for lateral interaction, not {hidden_size}.")
        if not 1 <= kernel_size <= hidden_size:
            raise ValueError(f"kernel_size must be between 1 and hidden_size = {hidden_size}, not {kernel_size}.")
        o = replace(o, kernel_size=kernel_size)
        output_size = hidden_size if output_size is None else output_size
        super().__init__(input_size, hidden_size, output_size, o, cubic, input_embedding, output_embedding, generator)
        # With a single channel there is nothing to pool, whatever the norm.
        self.pooling_norm = o.pooling_norm if o.channels > 1 else 1
        self.register_buffer("_layout", layout(kernel_size, o.mirrored, hidden_size, o.padding), persistent=False)
        free = free_size(kernel_size, o.mirrored)
        if o.bell_init:
            height = torch.rand(o.channels, 1, generator=generator)
            self.kernel = nn.Parameter(height * bell(kernel_size)[:free])
        else:
            bound = free**-0.5
            self.kernel = nn.Parameter((2 * torch.rand(o.channels, free, generator=generator) - 1) * bound)

    def lateral(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The kernel (..., channels, free_size) as matrices, summed over channels where the pooling is a sum."""
        kernel = parameters["kernel"]
        if self.pooling_norm == 1:
            kernel = kernel.sum(-2)
        with_zero = nn.functional.pad(kernel, (0, 1))
        layers = with_zero.index_select(-1, self._layout.flatten()).unflatten(-1, self._layout.shape)
        return layers.squeeze(-3) if len(self._layout) == 1 else layers.sum(-3)


def free_size(kernel_size: int, mirrored: bool) -> int:
    """How many weights of a kernel are free: all, or the first half and the middle one when it is mirrored."""
    return (kernel_size + 1) // 2 if mirrored else kernel_size


def bell(kernel_size: int) -> Tensor:
    """A bell over the kernel: 1 at its centre, through 0 near a fifth of its size, negative to the sides."""
    offset = torch.arange(kernel_size) - (kernel_size - 1) / 2
    return 2 * torch.exp(-((offset / max(kernel_size / 4, 0.75)) ** 2)) - 1  # two neurons still excite each other


def layout(kernel_size: int, mirrored: bool, hidden_size: int, padding: Padding) -> Tensor:
    """Which free weight of a kernel stands where in the interaction matrix of its convolution with "same" size.

    An even kernel reaches one neuron further to the right, as `torch.nn.Conv1d(padding="same")` has it.

    Returns: Indices of free weights, free_size(kernel_size, mirrored) standing for a zero. Where several weights meet
        in one entry of the matrix they lie in different layers. Shape: (layers, hidden_size, hidden_size).
    """
    neuron, source = torch.arange(hidden_size)[:, None], torch.arange(hidden_size)
    k = source - neuron + (kernel_size - 1) // 2
    if padding == "circular":
        layers = (k % hidden_size)[None]
    elif padding == "reflect":
        layers = torch.stack((k - 2 * source, k, k + 2 * (hidden_size - 1 - source)))
        layers[0, :, 0] = layers[2, :, -1] = kernel_size  # an end is not its own mirror image
    else:
        layers = k[None]
    layers = torch.where((layers >= 0) & (layers < kernel_size), layers, kernel_size).sort(0).values
    layers = layers[(layers < kernel_size).any(-1).any(-1)]
    free = free_size(kernel_size, mirrored)
    weight = torch.arange(kernel_size)
    weight = torch.where(weight < free, weight, kernel_size - 1 - weight)
    return torch.cat((weight, torch.tensor([free])))[layers]
