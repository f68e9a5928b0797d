"""Make a task from what a user names: a class or its path, constants, sensors and actuators."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from nf_envs.base import Task, with_constants
from nf_envs.random_physics import Randomised, random_names
from nf_envs.sensing import HideVelocities


def build(
    task: Any,
    *,
    constants: Mapping[str, Any] | None = None,
    sensing: Sequence[Any] = (),
    hide_velocities: bool = False,
) -> Task[Any]:
    """A task as asked for.

    Args:
        task: A `Task`, which is used as it is, a class of one, a function that makes one, or the import path of
            either, "module:name".
        constants: Physical constants that differ from the task's own: numbers, or distributions of
            `nf_envs.random_physics` from which each episode draws its own.
        sensing: Sensors and actuators of `nf_envs.sensing`, from the task outwards.
        hide_velocities: Whether to leave the velocities out of the observation, before anything else is sensed.
    Raises: ValueError if the task or a constant is not known, a value is impossible or a sensor does not fit.
    """
    if isinstance(task, str):
        task = _load(task)
    if not isinstance(task, Task) and callable(task):
        task = task()
    if not isinstance(task, Task):
        raise ValueError(f"A task is a Task, its class, or a path like 'nf_envs.classic:CartPole', not {task!r}.")
    if constants:
        if task.physics is not task:
            raise ValueError("Give constants to the task itself, not to one that has sensors or actuators.")
        task = type(task)(with_constants(type(task).__name__, task.default_params, constants))
    if task.physics is task and random_names(task.default_params):
        task = Randomised(task)
    for device in [HideVelocities()] * hide_velocities + list(sensing):
        if not hasattr(device, "wrap"):
            raise ValueError(f"sensing lists sensors and actuators of nf_envs.sensing, not {device!r}.")
        task = device.wrap(task)
    return task


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"There is no task {path!r}: name it as 'module:Class'.") from error
