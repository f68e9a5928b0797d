"""A learner that is as small as one can be, whose best setting is known: for searches of settings.

A module of its own, because the processes of a search import it.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Score:
    """The returns of a policy."""

    returns: np.ndarray
    steps: int = 7


class Climber:
    """Climb to 100 - distance in 100 environment steps, ten in each; a luckier seed adds its own number."""

    curves = {"return_now": "now", "return_best": "best so far"}  # noqa: RUF012

    def __init__(self, distance: float, seed: int, pause: float) -> None:
        self.goal, self.pause, self.env_steps = 100 - distance + seed, pause, 0

    def step(self, used: float) -> dict[str, float]:
        time.sleep(self.pause)
        self.env_steps += 10
        return {"return_now": float("nan"), "return_best": self.best()}

    def conclude(self) -> dict[str, float]:
        return {}

    def best(self) -> float:
        return self.goal * min(self.env_steps / 100, 1)

    def summary(self) -> dict[str, Any]:
        return {"evaluation_steps": self.env_steps // 10}


@dataclass
class Climbing:
    """Options whose best setting is sigma = 1; the others of evolve change nothing."""

    settings: dict[str, Any]
    seed: int = 0
    pause: float = 0.0

    @contextmanager
    def begun(self) -> Iterator["Climbing"]:
        if self.settings["sigma"] < 0:
            raise ValueError("sigma must be positive.")
        if self.settings["sigma"] > 100:
            os._exit(3)  # as if the system had killed it
        self.learner = Climber(10 * abs(np.log(self.settings["sigma"])), self.seed, self.pause)
        yield self

    def score(self, policy: float, purpose: str, iteration: int) -> Score:
        return Score(np.array([policy - 1, policy + 1]))
