"""Imperfect actuators: entries of the list `sensing`, like the sensors of `nf_envs.sensing`."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from nf_envs.base import Draws, Rng, Task
from nf_envs.delays import check_delay, delayed, drawn_delay
from nf_envs.randomness import normal
from nf_envs.wrapped import Actuated, Repeated


@dataclass(frozen=True)
class ActionDelay:
    """Apply the action of `steps` ago; with `greatest`, a number drawn for each episode from `steps` to it."""

    steps: int
    greatest: int | None = None

    def wrap(self, task: Task[Any]) -> Task[Any]:
        """Raises ValueError if a number of steps is negative or the greatest is the least."""
        check_delay("action", self.steps, self.greatest)
        return Actuated(task, self)

    def draws(self, size: int) -> Draws:  # noqa: D102
        return Draws(1, 0)

    def first(self, still: Tensor, rng: Rng) -> Any:  # noqa: D102
        longest = self.steps if self.greatest is None else self.greatest
        return drawn_delay(rng[0], self.steps, longest), (still,) * longest

    def act(self, memory: Any, action: Tensor, rng: Rng) -> tuple[Any, Tensor]:  # noqa: D102
        delay, past = memory
        line = (action, *past)
        return (delay, line[: len(past)]), delayed(delay, line)


@dataclass(frozen=True)
class ActionNoise:
    """Add normal noise to a continuous action, within the bounds of its space."""

    std: float

    def wrap(self, task: Task[Any]) -> Task[Any]:
        """Raises ValueError if the action is not continuous, or the deviation negative."""
        if isinstance(task.action_space, Discrete):
            raise ValueError(f"Action noise needs continuous actions, and the task takes {task.action_space}.")
        if not 0 <= self.std < math.inf:
            raise ValueError(f"The deviation of action noise is finite and 0 or more, not {self.std}.")
        assert isinstance(task.action_space, Box)
        return Actuated(task, _NoisyAction(self.std, bounds_of(task.action_space)))


def bounds_of(box: Box) -> tuple[tuple[float, float], ...]:
    """The bounds of each entry as numbers, since a compiled step cannot read them from an array."""
    return tuple(zip(box.low.tolist(), box.high.tolist(), strict=True))


@dataclass(frozen=True)
class _NoisyAction:
    std: float
    bounds: tuple[tuple[float, float], ...]

    def draws(self, size: int) -> Draws:
        return Draws(0, size)

    def first(self, still: Tensor, rng: Rng) -> Any:
        return ()

    def act(self, memory: Any, action: Tensor, rng: Rng) -> tuple[Any, Tensor]:
        noisy = action + self.std * torch.stack([normal(u) for u in rng], dim=-1)
        bounded = zip(noisy.unbind(-1), self.bounds, strict=True)
        return (), torch.stack([entry.clip(low, high) for entry, (low, high) in bounded], dim=-1)


@dataclass(frozen=True)
class ActionRepeat:
    """Repeat every action for several steps, or until the episode ends; rewards add up."""

    times: int

    def wrap(self, task: Task[Any]) -> Task[Any]:
        """Raises ValueError if it is less than once."""
        if self.times < 1:
            raise ValueError(f"An action is repeated at least 1 time, not {self.times}.")
        return Repeated(task, self.times)
