"""Quadratic costs, and rewards made of them; as in SimuRLacra (Muratore 2020)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from nf_envs.base import Constant

LEAST = 1e-4
"""The scaled reward of the worst state and action."""


def cost(values: Sequence[Tensor], weights: Sequence[Constant]) -> Tensor:
    """Weighted sum of squares of tensors (num_envs,)."""
    return sum((w * x**2 for w, x in zip(weights[1:], values[1:], strict=True)), start=weights[0] * values[0] ** 2)


def scale(worst: Sequence[float], weights: Sequence[float]) -> float:
    """The factor of the cost with which exp(-factor · cost) is `LEAST` for the worst values."""
    return -math.log(LEAST) / sum(w * x**2 for w, x in zip(weights, worst, strict=True))


def angle_error(angle: Tensor, goal: float) -> Tensor:
    """The shortest way from the goal to the angle, within [-pi, pi)."""
    return torch.remainder(angle - goal + math.pi, 2 * math.pi) - math.pi
