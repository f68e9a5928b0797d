"""The task that a policy file describes. A file's word imports nothing: modules are named on the command line."""

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec, find_highest_version, parse_env_id

from nf_policies.tasks.description import Task, is_json, keywords_of, words_of, wrappers_of
from nf_policies.tasks.faults import TaskError, errors_of
from nf_policies.tasks.registry import found, register_installed, registry_id
from nf_policies.wording import in_short

KNOWN = ("common", "transform_observation", "transform_action", "transform_reward", "stateful_observation",
         "stateful_action", "stateful_reward", "atari_preprocessing")  # fmt: skip
"""Modules of Gymnasium's wrappers that only change a task; others write films or open windows."""


def task_of_file(
    env_id: str | None,
    env_spec: Mapping[str, Any] | None,
    *,
    env: str | None = None,
    env_kwargs: str | None = None,
    wrapper: tuple[str, ...] = (),
    max_episode_steps: int | None = None,
) -> Task:
    """The task of a policy file, with what the command line says in place of what the file says.

    Args:
        env_id: The file's, perhaps with the module in which the task is registered.
        env_spec: The file's description, as `described` writes it; None in older files.
        env: The command line's id. Another id than the file's is another task, of which the file says nothing.
        env_kwargs: The command line's keyword arguments, as JSON.
        wrapper: The command line's wrappers.
        max_episode_steps: The command line's time limit.
    Raises: TaskError if the file names no task, or what is not imported for it; the message says what to add.
    """
    if env is None and env_id is None:
        raise TaskError("The file does not say which task it is for: name one with --env.")
    told = Task("") if env_spec is None else of_spec(env_spec)
    named = (env_id or told.env_id).rpartition(":")[2]
    if env is None:
        env = told.env_id or named
        _registered(env, str(env_id))
    else:
        with errors_of(env):
            found(env)  # which the user names
        told = told if env.rpartition(":")[2] in (named, told.env_id) else Task("")
    wrappers = wrappers_of(wrapper) or tuple(_known(of_file, told.wrappers) for of_file in told.wrappers)
    kwargs = _changed(env, told.kwargs) if env_kwargs is None else keywords_of(env_kwargs)
    return Task(env, kwargs, wrappers, max_episode_steps or told.max_episode_steps)


def of_spec(env_spec: Mapping[str, Any]) -> Task:
    """The task of an `EnvSpec` in JSON values, of which nothing is imported; a TaskError if it is none."""
    try:
        spec = EnvSpec.from_json(json.dumps(env_spec))
        limit, kwargs, wrappers = spec.max_episode_steps, spec.kwargs, spec.additional_wrappers
        whole = isinstance(kwargs, dict) and (limit is None or (type(limit) is int and limit > 0))
        for wrapper in wrappers:
            whole &= isinstance(wrapper.entry_point, str) and isinstance(wrapper.kwargs, dict)
        if not whole:
            raise ValueError("a part is of another kind")
    except Exception as error:  # whatever a malformed file makes go wrong
        raise TaskError(f"The file's description of its task cannot be used: {in_short(error)}.") from error
    return Task(spec.id, kwargs, wrappers, limit)


def _registered(name: str, env_id: str) -> None:
    """A TaskError if a task is not registered yet."""
    register_installed()
    try:
        namespace, bare, version = parse_env_id(name)
    except gym.error.Error as error:
        raise TaskError(f"The file's task {in_short(name)!r} is not an id: name one with --env.") from error
    if name in gym.registry or (version is None and find_highest_version(namespace, bare) is not None):
        return
    named = in_short(name, 60)
    whole = shlex.quote(in_short(env_id, 110) if ":" in env_id else f"package.module:{named}")
    raise TaskError(
        f"The task {named} is not registered, and no module is imported because a file names it: add --env {whole}."
    )


def _known(wrapper: WrapperSpec, all_wrappers: tuple[WrapperSpec, ...]) -> WrapperSpec:
    """One of Gymnasium's wrappers; a TaskError for another one."""
    module, _, name = wrapper.entry_point.rpartition(":")
    cls = vars(gym.wrappers).get(name)
    if module.startswith("gymnasium.wrappers") and getattr(cls, "__module__", "").rpartition(".")[2] in KNOWN:
        return WrapperSpec(name, f"gymnasium.wrappers:{name}", wrapper.kwargs)
    needed = " ".join(f"--wrapper {shlex.quote(in_short(words_of(other)))}" for other in all_wrappers)
    raise TaskError(
        f"The task is in the wrapper {in_short(wrapper.entry_point, 60)}, and a file's word imports no module: add "
        f"{needed}."
    )


def _changed(env: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments that differ from the registered ones, of which an import path stays as it is."""
    spec = gym.registry.get(registry_id(env))
    registered = {} if spec is None else spec.kwargs
    return {name: value for name, value in kwargs.items() if not _keeps(registered.get(name), value)}


def _keeps(registered: Any, value: Any) -> bool:
    """Whether a registered argument stays: a file says the same, or would replace an import path or an object."""
    if registered is None or not is_json(registered):
        return registered is not None
    is_path = isinstance(registered, str) and re.fullmatch(r"[\w.]+:[\w.]+", registered) is not None
    return is_path or json.dumps(registered) == json.dumps(value)
