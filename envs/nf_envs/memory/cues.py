"""Shared by the memory tasks: drawing whole numbers, showing and painting cues."""

import torch
from torch import Tensor

from nf_envs.base import Constant
from nf_envs.drawing import Picture

COLOURS = ("ball", "goal", "link", "joint")


def whole(u: Tensor, low: Constant, high: Constant) -> Tensor:
    """Integers from low to high, both included, of the dtype of the uniform numbers u."""
    return torch.floor(u * (high - low + 1)) + low


def one_hot(value: Tensor, n: int, shown: Tensor) -> tuple[Tensor, ...]:
    """N features (num_envs,), one of them 1 where something is shown, else all 0."""
    return tuple(((value == i) & shown).to(value) for i in range(n))


def graded(answer: Tensor, right: Tensor, when: Tensor) -> Tensor:
    """1 for the right answer and -1 for another where it counts, else 0; of the dtype of `right`."""
    return torch.where(when, torch.where(answer == right, 1.0, -1.0), 0.0).to(right)


def cue_card(seen: int | None, words: str) -> Picture:
    """A card with the cue that is shown, if any, and what the state remembers."""
    scene = Picture(width=4.0, height=2.6)
    scene.box((0, 0.25), (1.7, 1.7), "faint")
    if seen is not None:
        scene.disc((0, 0.25), 0.55, COLOURS[seen % len(COLOURS)])
    scene.text((0, -0.98), words, 0.24)
    return scene
