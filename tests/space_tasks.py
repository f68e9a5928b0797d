"""A task for every kind of space, as a module that other processes can import: space_tasks:spaces/Shows-dict-v0."""

from typing import Any

import gymnasium as gym
import numpy as np
from every_space import ACTIONS, OBSERVATIONS
from gymnasium import Space


class Sampled(gym.Env):
    """Show samples of a space for seven steps; the reward is what the action adds up to, weighed at random.

    Any other action returns something else, so equal returns are those of equal actions.
    """

    def __init__(self, observation_space: Space[Any], action_space: Space[Any]) -> None:
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        given = np.asarray(action)
        assert self.action_space.contains(given), action
        self.t += 1
        reward = float((given.astype(np.float64) * self.np_random.normal(size=given.shape)).sum())
        return self.observation_space.sample(), reward, False, self.t == 7, {}


def register() -> None:
    """Make the tasks known: one for each space that can be shown, and one for each that can be acted in."""
    kinds = {"Shows": [(name, space, ACTIONS["box"]) for name, space in OBSERVATIONS.items()]}
    kinds["Takes"] = [(name, OBSERVATIONS["vector"], space) for name, space in ACTIONS.items()]
    for kind, tasks in kinds.items():
        for name, shown, taken in tasks:
            given = {"observation_space": shown, "action_space": taken}
            gym.register(f"spaces/{kind}-{name}-v0", Sampled, max_episode_steps=9, kwargs=given)


if "spaces/Shows-vector-v0" not in gym.registry:
    register()
