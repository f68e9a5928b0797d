"""Running normalisation of features: part of the policy, inside its file, changed only when told to."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

CLIP = 10.0
"""Normalised features are clipped to ± this many standard deviations."""
EPSILON = 1e-8


class Normalizer(nn.Module):
    """Subtract the mean and divide by the standard deviation of all features seen by `update`.

    The identity until the first update. A forward pass never changes the statistics, so evaluation is frozen by
    construction.

    Args:
        size: Number of features.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.count: Tensor
        self.mean: Tensor
        self.var: Tensor
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))

    def forward(self, features: Tensor) -> Tensor:
        """Normalised features, clipped to ± CLIP. Shapes: (..., size)."""
        standardized = (features - self.mean) / (self.var + EPSILON).sqrt()
        return torch.where(self.count > 0, standardized.clamp(-CLIP, CLIP), features)

    def in_place(self, features: Tensor, entries: Tensor | None = None) -> Callable[[], object]:
        """A function that normalises some memory in place, many times, with the statistics as they are now.

        Args:
            features: The memory. Shape: (..., size).
            entries: Which features it holds; None for all. Shape: (n,), integer.
        """
        if not self.count > 0:
            return lambda: features
        mean, std = self.mean, (self.var + EPSILON).sqrt()
        if entries is not None:
            mean, std = mean[entries], std[entries]
        mean, std = (t.expand_as(features).clone(memory_format=torch.contiguous_format) for t in (mean, std))
        return lambda: features.sub_(mean).div_(std).clamp_(-CLIP, CLIP)

    @torch.no_grad()
    def update(self, count: float, mean: Tensor, var: Tensor) -> None:
        """Merge the statistics of a batch: its size, mean and (biased) variance, both of shape (size,).

        Reference: Chan, Golub and LeVeque (1979), Updating formulae and a pairwise algorithm for computing sample
            variances.
        """
        if count <= 0:
            return
        total = self.count + count
        share = count / total
        delta = mean.to(self.mean) - self.mean
        self.var.copy_((1 - share) * self.var + share * var.to(self.var) + share * (1 - share) * delta**2)
        self.mean.add_(share * delta)
        self.count.copy_(total)
