"""Batched tasks: tasks with a functional core on tensors, found and made through Gymnasium's registry alone."""

from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import VectorEnv

from nf_policies.tasks.description import Task, task_of
from nf_policies.tasks.faults import TaskError, errors_of
from nf_policies.tasks.registry import found


def batched_twin(task: Task | str) -> str | None:
    """The id of the batched task that equals a Gymnasium task step by step; the id itself if it is batched."""
    task = task_of(task)
    if is_batched(task):
        return task.env_id
    twin = f"nf/{task.env_id}"
    if ":" in twin or not task.as_registered or not is_batched(twin):
        return None
    return twin if make_batched(twin).func_env.twin == task.env_id else None  # type: ignore[attr-defined]


def twin_to_play(task: Task | str, backend: str, workers: int) -> str | None:
    """As `batched_twin`, or None where the backend "gymnasium" or workers, which are Gymnasium's, are asked for."""
    return None if backend == "gymnasium" or workers else batched_twin(task)


def is_batched(task: Task | str) -> bool:
    """Whether a task, alone and not in wrappers, has a vector view of its own on a functional core."""
    task = task_of(task)
    if task.wrappers:
        return False
    try:
        with errors_of(task.env_id):
            what = found(task.env_id)
    except ImportError:
        return False
    spec = gym.registry.get(what) if isinstance(what, str) else what
    if spec is None or spec.vector_entry_point is None or "task" not in spec.kwargs:
        return False
    view: Any = spec.vector_entry_point
    return hasattr(load_env_creator(view) if isinstance(view, str) else view, "pure_step")


def is_compilable(batched: Task | str) -> bool:
    """Whether a batched task is all tensors, as an `Engine` needs it; simulators such as MuJoCo's are not."""
    return bool(getattr(make_batched(batched).func_env, "compilable", True))  # type: ignore[attr-defined]


def simulated(task: Task | str) -> str | None:
    """The id of the batched task whose simulator steps a task faster, at any number of lanes; None if there is none."""
    twin = batched_twin(task)
    return None if twin is None or is_compilable(twin) else twin


def make_batched(
    task: Task | str, num_envs: int = 1, *, max_episode_steps: int | None = None, **options: Any
) -> VectorEnv:
    """The vector view of a batched task.

    Args:
        task: A batched task, or its id, as from `batched_twin`.
        num_envs: Number of environments; an `Engine` ignores it.
        max_episode_steps: Time limit in steps, in place of the task's own.
        options: Of the view, for example the `device`, `dtype`, `check_actions` and `compile` of `nf_envs`.
    Raises: TaskError if it cannot be made.
    """
    task = task_of(task, max_episode_steps)
    if task.max_episode_steps is not None:
        options["max_episode_steps"] = task.max_episode_steps
    options = {**task.kwargs, **options}
    try:
        return gym.make_vec(found(task.env_id), num_envs=num_envs, vectorization_mode="vector_entry_point", **options)
    except (gym.error.Error, ModuleNotFoundError, ValueError) as error:
        raise TaskError(f"The batched task {task.env_id} cannot be made: {' '.join(str(error).split())}") from error
