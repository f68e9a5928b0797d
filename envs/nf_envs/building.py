"""Build a task from a class or its path, constants, sensors and actuators."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from nf_envs.base import Task, with_constants
from nf_envs.random_physics import Randomised, random_names
from nf_envs.sensing import HideVelocities


def build(
    task: Any,
    *,
    constants: Mapping[str, Any] | None = None,
    sensing: Sequence[Any] = (),
    hide_velocities: bool = False,
    **unknown: Any,
) -> Task[Any]:
    """Build a task.

    Args:
        task: A `Task`, its class, a function that makes one, or the import path "module:name" of a class or function.
        constants: Physical constants that differ from the task's own: numbers, or distributions of
            `nf_envs.random_physics` from which each episode draws its own.
        sensing: Sensors and actuators of `nf_envs.sensing`, from the task outwards.
        hide_velocities: Whether to leave the velocities out of the observation, before anything else is sensed.
        unknown: Any other argument of `gymnasium.make`; refused.
    Raises: ValueError if the task, a constant or an option is unknown, a value is impossible or a sensor does not fit.
    """
    if unknown:
        raise ValueError(
            f"Unknown option {next(iter(unknown))!r} of a task: known are constants, sensing, hide_velocities."
        )
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
    if not isinstance(sensing, Sequence):
        raise ValueError(f"sensing is a list of sensors and actuators, not {sensing!r}.")
    for device in [HideVelocities()] * hide_velocities + list(sensing):
        if not hasattr(device, "wrap"):
            raise ValueError(f"sensing lists sensors and actuators of nf_envs.sensing, not {device!r}.")
        task = device.wrap(task)
    return task


def about_task(task: Task[Any], about: Mapping[str, str] | None, render_mode: str | None, modes: list[str]) -> dict:
    """The metadata of both views of a task: pictures per second, twin, and description.

    Args:
        task: The task.
        about: What the task asks, and its reference.
        render_mode: The one that the user chose.
        modes: The possible ones.
    Raises: ValueError if the render mode is not possible.
    """
    if render_mode is not None and render_mode not in modes:
        raise ValueError(f"There is no render mode {render_mode!r}: use {' or '.join(map(repr, modes))}.")
    return {"render_modes": modes, "render_fps": task.pictures_per_second, "twin": task.twin, **(about or {})}


def changed_constants(task: Task[Any], base: Any, changes: Mapping[str, Any]) -> Any:
    """The constants of a task with the changes that a user gave to `reset`.

    Raises: ValueError as `with_constants`, or if a change makes a fixed constant random.
    """
    for name, value in changes.items():
        if hasattr(value, "low") and name not in random_names(task.default_params):
            raise ValueError(
                f"{name} cannot become random at a reset: give constants={{{name!r}: ...}} to gymnasium.make."
            )
    return with_constants(type(task.physics).__name__, base, changes)


def given_state(task: Task[Any], like: Any, entries: Any, number: Callable[[str, Any], Tensor]) -> Any:
    """A state of a task's physics from the numbers that a user gave to `reset`.

    Args:
        task: The task.
        like: Any state of the task.
        entries: Numbers, in the order of the state's names.
        number: Makes a tensor (num_envs,) from the name and value of an entry.
    Raises: ValueError if the entries do not fit the state.
    """
    like = task.physical(like)
    if not all(isinstance(entry, Tensor) and entry.dim() == 1 for entry in like):
        raise ValueError(f"{type(task.physics).__name__} cannot start from a given state.")
    if len(entries) != len(like):
        raise ValueError(f"The state must have {len(like)} entries: {', '.join(like._fields)}.")
    pairs = zip(like._fields, entries, like, strict=True)
    return type(like)(*(number(name, value).to(old.dtype) for name, value, old in pairs))


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"There is no task {path!r}: name it as 'module:Class'.") from error
