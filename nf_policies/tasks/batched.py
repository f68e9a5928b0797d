"""Batched tasks: tasks with a functional core on tensors, found and made through Gymnasium's registry alone."""

from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import VectorEnv

from nf_policies.tasks.errors import TaskError
from nf_policies.tasks.make import register_installed


def batched_twin(env_id: str) -> str | None:
    """The id of the batched task that equals a Gymnasium task step by step; the id itself if it is batched."""
    register_installed()
    if is_batched(env_id):
        return env_id
    twin = f"nf/{env_id}"
    return twin if is_batched(twin) and make_batched(twin).func_env.twin == env_id else None  # type: ignore[attr-defined]


def is_batched(env_id: str) -> bool:
    """Whether a registered task, `package.module:EnvId` included, has a vector view of its own on a functional core."""
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            import_module(module)
    except ImportError:
        return False
    spec = gym.registry.get(name)
    if spec is None or spec.vector_entry_point is None or "task" not in spec.kwargs:
        return False
    view: Any = spec.vector_entry_point
    return hasattr(load_env_creator(view) if isinstance(view, str) else view, "pure_step")


def is_compilable(batched: str) -> bool:
    """Whether a batched task is all tensors, as an `Engine` needs it; simulators such as MuJoCo's are not."""
    return bool(getattr(make_batched(batched).func_env, "compilable", True))  # type: ignore[attr-defined]


def simulated(env_id: str) -> str | None:
    """The id of the batched task whose simulator steps a task faster, at any number of lanes; None if there is none."""
    twin = batched_twin(env_id)
    return None if twin is None or is_compilable(twin) else twin


def make_batched(env_id: str, num_envs: int = 1, *, max_episode_steps: int | None = None, **options: Any) -> VectorEnv:
    """The vector view of a batched task.

    Args:
        env_id: Of a batched task, as from `batched_twin`.
        num_envs: Number of environments; an `Engine` ignores it.
        max_episode_steps: Time limit in steps, in place of the registered one.
        options: Of the view, for example the `device`, `dtype`, `check_actions` and `compile` of `nf_envs`.
    Raises: TaskError if it cannot be made.
    """
    register_installed()
    if max_episode_steps is not None:
        options["max_episode_steps"] = max_episode_steps
    try:
        return gym.make_vec(env_id, num_envs=num_envs, vectorization_mode="vector_entry_point", **options)
    except (gym.error.Error, ModuleNotFoundError, ValueError) as error:
        raise TaskError(f"The batched task {env_id} cannot be made: {' '.join(str(error).split())}") from error
