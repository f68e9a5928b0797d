"""Checks of what a user gives to a vector view; each refuses with one sentence."""

from typing import Any

import gymnasium as gym
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode
from torch import Tensor

from nf_envs.base import Task


def device_of(device: str | torch.device) -> torch.device:
    """The device that a user named.

    Raises: ValueError if this machine does not have it.
    """
    try:
        return torch.zeros((), device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"There is no device {str(device)!r} here: use 'cpu'.") from error


def autoreset_mode_of(mode: str | AutoresetMode) -> AutoresetMode:
    """The autoreset mode of this name or value.

    Raises: ValueError if there is none.
    """
    names = {known.value: known for known in AutoresetMode} | {known.name: known for known in AutoresetMode}
    if isinstance(mode, str) and mode in names:
        return names[mode]
    if not isinstance(mode, AutoresetMode):
        raise ValueError(f"There is no autoreset mode {mode!r}: known are {', '.join(m.value for m in AutoresetMode)}.")
    return mode


def check_compilable(task: Task[Any], compile: bool, device: torch.device) -> None:
    """Check that a task can be compiled, if it is to be, and played on a device.

    Raises: ValueError naming a task that is not compilable.
    """
    if not task.compilable and (compile or device.type != "cpu"):
        name = type(task.physics).__name__
        raise ValueError(f"{name} has physics outside torch: it is not compiled, and runs on the device 'cpu' only.")


def check_actions(actions: Tensor, space: gym.Space[Any], num_envs: int) -> None:
    """Check that actions fit the space of one environment.

    Raises: ValueError naming the first environment whose action does not.
    """
    shape = (num_envs, *(space.shape or ()))
    if actions.shape != shape:
        raise ValueError(f"Actions must have shape {[*shape]}, not {[*actions.shape]}.")
    if isinstance(space, Discrete):
        if actions.is_floating_point():
            raise ValueError(f"Actions must be integers from 0 to {int(space.n) - 1}, not {actions.dtype}.")
        wrong = (actions < 0) | (actions >= int(space.n))
    else:
        assert isinstance(space, Box)
        low, high = (torch.as_tensor(side, device=actions.device) for side in (space.low, space.high))
        # Written so that NaN is wrong.
        wrong = ~((actions >= low) & (actions <= high)).all(-1)
    if wrong.any():
        i = int(wrong.nonzero()[0])
        raise ValueError(f"The action of environment {i} is {actions[i].tolist()}, outside {space}.")
