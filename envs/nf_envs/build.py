"""Make a task from what a user names: a class or its path, constants, sensors and actuators."""

import importlib
from collections.abc import Mapping
from typing import Any

from nf_envs.base import Task, with_constants


def build(
    task: Any,
    *,
    constants: Mapping[str, Any] | None = None,
) -> Task[Any]:
    """A task as asked for.

    Args:
        task: A `Task`, which is used as it is, a class of one, or its import path "module:Class".
        constants: Physical constants that differ from the task's own: numbers.
    Raises: ValueError if the task or a constant is not known, or a value is impossible.
    """
    if isinstance(task, str):
        task = _load(task)
    if isinstance(task, type) and issubclass(task, Task):
        task = task()
    if not isinstance(task, Task):
        raise ValueError(f"A task is a Task, its class, or a path like 'nf_envs.classic:CartPole', not {task!r}.")
    if constants:
        task = type(task)(with_constants(type(task).__name__, task.default_params, constants))
    return task


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"There is no task {path!r}: name it as 'module:Class'.") from error
