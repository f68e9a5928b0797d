"""Lateral interaction: a (mirrored) convolution kernel and the one matrix that it is.

A convolution over H neurons is a product with an H x H matrix, so the kernel is laid out once per call and the
recurrence is left with a single matrix product per step. Autograd sums the matrix's gradient back to the kernel.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

Padding = Literal["circular", "reflect", "zeros"]
PADDINGS: tuple[str, ...] = get_args(Padding)


def free_size(kernel_size: int, mirrored: bool) -> int:
    """How many weights of a kernel are free: all, or the first half and the middle one when it is mirrored."""
    return (kernel_size + 1) // 2 if mirrored else kernel_size


def bell(kernel_size: int, mirrored: bool) -> Tensor:
    """A bell over the kernel: 1 at its centre, through 0 near a fifth of its size, negative to the sides.

    Returns: The free weights. Shape: (free_size(kernel_size, mirrored),).
    """
    offset = torch.arange(kernel_size) - (kernel_size - 1) / 2
    kernel = 2 * torch.exp(-((offset / max(kernel_size / 4, 0.75)) ** 2)) - 1  # two neurons still excite each other
    return kernel[: free_size(kernel_size, mirrored)]


def layout(kernel_size: int, mirrored: bool, hidden_size: int, padding: Padding) -> Tensor:
    """Which free weight of a kernel stands where in the interaction matrix of its convolution with "same" size.

    An even kernel reaches one neuron further to the right, as `torch.nn.Conv1d(padding="same")` has it.

    Args:
        kernel_size: Number of weights, at most hidden_size.
        mirrored: Whether the kernel's second half is the mirror image of the free first half.
        hidden_size: Number of neurons H.
        padding: What lies beyond the field: its other end, its mirror image, or nothing.
    Returns: Indices of free weights, free_size(kernel_size, mirrored) standing for a zero. Where several weights meet
        in one entry of the matrix they lie in different layers. Shape: (layers, hidden_size, hidden_size).
    """
    free = free_size(kernel_size, mirrored)
    entries: dict[tuple[int, int], list[int]] = {}
    for neuron in range(hidden_size):
        for k in range(kernel_size):
            source = neuron + k - (kernel_size - 1) // 2
            if padding == "circular":
                source %= hidden_size
            elif padding == "reflect":
                source = (hidden_size - 1) - abs(hidden_size - 1 - abs(source))
            if 0 <= source < hidden_size:
                entries.setdefault((neuron, source), []).append(k if k < free else kernel_size - 1 - k)
    indices = torch.full((max(map(len, entries.values())), hidden_size, hidden_size), free)
    for (neuron, source), weights in entries.items():
        indices[: len(weights), neuron, source] = torch.tensor(weights)
    return indices


def lateral_matrix(kernel: Tensor, where: Tensor) -> Tensor:
    """Lay out kernels as matrices: `activations @ matrix.mT` is their convolution.

    Args:
        kernel: Free weights. Shape: (..., free_size).
        where: From `layout`. Shape: (layers, hidden_size, hidden_size).
    Returns: Interaction matrices. Shape: (..., hidden_size, hidden_size).
    """
    with_zero = torch.nn.functional.pad(kernel, (0, 1))
    layers = with_zero.index_select(-1, where.flatten()).unflatten(-1, where.shape)
    return layers.squeeze(-3) if len(where) == 1 else layers.sum(-3)


def pool_channels(stimuli: Tensor, norm: int) -> Tensor:
    """LP pooling over channels: the p-th root of the sum of p-th powers, keeping the sign for odd p.

    At zero the root's slope is infinite; its gradient is taken as zero there.

    Args:
        stimuli: One internal stimulus per channel. Shape: (..., channels, batch, hidden_size).
        norm: p >= 1.
    Returns: Shape: (..., batch, hidden_size).
    """
    total = (stimuli**norm).sum(-3)
    zero = total == 0
    magnitude = torch.where(zero, torch.ones_like(total), total.abs()) ** (1 / norm)
    return torch.where(zero, torch.zeros_like(total), magnitude * total.sign())
