"""EnvPool's tasks, `envpool:ID`: lanes in C++ threads, which Gymnasium's registry then has as `envpool/ID`."""

import functools
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

SEEDS = 2**31
"""EnvPool's are below."""


class Pool(VectorEnv):
    """EnvPool's lanes, which take a seed by being made anew.

    Args:
        num_envs: Number of lanes.
        pool: EnvPool's id of the task.
        options: Further ones of `envpool.make`, `num_threads` among them.
    """

    def __init__(self, num_envs: int, pool: str, **options: Any) -> None:
        import envpool

        self.num_envs = num_envs
        self._make: Callable[..., Any] = functools.partial(
            envpool.make, pool, env_type="gymnasium", num_envs=num_envs, **options
        )
        self._lanes = self._make()
        self.metadata = self._lanes.metadata
        self.single_observation_space = self._lanes.observation_space
        self.single_action_space = self._lanes.action_space
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin episodes in all lanes, from one seed or one of each."""
        if seed is not None:
            self._lanes.close()
            self._lanes = self._make(seed=[s % SEEDS for s in seed] if isinstance(seed, list) else seed % SEEDS)
        return self._lanes.reset()[0], {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all lanes."""
        *answer, _ = self._lanes.step(actions)
        return *answer, {}

    def close_extras(self, **_: Any) -> None:
        """End the threads."""
        self._lanes.close()
