"""Small Gymnasium tasks whose right answers are known. Registered by the conftest next to them."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Recall(gym.Env[np.ndarray, int]):
    """Show a cue, then nothing; one point for naming it at the end. Without memory the best guess returns 0.5."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, delay: int = 4) -> None:
        self.delay = delay

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.cue, self.t = int(self.np_random.integers(2)), 0
        return np.array([2 * self.cue - 1], np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.t += 1
        over = self.t > self.delay
        return np.zeros(1, np.float32), float(over and action == self.cue), over, False, {}


class Move(gym.Env[np.ndarray, np.ndarray]):
    """Return minus the squared distance of two actions to (0.3, 0.7), in float64, on an asymmetric Box."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Box(np.array([-1.0, 0.0]), np.array([0.5, 2.0]), dtype=np.float64)
    goal = np.array([0.3, 0.7])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.t = 0
        return np.ones(2), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        assert self.action_space.contains(action), action
        self.t += 1
        return np.ones(2), -float(np.square(action - self.goal).sum()), self.t == 3, False, {}


class Noise(gym.Env[np.ndarray, int]):
    """Return a number that no policy can change: mean 0, standard deviation 1."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        # The agent's choice picks one of two numbers, so candidates differ, but by luck alone.
        return np.zeros(1, np.float32), float(self.np_random.normal(size=2)[action]), True, False, {}


class Constant(Noise):
    """Return 1, whatever is done."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        return np.zeros(1, np.float32), 1.0, True, False, {}


class Broken(Constant):
    """Return NaN to a policy that chooses 1; everybody else gets 1."""

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        return np.zeros(1, np.float32), float("nan") if action else 1.0, True, False, {}


class BrokenSensor(Constant):
    """Show infinity as entry 1 of the second observation."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        return np.array([0, np.inf], np.float32), 1.0, False, False, {}


class Words(Constant):
    """Show words."""

    observation_space = spaces.Text(5)


class FreeForce(Constant):
    """Act in an unbounded Box."""

    action_space = spaces.Box(-np.inf, np.inf, (1,))


TASKS = (Recall, Move, Noise, Constant, Broken, BrokenSensor, Words, FreeForce)


def register() -> None:
    """Make the tasks known as test/<name>-v0, and one without a time limit as test/Endless-v0."""
    for task in TASKS:
        gym.register(f"test/{task.__name__}-v0", task, max_episode_steps=10)
    gym.register("test/Endless-v0", Constant)
