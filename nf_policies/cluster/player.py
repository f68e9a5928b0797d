"""What a worker does: it makes a task's environments once, and plays pieces in them."""

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from nf_policies.tasks.faults import place_of

LANES = 32
"""Environments of a worker at most: where a step takes long, more of them do not help."""


class Bits(NamedTuple):
    """What the last bits of a result depend on."""

    processor: str
    torch: str
    numpy: str

    @staticmethod
    def here() -> "Bits":
        """Of this process."""
        processor = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
        return Bits(processor, torch.__version__, np.__version__)


class Failed(NamedTuple):
    """A task that raised, in a sentence."""

    reason: str


class Unmade(NamedTuple):
    """A task that cannot be made here, say because its module is not installed."""

    reason: str
    node: str
    """The name of this machine."""


class Answer(NamedTuple):
    """What was played, and how long it took in the worker."""

    played: Any
    seconds: float


class Maker(Protocol):
    """Makes what plays pieces."""

    def __call__(self, lanes: int) -> tuple[Callable[..., Any], bool]:
        """An evaluator of so many environments, and whether it takes `watch`, to be called after each step."""


class Player:
    """Plays pieces of a task in one process, with one thread.

    Args:
        make: Makes the evaluator.
        paths: Further folders with modules, those of the process that asks, where this machine has them too.
        folder: To work in, where this machine has it: a task's file may be named from there.
    """

    def __init__(self, make: Maker, paths: Sequence[str] = (), folder: str = ".") -> None:
        torch.set_num_threads(1)
        sys.path += [path for path in paths if path not in sys.path and Path(path).is_dir()]
        if Path(folder).is_dir():
            os.chdir(folder)
        self._make, self._lanes, self._steps = make, 0, 0
        self._evaluator: Any = None
        self._watched = True

    def hello(self) -> Bits:
        """Say that the process has started."""
        return Bits.here()

    def steps(self) -> int:
        """Steps of the environments so far; the time where nobody counts them."""
        return self._steps if self._watched else time.monotonic_ns()

    def play(self, policy: Any, piece: Any) -> Answer | Failed | Unmade:
        """Play a piece; what the task raises comes back as a sentence."""
        began = time.perf_counter()
        try:
            if self._lanes < (lanes := min(piece.episodes, LANES)):
                (self._evaluator, self._watched), self._lanes = self._make(lanes), lanes
        except Exception as error:  # of modules and constructors
            return Unmade(described(error), platform.node())
        try:
            watch = {"watch": self._count} if self._watched else {}
            _, played = self._evaluator(policy, **piece._asdict(), **watch)
        except Exception as error:  # whatever a task does wrong
            return Failed(described(error))
        return Answer(played, time.perf_counter() - began)

    def _count(self, step: Any) -> None:
        self._steps += 1


def described(error: Exception) -> str:
    """An error in one sentence, with the place in the task's own code where that raised it."""
    text = " ".join(str(error).split())
    place = place_of(error)
    return f"{type(error).__name__}: {text} ({place})" if place else text
