"""Environments of one task side by side: for whole episodes, or for training."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper

from nf_policies.tasks.batched import is_batched, is_compilable, make_batched, simulated
from nf_policies.tasks.description import Task, task_of
from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.in_turn import PausingSyncVectorEnv, SideBySide, same_for_judging
from nf_policies.tasks.make import CAP, Limit, limit_of, make_task
from nf_policies.tasks.processes import ProcessVectorEnv
from nf_policies.tasks.registry import found, register_installed


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
    task: Task | str,
    num_envs: int,
    *,
    workers: int = 0,
    max_episode_steps: int | None = None,
    step_timeout: float | None = None,
) -> VectorEnv:
    """Environments with autoreset disabled, for `play`; those of a simulator's batched task are its lanes.

    Where only one environment can be made in a process, it is one.

    Args:
        task: As for `make_task`, whose errors are raised. Without a time limit, episodes are cut after `CAP` steps.
        num_envs: Number of environments in this process, where there are no workers.
        workers: Number of environments in a process each, which pays where a step takes a millisecond or more.
        max_episode_steps: As for `make_task`.
        step_timeout: Seconds after which a worker that does not answer is replaced; see `ProcessVectorEnv`.
    """
    task = task_of(task, max_episode_steps)
    make = functools.partial(make_task, task)
    if workers:
        return in_processes(task, make, workers, AutoresetMode.DISABLED, step_timeout)
    if is_batched(task) and not is_compilable(task):
        paused: dict[str, Any] = {"autoreset_mode": "Disabled", "check_actions": False}
        return PausingLanes(with_limit(make_batched(task, num_envs, **paused)))
    return PausingSyncVectorEnv(several(make, num_envs)[0])


def limit_in(envs: Any) -> Limit:
    """The limit of whole episodes in environments from `make_envs` or in a batched task."""
    if isinstance(envs, ProcessVectorEnv):
        return Limit.of(envs.limit)
    if isinstance(envs, SyncVectorEnv):
        return Limit.of(limit_of(envs.envs[0]))
    return Limit(envs.unwrapped.max_episode_steps, getattr(envs.unwrapped, "is_capped", False))


def with_limit(envs: VectorEnv) -> VectorEnv:
    """A batched task in which every episode ends: without a time limit, at the cap."""
    lanes: Any = envs.unwrapped
    if lanes.max_episode_steps is None:
        lanes.max_episode_steps, lanes.is_capped = CAP, True
    return envs


def several(make: Callable[[], gym.Env], count: int) -> tuple[list[gym.Env], Exception | None]:
    """So many environments, or as many as can be made beside each other, and why there are no more."""
    envs = [make()]
    try:
        while len(envs) < count:
            envs.append(make())
    except Exception as error:  # whatever a simulator says that is running already
        return envs, error
    return envs, None


def in_processes(
    task: Task, make: Callable[[], gym.Env], count: int, mode: AutoresetMode, timeout: float | None
) -> VectorEnv:
    """Environments in a process each."""
    register_installed()
    spec = gym.registry.get(task.env_id)  # of a notebook, perhaps
    return ProcessVectorEnv(make, count, mode=mode, name=task.env_id, spec=spec, timeout=timeout)


def for_episodes(envs: VectorEnv) -> VectorEnv | None:
    """Training environments with autoreset disabled, for `play`; None where that cannot be.

    They are the same environments: those of training must be reset before they are stepped again.
    """
    if isinstance(envs, ProcessVectorEnv) and envs.limit is not None:
        return envs.for_episodes()
    return same_for_judging(envs) if isinstance(envs, SideBySide) else None


def training_envs(
    task: Task | str,
    num_envs: int,
    *,
    device: str = "cpu",
    workers: int = 0,
    max_episode_steps: int | None = None,
    step_timeout: float | None = None,
) -> VectorEnv:
    """Environments that begin episodes by themselves: batched where the task can be, else one by one.

    Others' vector environments have modes of their own; all else begins an episode within the last step of another. A
    task with a twin in a simulator's lanes is that twin. Episodes of a task without a time limit go on.

    Args:
        task: As for `make_task`, whose errors are raised.
        num_envs: Number of environments.
        device: Where a batched task is played, as torch names it.
        workers: Number of environments in a process each, instead; see `make_envs`.
        max_episode_steps: As for `make_task`.
        step_timeout: As for `make_envs`.
    Raises: TaskError, too, if only one environment can be made in a process.
    """
    task = task_of(task, max_episode_steps)
    make = functools.partial(make_task, task, cap=None)
    single = make()  # complains about a wrong id, and imports its module
    single.close()
    if workers:
        return in_processes(task, make, workers, AutoresetMode.SAME_STEP, step_timeout)
    spec: Any = single.spec
    if lanes := simulated(replace(task, env_id=spec.id)):  # on the CPU, wherever the policy is
        return make_batched(replace(task, env_id=lanes), num_envs, check_actions=False)
    if is_batched(task):
        # The policy's actions are within the space, and what is not finite is found in what they bring.
        return make_batched(task, num_envs, device=device, check_actions=False)
    if batched := own_vector_env(task, single, num_envs):
        return batched
    envs, why = several(make, num_envs)
    if why is not None:
        for env in envs:
            env.close()
        raise TaskError(
            f"Only {len(envs)} environments of {task.env_id} can be made in one process, for another one fails: {why} "
            f"Use --num-envs {len(envs)}, or a process for each with --workers {num_envs}."
        ) from why
    return SideBySide(envs)


def own_vector_env(task: Task, single: gym.Env, num_envs: int) -> VectorEnv | None:
    """The vector environment of a task's own package, if it is the same task and says how it begins episodes.

    Those of Gymnasium itself are examples, and not used where they lose a step with each episode.
    """
    spec: Any = single.spec
    if task.wrappers or spec.vector_entry_point is None:
        return None
    limit = {} if task.max_episode_steps is None else {"max_episode_steps": task.max_episode_steps}
    try:
        options = {"vectorization_mode": "vector_entry_point", **limit, **task.kwargs}
        envs = gym.make_vec(found(task.env_id), num_envs, **options)
    except Exception:  # whatever it does not take; one by one they are made
        return None
    mode = envs.metadata.get("autoreset_mode")
    example = str(spec.vector_entry_point).startswith("gymnasium.") and mode != AutoresetMode.SAME_STEP
    spaces = (envs.single_observation_space, envs.single_action_space)
    if isinstance(mode, AutoresetMode) and not example and spaces == (single.observation_space, single.action_space):
        return envs
    envs.close()
    return None
