"""Environments of one process, stepped one after the other: for training, or for whole episodes."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import concatenate

from nf_policies.tasks.make import CAP, Cap, limit_of


class SideBySide(SyncVectorEnv):
    """Gymnasium's `SyncVectorEnv` of environments that are there already, whose `info` may be anything.

    By default the next episode begins within the step that ends one, as a training wants it.
    """

    def __init__(
        self, envs: Sequence[gym.Env], mode: AutoresetMode = AutoresetMode.SAME_STEP, *, copy: bool = True
    ) -> None:
        super().__init__([lambda env=env: env for env in envs], copy=copy, autoreset_mode=mode)  # type: ignore[misc]

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        """What an environment tells beside; what cannot be stacked is left out."""
        try:
            return super()._add_info(vector_infos, env_info, env_num) if env_info else vector_infos
        except (ValueError, TypeError, AttributeError):
            return vector_infos


class PausingSyncVectorEnv(SideBySide):
    """Environments of which each is left alone from its episode's end until it is reset.

    Their observations are one array, overwritten by each step.
    """

    pausing = True

    def __init__(self, envs: Sequence[gym.Env]) -> None:
        super().__init__(envs, AutoresetMode.DISABLED, copy=False)
        self._rows: Any = self._observations if isinstance(self._observations, np.ndarray) else [None] * self.num_envs

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step the environments whose episodes are running; the others keep their last values, with reward 0."""
        self._rewards[:] = 0.0
        for i in np.flatnonzero(~self._autoreset_envs):
            obs, self._rewards[i], self._terminations[i], self._truncations[i], _ = self.envs[i].step(actions[i])
            self._env_obs[i] = self._rows[i] = obs
        if self._rows is not self._observations:  # parts of Dict and Tuple observations
            concatenate(self.single_observation_space, self._env_obs, self._observations)
        self._autoreset_envs = self._terminations | self._truncations
        return self._observations, self._rewards, self._terminations, self._truncations, {}


def same_for_judging(envs: VectorEnv) -> VectorEnv:
    """The environments of a training for whole episodes, where there can be no others; closing them closes nothing."""
    lent = [Lent(env) for env in envs.envs]  # type: ignore[attr-defined]
    return PausingSyncVectorEnv([Cap(env, CAP) if limit_of(env) is None else env for env in lent])


class Lent(gym.Wrapper):
    """An environment that somebody else closes."""

    def close(self) -> None:
        """Leave it open."""
