"""Which task it is: an id, keyword arguments, wrappers and a time limit, from words and to Gymnasium's EnvSpec."""

import dataclasses
import json
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, WrapperSpec

from nf_policies.tasks.faults import TaskError

WATCHING = {"Monitor", "RecordEpisodeStatistics", "RecordVideo", "HumanRendering", "RenderCollection"}
"""Wrappers that leave a task as it is."""
PLAYING = {"render_mode", "num_envs", "vectorization_mode", "vector_kwargs"}
"""Keyword arguments that say how a task is played."""
LEARNING = {"NormalizeObservation", "VecNormalize"}
"""Wrappers that change what a task shows by statistics, which no description holds."""


@dataclass(frozen=True)
class Task:
    """A task as a user names it: plain values, from which every process can make it.

    Attributes:
        env_id: A Gymnasium id, alone or after `package.module:` or `path/to/file.py:`.
        kwargs: Keyword arguments of `gymnasium.make`, over the registered ones.
        wrappers: Around it, the innermost first; their entry points are `module:Class` or `path/to/file.py:Class`.
        max_episode_steps: Time limit in steps, in place of the registered one.
    """

    env_id: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    wrappers: tuple[WrapperSpec, ...] = ()
    max_episode_steps: int | None = None

    @property
    def as_registered(self) -> bool:
        """Whether it is what its id says, but for the time limit: what is known of the id is then true of it."""
        return not (self.kwargs or self.wrappers)

    def __str__(self) -> str:
        more = [json.dumps(dict(self.kwargs))] if self.kwargs else []
        more += [f"in {wrapper.name}" for wrapper in self.wrappers]
        return " ".join((self.env_id, *more))


def task_of(task: Task | str, max_episode_steps: int | None = None) -> Task:
    """A task from its id, or as it is; with another time limit, if one is given."""
    task = Task(task) if isinstance(task, str) else task
    return task if max_episode_steps is None else dataclasses.replace(task, max_episode_steps=max_episode_steps)


def keywords_of(text: str | None) -> dict[str, Any]:
    """The keyword arguments in the words of --env-kwargs, a JSON object.

    Raises: TaskError if it is none, or names what has an option of its own.
    """
    try:
        kwargs = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise TaskError(f"--env-kwargs takes JSON such as '{{\"g\": 9.81}}', not {text}: {error}.") from error
    if not isinstance(kwargs, dict):
        raise TaskError(f"--env-kwargs takes a JSON object such as '{{\"g\": 9.81}}', not {text}.")
    if "max_episode_steps" in kwargs:
        raise TaskError("A time limit is no keyword argument of a task: use --max-episode-steps.")
    return kwargs


def wrappers_of(words: Iterable[str]) -> tuple[WrapperSpec, ...]:
    """The wrappers of --wrapper: `module:Class`, each perhaps with its arguments behind it, a JSON object.

    Raises: TaskError naming what is not of this form.
    """
    wrappers = []
    for word in words:
        path, brace, rest = word.partition("{")
        module, _, name = path.strip().rpartition(":")
        try:
            kwargs = json.loads(brace + rest or "{}")
        except (ValueError, RecursionError):
            kwargs = None
        if not module or not name.isidentifier() or kwargs is None:
            example = 'gymnasium.wrappers:FrameStackObservation {"stack_size": 4}'
            raise TaskError(f"--wrapper takes module:Class, and arguments as JSON as in '{example}', not {word!r}.")
        wrappers.append(WrapperSpec(name, f"{module}:{name}", kwargs))
    return tuple(wrappers)


def words_of(wrapper: WrapperSpec) -> str:
    """A wrapper in the words of --wrapper."""
    return wrapper.entry_point + (f" {json.dumps(wrapper.kwargs)}" if wrapper.kwargs else "")


def described(spec: EnvSpec | None, task: Task | None = None) -> dict[str, Any]:
    """A task as Gymnasium's `EnvSpec` in JSON values, as `EnvSpec.to_json` writes it.

    Args:
        spec: Of an environment of the task.
        task: As it was asked for, if it was; without, all is in the spec.
    Raises: TaskError if that would not be the task: a wrapper or an argument is nothing that JSON can hold.
    """
    if spec is None:
        raise TaskError("The environment has no spec: make it with gymnasium.make.")
    given = _changed(spec) if task is None else task.kwargs
    for name, value in given.items():
        if name not in PLAYING and not is_json(value):
            raise TaskError(f"The argument {name} of {spec.id} is a {type(value).__name__}, which no file holds.")
    kwargs = {name: value for name, value in spec.kwargs.items() if name not in PLAYING and is_json(value)}
    wrappers = spec.additional_wrappers if task is None else task.wrappers
    wrappers = tuple(wrapper for wrapper in wrappers if wrapper.name not in WATCHING)
    for wrapper in wrappers:
        if wrapper.name in LEARNING:
            raise TaskError(f"{wrapper.name} has statistics that no file holds: leave it out, a policy normalises.")
        if wrapper.kwargs is None or not is_json(wrapper.kwargs):
            raise TaskError(f"The wrapper {wrapper.name} of {spec.id} has arguments that no file holds.")
    changed: Any = {name: _path(getattr(spec, name)) for name in ("entry_point", "vector_entry_point")}
    changed |= {"kwargs": kwargs, "additional_wrappers": wrappers}
    return json.loads(dataclasses.replace(spec, **changed).to_json())


def is_json(value: Any) -> bool:
    """Whether JSON holds a value."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _changed(spec: EnvSpec) -> dict[str, Any]:
    """Keyword arguments of an environment that are not the registered ones."""
    registered = gym.registry[spec.id].kwargs if spec.id in gym.registry else {}
    return {name: value for name, value in spec.kwargs.items() if not _same(registered.get(name), value)}


def _same(registered: Any, value: Any) -> bool:
    """Whether a value is the registered one or a copy of it."""
    if registered is value:
        return True
    try:
        return pickle.dumps(registered) == pickle.dumps(value)
    except Exception:  # whatever cannot be copied
        return False


def _path(entry: Any) -> str | None:
    """An entry point as `module:name`; None for a function or class that no import finds."""
    if entry is None or isinstance(entry, str):
        return entry
    name = getattr(entry, "__qualname__", "<")
    return None if "<" in name else f"{entry.__module__}:{name}"
