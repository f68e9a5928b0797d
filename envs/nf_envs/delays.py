"""Delays of a number of steps, fixed or drawn for each episode."""

from collections.abc import Sequence

import torch
from torch import Tensor


def check_delay(what: str, steps: int, greatest: int | None) -> None:
    """Check that a delay is possible.

    Raises: ValueError naming the delayed thing.
    """
    if steps < 0 or (greatest is not None and greatest < steps):
        raise ValueError(f"An {what} delay is 0 steps or more, and its greatest not less: not {steps} to {greatest}.")


def drawn_delay(u: Tensor, least: int, greatest: int) -> Tensor:
    """A whole number from least to greatest for each uniform number in [0, 1). Shape: (num_envs,)."""
    return torch.floor(u * (greatest - least + 1)) + least


def delayed(delay: Tensor, line: Sequence[Tensor]) -> Tensor:
    """The entry of each lane's own age; entries (num_envs, ...), the newest first."""
    chosen = line[0]
    for age, entry in enumerate(line[1:], start=1):
        old = (delay == age).reshape(delay.shape + (1,) * (entry.dim() - delay.dim()))
        chosen = torch.where(old, entry, chosen)
    return chosen
