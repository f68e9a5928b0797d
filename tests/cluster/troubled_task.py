"""A task in a module that is found by its folder only: a step takes 2 ms, and files beside it make trouble."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import gymnasium as gym
import numpy as np

if "WITHOUT_MOTORS" in os.environ:  # a node on which not everything is installed
    import motors  # noqa: F401

FOLDER = Path(__file__).parent


class Troubled(gym.Env):
    """Keep a drifting number near zero. A file "raise" lets steps raise, "die" kill the process, "hang" one hang."""

    observation_space = gym.spaces.Box(-10, 10, (1,), np.float64)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.normal(size=1)
        return self.x.copy(), {}

    def step(self, action):
        time.sleep(0.002)
        if (FOLDER / "raise").exists():
            raise RuntimeError("the motor is not there")
        if (FOLDER / "die").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        with suppress(FileNotFoundError):
            (FOLDER / "hang").rename(FOLDER / "hung")  # for one process only
            time.sleep(1000)
        self.x = np.clip(self.x + action + self.np_random.normal(size=1) / 10, -10, 10)
        return self.x.copy(), -float(self.x[0] ** 2), False, False, {}


gym.register("Troubled-v0", Troubled, max_episode_steps=20)
