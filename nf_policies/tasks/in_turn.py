"""Environments of one process, stepped one after the other: for training, or for whole episodes."""

import copy
import functools
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import concatenate, iterate

from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.make import CAP, Cap, limit_of


class SideBySide(SyncVectorEnv):
    """Gymnasium's `SyncVectorEnv` of environments that are there already, for what tasks really answer.

    A reward of one number may be an array, and `info` may be anything.
    """

    def __init__(self, envs: Sequence[gym.Env], mode: AutoresetMode, *, copy: bool) -> None:
        super().__init__([functools.partial(same, env) for env in envs], copy=copy, autoreset_mode=mode)

    def _step(self, i: Any, action: Any) -> tuple[Any, Any]:
        """Step an environment and keep its signals. Returns its observation and info."""
        obs, reward, self._terminations[i], self._truncations[i], info = self.envs[i].step(action)
        try:
            self._rewards[i] = reward
        except (TypeError, ValueError):
            self._rewards[i] = self._number(reward)
        return obs, info

    def _number(self, reward: Any) -> float:
        """A reward that is an array of one number; a TaskError for another one."""
        if np.size(reward) == 1:
            return float(np.asarray(reward).reshape(()))
        raise TaskError(
            f"The reward of {name_of(self.envs[0])} has shape {np.shape(reward)}, and a policy needs one number: "
            "make one in a wrapper, for example with --wrapper 'mo_gymnasium.wrappers:LinearReward'."
        )

    def _shown(self) -> Any:
        """The observations of all environments; a TaskError where one does not fit the task's space."""
        try:
            space = self.single_observation_space
            return concatenate(space, self._env_obs, self._observations)
        except (TypeError, ValueError) as error:
            raise self._unlike(error) from error

    def _unlike(self, error: Exception) -> TaskError:
        """What to say of an observation that does not fit."""
        space = self.single_observation_space
        strange = next((obs for obs in self._env_obs if not space.contains(obs)), self._env_obs[0])
        what = f"shape {np.shape(strange)}" if isinstance(strange, np.ndarray) else f"{strange!r}"[:80]
        return TaskError(f"{name_of(self.envs[0])} shows {what}, but says that its observations are {space}: {error}.")

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        """What an environment tells beside; what cannot be stacked is left out."""
        try:
            return super()._add_info(vector_infos, env_info, env_num) if env_info else vector_infos
        except (ValueError, TypeError, AttributeError):
            return vector_infos


class TrainingSideBySide(SideBySide):
    """Environments that begin the next episode within the step that ends one."""

    def __init__(self, envs: Sequence[gym.Env]) -> None:
        super().__init__(envs, AutoresetMode.SAME_STEP, copy=True)

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step all environments; `final_obs` among the infos are the last observations of episodes that ended."""
        infos: dict[str, Any] = {}
        for i, action in enumerate(iterate(self.action_space, actions)):
            self._env_obs[i], info = self._step(i, action)
            if self._terminations[i] or self._truncations[i]:
                infos = self._add_info(infos, {"final_obs": self._env_obs[i], "final_info": info}, i)
                self._env_obs[i], info = self.envs[i].reset()
            infos = self._add_info(infos, info, i)
        obs = copy.deepcopy(self._shown())
        return obs, self._rewards.copy(), self._terminations.copy(), self._truncations.copy(), infos


class PausingSyncVectorEnv(SideBySide):
    """Environments of which each is left alone from its episode's end until it is reset.

    Their observations are one array, overwritten by each step.
    """

    pausing = True

    def __init__(self, envs: Sequence[gym.Env]) -> None:
        super().__init__(envs, AutoresetMode.DISABLED, copy=False)

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step the environments whose episodes are running; the others keep their last values, with reward 0."""
        self._rewards[:] = 0.0
        for i in np.flatnonzero(~self._autoreset_envs):
            self._env_obs[i], _ = self._step(i, actions[i])
            try:
                self._observations[i] = self._env_obs[i]
            except (TypeError, ValueError) as error:
                raise self._unlike(error) from error
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


def same(env: gym.Env) -> gym.Env:
    """The environment itself, for what wants to make one."""
    return env


def name_of(env: gym.Env) -> str:
    """The id of an environment's task, or its class."""
    return type(env.unwrapped).__name__ if env.spec is None else env.spec.id
