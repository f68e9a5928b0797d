"""The picture of a task: its own `Picture`, or that of Gymnasium's twin."""

from typing import Any

import gymnasium as gym
import numpy as np
from torch import Tensor

from nf_envs.base import Task
from nf_envs.drawing import Screen


class Painter:
    """Shows states of a task.

    Args:
        task: With a `picture`, or with a twin of Gymnasium that has one.
        mode: "human" for a window, "rgb_array" for arrays (height, width, 3) of uint8.
    Raises: DependencyNotInstalled without pygame.
    """

    def __init__(self, task: Task[Any], mode: str) -> None:
        self.task = task
        physics = task.physics
        # A twin's picture has Gymnasium's lengths, so a task with other constants still looks the same.
        own = type(physics).picture is not Task.picture or physics.twin is None
        self.twin: Any = None if own else gym.make(str(physics.twin), render_mode=mode).unwrapped
        self.screen = None if self.twin else Screen(mode, fps=task.pictures_per_second)

    def show(self, state: Any, action: Any = None) -> np.ndarray | None:
        """Show a state.

        Args:
            state: Of the task, entries of shape (1,).
            action: The last one, for pictures with an arrow.
        Returns: The picture, if there is no window.
        """
        physical = _numbers(self.task.physical(state))
        if self.screen is not None:
            return self.screen.show(self.task.physics.picture(physical))
        self.twin.state = np.array(physical)
        self.twin.last_u = None if action is None else np.float32(np.ravel(action)[0])
        frame: np.ndarray | None = self.twin.render()
        return frame

    def close(self) -> None:
        """Close any window."""
        shown: Any = self.twin or self.screen
        shown.close()


def _numbers(state: Any) -> Any:
    """The state of one environment as numbers; entries of several numbers stay tensors."""
    if isinstance(state, Tensor):
        return state.item() if state.numel() == 1 else state
    parts = [_numbers(part) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
