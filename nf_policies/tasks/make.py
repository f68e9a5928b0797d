"""Tasks made with Gymnasium, with clear errors."""

import inspect
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec
from gymnasium.wrappers import TimeLimit

from nf_policies.tasks.checked import Checked
from nf_policies.tasks.description import Task, task_of, words_of
from nf_policies.tasks.faults import TaskError, errors_of, place_of
from nf_policies.tasks.lanes import as_single
from nf_policies.tasks.registry import attribute, found

CAP = 1000
"""Steps after which whole episodes of a task without a time limit are cut, so that they end."""


class Limit(NamedTuple):
    """The steps after which an episode is cut: the task's own limit, or a cap because it has none."""

    steps: int
    is_cap: bool

    @staticmethod
    def of(steps: int | None) -> "Limit":
        """The limit of a task that has this one, or none."""
        return Limit(steps or CAP, steps is None)


class Cap(TimeLimit):
    """A time limit that is no part of the task: the spec does not have it."""

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """That of the task."""
        return self.env.spec


def make_task(
    task: Task | str, *, max_episode_steps: int | None = None, render_mode: str | None = None, cap: int | None = CAP
) -> gym.Env:
    """One environment of a task, whose answers are checked.

    Args:
        task: A `Task`, or a Gymnasium id, `package.module:EnvId` and `path/to/file.py:EnvId` included.
        max_episode_steps: Time limit in steps, in place of the task's own.
        render_mode: Gymnasium's, "rgb_array" for pictures.
        cap: Steps after which an episode is cut if the task has no time limit; None to let it go on.
    Raises: TaskError if the id is unknown, a package is missing, its own code fails, or its reset takes no seed.
    """
    task = task_of(task, max_episode_steps)
    pictures = {} if render_mode is None else {"render_mode": render_mode}  # a task need not know render_mode
    with errors_of(task.env_id):
        try:
            env: gym.Env = gym.make(
                as_single(found(task.env_id), task.max_episode_steps),
                max_episode_steps=task.max_episode_steps,
                disable_env_checker=True,
                **{**task.kwargs, **pictures},
            )
        except (gym.error.Error, ModuleNotFoundError) as error:
            raise TaskError(f"The task {task.env_id} cannot be made: {' '.join(str(error).split())}") from error
        except TypeError as error:
            if place_of(error):  # not the call itself
                raise
            raise TaskError(
                f"The task {task.env_id} cannot be made: {' '.join(str(error).split())}. What it needs is given as "
                "JSON: --env-kwargs '{\"name\": value}'."
            ) from error
        env = _wrapped(env, task)
    _check_reset(env, task.env_id)
    env = Checked(env, task.env_id)
    return Cap(env, cap) if cap is not None and limit_of(env) is None else env


def limit_of(env: Any) -> int | None:
    """The time limit of a task's environment, in steps; None if it has none, or only a cap."""
    return None if env.spec is None else env.spec.max_episode_steps


def _wrapped(env: gym.Env, task: Task) -> gym.Env:
    """The environment in the task's wrappers, without those that it has anyway."""
    has = () if env.spec is None else tuple(wrapper.name for wrapper in env.spec.additional_wrappers)
    wrappers = task.wrappers
    if has and tuple(wrapper.name for wrapper in wrappers[: len(has)]) == has:
        wrappers = wrappers[len(has) :]
    for wrapper in wrappers:
        env = _in(env, wrapper)
    return env


def _in(env: gym.Env, wrapper: WrapperSpec) -> gym.Env:
    try:
        wrapped = attribute(wrapper.entry_point)(env, **(wrapper.kwargs or {}))
    except ModuleNotFoundError as error:
        raise TaskError(f"The wrapper {wrapper.entry_point} cannot be made: {error}.") from error
    except TypeError as error:
        if place_of(error):  # not the call itself
            raise
        raise TaskError(
            f"The wrapper {wrapper.entry_point} cannot be made: {error}. Its arguments follow it as JSON: --wrapper "
            f"'{words_of(wrapper).partition(' ')[0]} {{\"name\": value}}'."
        ) from error
    if not isinstance(wrapped, gym.Env):
        raise TaskError(f"{wrapper.entry_point} is no wrapper: it makes a {type(wrapped).__name__}, no Env.")
    return wrapped


def _check_reset(env: gym.Env, env_id: str) -> None:
    """A TaskError if a layer's reset takes no seed; the environment is closed then."""
    layers = [env]
    while isinstance(layers[-1], gym.Wrapper):
        layers.append(layers[-1].env)
    for layer in layers:
        try:
            inspect.signature(layer.reset).bind(seed=0, options=None)
        except TypeError as error:
            env.close()
            raise TaskError(
                f"{env_id} cannot be reset with a seed: {type(layer).__name__} must have Gymnasium's reset(self, *, "
                "seed=None, options=None)."
            ) from error
