"""A task that gets into trouble at one step: once, or each time. A module of its own, because processes import it."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

TROUBLES = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stopped": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "hanging": lambda: time.sleep(1000),
    "raising": lambda: int("12 volts"),
    "exiting": lambda: os._exit(3),
    "leaving": lambda: exit(4),
}


class Troubled(gym.Env):
    """A random walk that actions push; episodes last 9 steps.

    Args:
        trouble: What happens at step 5 of the episode that begins with seed 12, or of any if that is never given.
        folder: Holds a file for each process, and one once it has happened; it happens again only if `always`.
        pause: Seconds of a step.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Discrete(2)

    def __init__(self, trouble: str = "", folder: str = "", always: bool = False, pause: float = 0.0) -> None:
        self.trouble, self.folder, self.always, self.pause = trouble, Path(folder), always, pause
        if folder:
            (self.folder / f"process-{os.getpid()}").touch()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.x, self.t, self.seeds = self.np_random.normal(size=2), 0, seed
        return self.x, {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        time.sleep(self.pause)
        self.t += 1
        happened = self.folder / "happened"
        if self.trouble and self.t == 5 and self.seeds in (12, None) and (self.always or not happened.exists()):
            happened.touch()
            TROUBLES[self.trouble]()
        self.x = 0.9 * self.x + self.np_random.normal(size=2) + action
        return self.x, float(self.x.sum()), self.t == 9, False, {}
