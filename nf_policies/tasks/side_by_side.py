"""Environments of one task side by side: for whole episodes, or for training."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.vector.utils import concatenate

from nf_policies.tasks.batched import is_batched, is_compilable, make_batched, simulated
from nf_policies.tasks.make import make_task, register_installed
from nf_policies.tasks.processes import ProcessVectorEnv


class PausingSyncVectorEnv(SyncVectorEnv):
    """A `SyncVectorEnv` that leaves an environment alone from its episode's end until it is reset.

    Its observations are one array, overwritten by each step.
    """

    pausing = True

    def __init__(self, env_fns: Sequence[Callable[[], gym.Env]]) -> None:
        super().__init__(env_fns, copy=False, autoreset_mode=AutoresetMode.DISABLED)
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


class PausingLanes(VectorWrapper):
    """A batched task with autoreset disabled, in arrays; it leaves a lane alone from its episode's end to its reset."""

    pausing = True

    def __init__(self, env: VectorEnv) -> None:
        super().__init__(env)
        self._running = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin episodes, as Gymnasium's vector environments do; the first time in every lane."""
        if not self._running:
            seed = [s or 0 for s in seed] if isinstance(seed, Sequence) else seed
            options = {name: value for name, value in (options or {}).items() if name != "reset_mask"}
        self._running = True
        given: Any = seed
        obs, _ = self.env.reset(seed=given, options=options)
        return obs.numpy(), {}

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        """Step the lanes whose episodes are running."""
        *answer, _ = self.env.step(torch.as_tensor(actions))
        return *(part.numpy() for part in answer), {}


def make_envs(
    env_id: str,
    num_envs: int,
    *,
    workers: int = 0,
    max_episode_steps: int | None = None,
    step_timeout: float | None = None,
) -> VectorEnv:
    """Environments with autoreset disabled, for `play`; those of a simulator's batched task are its lanes.

    Args:
        env_id: As for `make_task`, whose errors are raised.
        num_envs: Number of environments in this process, where there are no workers.
        workers: Number of environments in a process each, which pays where a step takes a millisecond or more.
        max_episode_steps: As for `make_task`.
        step_timeout: Seconds after which a worker that does not answer is replaced; see `ProcessVectorEnv`.
    """
    make = functools.partial(make_task, env_id, max_episode_steps=max_episode_steps)
    if workers:
        return in_processes(env_id, make, workers, AutoresetMode.DISABLED, step_timeout)
    register_installed()
    if is_batched(env_id) and not is_compilable(env_id):
        paused: dict[str, Any] = {"autoreset_mode": "Disabled", "check_actions": False}
        return PausingLanes(make_batched(env_id, num_envs, max_episode_steps=max_episode_steps, **paused))
    return PausingSyncVectorEnv([make] * num_envs)


def in_processes(
    env_id: str, make: Callable[[], gym.Env], count: int, mode: AutoresetMode, timeout: float | None
) -> VectorEnv:
    """Environments in a process each."""
    register_installed()
    return ProcessVectorEnv(make, count, mode=mode, name=env_id, spec=gym.registry.get(env_id), timeout=timeout)


def for_episodes(envs: VectorEnv) -> VectorEnv | None:
    """Training environments with autoreset disabled, for `play`; None for others than single ones side by side.

    They are the same environments: those of training must be reset before they are stepped again.
    """
    if isinstance(envs, ProcessVectorEnv):
        return envs.for_episodes()
    if isinstance(envs, SyncVectorEnv):
        return PausingSyncVectorEnv([functools.partial(_the_same, env) for env in envs.envs])
    return None


def _the_same(env: gym.Env) -> gym.Env:
    return env


def training_envs(
    env_id: str,
    num_envs: int,
    *,
    device: str = "cpu",
    workers: int = 0,
    max_episode_steps: int | None = None,
    step_timeout: float | None = None,
) -> VectorEnv:
    """Environments that begin the next episode within the same step: batched where the task can be, else one by one.

    A task with a twin in a simulator's lanes is that twin.

    Args:
        env_id: As for `make_task`, whose errors are raised.
        num_envs: Number of environments.
        device: Where a batched task is played, as torch names it.
        workers: Number of environments in a process each, instead; see `make_envs`.
        max_episode_steps: As for `make_task`.
        step_timeout: As for `make_envs`.
    """
    make = functools.partial(make_task, env_id, max_episode_steps=max_episode_steps)
    single = make()  # complains about a wrong id, and imports its module
    single.close()
    if workers:
        return in_processes(env_id, make, workers, AutoresetMode.SAME_STEP, step_timeout)
    spec: Any = single.spec
    limit: dict[str, Any] = {} if max_episode_steps is None else {"max_episode_steps": max_episode_steps}
    if lanes := simulated(spec.id):  # on the CPU, wherever the policy is
        return make_batched(lanes, num_envs, check_actions=False, **limit)
    if is_batched(spec.id):
        # The policy's actions are within the space, and what is not finite is found in what they bring.
        return make_batched(spec.id, num_envs, device=device, check_actions=False, **limit)
    if spec.vector_entry_point is not None:
        batched = gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", **limit)
        if batched.metadata.get("autoreset_mode") == AutoresetMode.SAME_STEP:
            return batched
        batched.close()
    return SyncVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
