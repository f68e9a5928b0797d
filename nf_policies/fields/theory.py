"""What theory says about a field: Amari's bumps and the exact solution of a linear leak.

A continuous field tau du/dt = -u + ∫ w(x - y) H(u(y)) dy - threshold, with the Heaviside step H and a symmetric
kernel w, holds a bump (one active interval) of width a exactly if W(a) = threshold, where W(a) is the integral of w
from 0 to a. A `NeuralField` on a fine grid with a steep sigmoid comes close to it (`sample_kernel`).

Reference: Amari (1977), Dynamics of pattern formation in lateral-inhibition type neural fields, Biological
Cybernetics 27, 77-87.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Kernel = Callable[[Tensor], Tensor]
"""A symmetric kernel w over distance, elementwise, for distances >= 0 in float64."""

PANELS = 256
"""Of the quadrature over one width, with three points each."""

GRID = 4096
"""Widths tried in the search for bumps: two bumps closer than reach / GRID count as one or none."""


class Bump(NamedTuple):
    """A stationary solution of one active interval."""

    width: float
    """Of the active interval, in the kernel's unit of length."""
    rate: float
    """At which a disturbed width comes back, times tau. Negative: stable; positive: the bump dies or grows."""

    @property
    def stable(self) -> bool:
        """Whether a slightly disturbed width returns, which is where the kernel is negative at the width."""
        return self.rate < 0


def kernel_integral(kernel: Kernel, width: Tensor) -> Tensor:
    """W(a), the integral of the kernel from 0 to each width, by Gauss-Legendre quadrature, three points per panel."""
    width = width.to(torch.float64)
    point = torch.tensor([-(0.6**0.5), 0.0, 0.6**0.5], dtype=torch.float64)
    weight = torch.tensor([5.0, 8.0, 5.0], dtype=torch.float64) / 18
    share = ((torch.arange(PANELS)[:, None] + (point + 1) / 2) / PANELS).flatten()
    return (kernel(width[..., None] * share) * weight.repeat(PANELS)).sum(-1) * width / PANELS


def relaxation_rate(kernel: Kernel, width: float) -> float:
    """Eigenvalue of a symmetric disturbance of a bump's edges, times tau: 2 w(a) / (w(0) - w(a)).

    The other eigenvalue of the edges, of a shift of the whole bump, is 0.
    """
    centre, edge = kernel(torch.tensor([0.0, width], dtype=torch.float64)).tolist()
    return 2 * edge / (centre - edge)


def bumps(kernel: Kernel, threshold: float, reach: float) -> list[Bump]:
    """All bumps of a field, the widths with W(a) = threshold, from narrow to wide.

    Args:
        kernel: w.
        threshold: How far below zero the field rests, the negative resting level.
        reach: The widest bump to look for.
    Raises: ValueError if `reach` is not positive.
    """
    roots = bisect(lambda a: kernel_integral(kernel, a) - threshold, reach)
    return [Bump(a, relaxation_rate(kernel, a)) for a in roots.tolist() if a > 0]


def highest_threshold(kernel: Kernel, reach: float) -> tuple[float, float]:
    """The threshold above which a field holds no bump: the maximum of W up to `reach`, and the width where it lies.

    Raises: ValueError if `reach` is not positive.
    """
    edges = torch.tensor([0.0, reach], dtype=torch.float64)
    extrema = torch.cat((edges, bisect(kernel, reach)))
    height, index = kernel_integral(kernel, extrema).max(0)  # W' = w, so W peaks where w changes sign
    return height.item(), extrema[index].item()


def bisect(function: Callable[[Tensor], Tensor], reach: float) -> Tensor:
    """Where a function changes sign between neighbours of a grid from 0 to `reach`, to rounding. Shape: (n_roots,)."""
    if not reach > 0:
        raise ValueError(f"reach must be positive, not {reach}.")
    grid = torch.linspace(0, reach, GRID + 1, dtype=torch.float64)
    positive = function(grid) > 0
    crossing = positive[:-1] != positive[1:]
    low, high, positive_high = grid[:-1][crossing], grid[1:][crossing], positive[1:][crossing]
    for _ in range(60):
        middle = (low + high) / 2
        beyond = (function(middle) > 0) == positive_high
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    return (low + high) / 2


def sample_kernel(kernel: Kernel, kernel_size: int, spacing: float) -> Tensor:
    """The kernel (kernel_size,) of a `NeuralField` whose neurons lie `spacing` apart, float64: w times spacing."""
    offset = torch.arange(kernel_size, dtype=torch.float64) - (kernel_size - 1) // 2
    return kernel((offset * spacing).abs()) * spacing


def linear_relaxation(potentials: Tensor, fixed_point: Tensor, rate: Tensor, steps: int) -> Tensor:
    """Potentials of a linear field without neighbours under a constant stimulus: u* + (1 - rate)^t (u0 - u*).

    Args:
        potentials: u0. Shape: (..., hidden_size).
        fixed_point: u*, resting level plus stimulus. Shape: (..., hidden_size).
        rate: Of one step, from `dynamics.euler` or `dynamics.exponential_euler`. Shape: (1,) or (hidden_size,).
        steps: t.
    Returns: After 1, 2, ... t steps. Shape: (steps, ..., hidden_size).
    """
    t = torch.arange(1, steps + 1, dtype=potentials.dtype).reshape(-1, *[1] * potentials.dim())
    return fixed_point + (1 - rate) ** t * (potentials - fixed_point)
