"""Tasks whose observations say which environment, which episode and which step they belong to."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv


class Counting(gym.Env[np.ndarray, int]):
    """Observe (which, episode, step); reward 1; episodes end after `length` steps.

    Args:
        which: Number of this environment.
        length: Steps of an episode.
        terminates: Whether an episode ends by termination.
        truncates: Whether it ends by truncation.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self, which: int, length: int, terminates: bool = False, truncates: bool = True) -> None:
        self.which, self.length = which, length
        self.terminates, self.truncates = terminates, truncates
        self.episode, self.real_steps = -1, 0

    def _obs(self) -> np.ndarray:
        return np.array([self.which, self.episode, self.t], np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.t, self.episode = 0, self.episode + 1
        return self._obs(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.t += 1
        self.real_steps += 1
        over = self.t >= self.length
        return self._obs(), 1.0, over and self.terminates, over and self.truncates, {}


MODES = ("vec_env", "same_step", "next_step", "disabled")


def side_by_side(mode: str, lengths: list[int], **options: Any) -> VecEnv | VectorEnv:
    """Counting tasks, one per length, as SB3 or Gymnasium has them side by side."""
    makers = [lambda i=i, n=n: Counting(i, n, **options) for i, n in enumerate(lengths)]
    if mode == "vec_env":
        return DummyVecEnv(makers)
    return SyncVectorEnv(makers, autoreset_mode=AutoresetMode[mode.upper()])


class Walk(gym.Env[np.ndarray, Any]):
    """A random walk in any spaces: observations are samples of the space, episodes have seven steps."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        # Vector environments, Gymnasium's as well, give numbers where a Box has shape ().
        assert self.action_space.contains(np.asarray(action, self.action_space.dtype)), action
        self.t += 1
        return self.observation_space.sample(), float(self.np_random.normal()), False, self.t == 7, {}


class Identity(gym.Env[np.ndarray, Any]):
    """One point for an action that repeats the visible one; for Box, minus the distance."""

    def __init__(self, space: spaces.Space, length: int = 20) -> None:
        self.observation_space = self.action_space = space
        self.length = length

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t, self.shown = 0, self.observation_space.sample()
        return self.shown, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        is_box = isinstance(self.action_space, spaces.Box)
        reward = -float(np.abs(action - self.shown).mean()) if is_box else float(np.mean(action == self.shown))
        self.t, self.shown = self.t + 1, self.observation_space.sample()
        return self.shown, reward, False, self.t == self.length, {}
