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


def mirror(half: Tensor, kernel_size: int) -> Tensor:
    """The symmetric kernel (..., kernel_size) whose first half, middle included, is `half`."""
    return torch.cat((half, half[..., : kernel_size // 2].flip(-1)), dim=-1)


def bell(kernel_size: int, mirrored: bool) -> Tensor:
    """A bell over the kernel: 1 at its centre, through 0 near a fifth of its size, negative to the sides.

    Returns: The free weights. Shape: (free_size(kernel_size, mirrored),).
    """
    offset = torch.arange(kernel_size) - (kernel_size - 1) / 2
    kernel = 2 * torch.exp(-((offset / max(kernel_size / 4, 0.75)) ** 2)) - 1  # two neurons still excite each other
    return kernel[: free_size(kernel_size, mirrored)]


def lateral_matrix(kernel: Tensor, hidden_size: int, padding: Padding) -> Tensor:
    """Lay out full kernels as matrices: `activations @ matrix.mT` is their convolution with "same" size.

    An even kernel reaches one neuron further to the right, as `torch.nn.Conv1d(padding="same")` has it.

    Args:
        kernel: Weights. Shape: (..., kernel_size), kernel_size <= hidden_size.
        hidden_size: Number of neurons H.
        padding: What lies beyond the field: its other end, its mirror image, or nothing.
    Returns: Interaction matrices. Shape: (..., hidden_size, hidden_size).
    """
    kernel_size = kernel.shape[-1]
    neuron = torch.arange(hidden_size, device=kernel.device)[:, None]
    source = neuron + torch.arange(kernel_size, device=kernel.device) - (kernel_size - 1) // 2
    weights = kernel.unsqueeze(-2).expand(*kernel.shape[:-1], hidden_size, kernel_size)
    if padding == "circular":
        source = source % hidden_size
    elif padding == "reflect":
        source = source.abs()
        source = torch.where(source < hidden_size, source, 2 * (hidden_size - 1) - source)
    else:
        weights = weights * ((source >= 0) & (source < hidden_size))
        source = source.clamp(0, hidden_size - 1)
    empty = torch.zeros(*kernel.shape[:-1], hidden_size, hidden_size, dtype=kernel.dtype, device=kernel.device)
    return empty.scatter_add(-1, source.expand_as(weights), weights)


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
