"""Imperfect sensors and actuators in front of a task, each an entry of a list.

    gym.make("nf/CartPole-v1", sensing=[HideVelocities(), ObservationNoise(0.02), ActionDelay(1, 3)])

Entries apply from the task outwards: the last one is nearest to the agent. Each episode resets their memory.
Constants may be distributions (`Uniform`, `LogUniform`, `Normal`) from which every episode draws its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box

from nf_envs.acting import ActionDelay, ActionNoise, ActionRepeat, bounds_of
from nf_envs.base import Draws, Rng, Task
from nf_envs.delays import check_delay, delayed, drawn_delay
from nf_envs.random_physics import LogUniform, Normal, Randomised, Uniform
from nf_envs.randomness import normal
from nf_envs.wrapped import Features, Sensed

__all__ = [
    "ActionDelay",
    "ActionNoise",
    "ActionRepeat",
    "FilterVelocities",
    "FrameDropout",
    "HideVelocities",
    "LogUniform",
    "Mask",
    "Normal",
    "ObservationDelay",
    "ObservationNoise",
    "Observe",
    "OnlyVelocities",
    "Randomised",
    "Uniform",
]


@dataclass(frozen=True)
class Observe:
    """Show some entries of the observation, in the given order; the space has only these."""

    indices: Sequence[int]

    def wrap(self, task: Task[Any]) -> Task[Any]:
        """Raises ValueError if an index does not exist or none is left."""
        size = len(task.observation_space.low)
        if not self.indices or any(not 0 <= i < size for i in self.indices):
            raise ValueError(f"Entries to observe are some of 0 to {size - 1}, not {[*self.indices]}.")
        seen = Sensed(task, self)
        seen.velocities = tuple(k for k, i in enumerate(self.indices) if i in task.velocities)
        seen.observation_names = tuple(task.observation_names[i] for i in self.indices if task.observation_names)
        return seen

    def space(self, box: Box) -> Box:  # noqa: D102
        indices = list(self.indices)
        return Box(box.low[indices], box.high[indices], dtype=box.dtype)

    def draws(self, size: int) -> Draws:  # noqa: D102
        return Draws(0, 0)

    def first(self, features: Features, rng: Rng) -> tuple[Any, Features]:  # noqa: D102
        return self.sense((), features, rng)

    def sense(self, memory: Any, features: Features, rng: Rng) -> tuple[Any, Features]:  # noqa: D102
        return (), tuple(features[i] for i in self.indices)


@dataclass(frozen=True)
class HideVelocities:
    """Show all entries except the velocities."""

    def wrap(self, task: Task[Any]) -> Task[Any]:
        """Raises ValueError if the task shows no velocities, or nothing else."""
        size = len(task.observation_space.low)
        return Observe([i for i in range(size) if i not in _velocities(task)]).wrap(task)


@dataclass(frozen=True)
class OnlyVelocities:
    """Show only the velocities."""

    def wrap(self, task: Task[Any]) -> Task[Any]:
        """Raises ValueError if the task shows no velocities."""
        return Observe(_velocities(task)).wrap(task)


class _Same:
    """A sensor that leaves the space as it is and needs no random numbers."""

    def wrap(self, task: Task[Any]) -> Task[Any]:
        return Sensed(task, self)  # type: ignore[arg-type]  # the methods below complete the protocol

    def space(self, box: Box) -> Box:
        return box

    def draws(self, size: int) -> Draws:
        return Draws(0, 0)


@dataclass(frozen=True)
class Mask(_Same):
    """Show 0 in place of some entries; like RL Baselines3 Zoo's mask, it keeps the shape of the space."""

    indices: Sequence[int]

    def wrap(self, task: Task[Any]) -> Task[Any]:
        """Raises ValueError if an index does not exist."""
        size = len(task.observation_space.low)
        if any(not 0 <= i < size for i in self.indices):
            raise ValueError(f"Entries to mask are some of 0 to {size - 1}, not {[*self.indices]}.")
        return super().wrap(task)

    def first(self, features: Features, rng: Rng) -> tuple[Any, Features]:  # noqa: D102
        return self.sense((), features, rng)

    def sense(self, memory: Any, features: Features, rng: Rng) -> tuple[Any, Features]:  # noqa: D102
        return (), tuple(torch.zeros_like(x) if i in self.indices else x for i, x in enumerate(features))


@dataclass(frozen=True)
class ObservationNoise:
    """Add normal noise, one standard deviation for all entries or one for each; a sensor saturates at its bounds."""

    std: float | Sequence[float]

    def wrap(self, task: Task[Any]) -> Task[Any]:
        """Raises ValueError if there are not as many deviations as entries, or one is negative."""
        size = len(task.observation_space.low)
        std = np.broadcast_to(self.std, (size,)) if np.ndim(self.std) == 0 else np.asarray(self.std)
        if std.shape != (size,) or not ((std >= 0) & np.isfinite(std)).all():
            raise ValueError(f"Observation noise is one finite deviation >= 0 or {size} of them, not {self.std}.")
        return Sensed(task, _Noise(tuple(std.tolist()), bounds_of(task.observation_space)))


@dataclass(frozen=True)
class _Noise:
    std: tuple[float, ...]
    bounds: tuple[tuple[float, float], ...]

    def space(self, box: Box) -> Box:
        return box

    def draws(self, size: int) -> Draws:
        return Draws(size, size)

    def first(self, features: Features, rng: Rng) -> tuple[Any, Features]:
        return self.sense((), features, rng)

    def sense(self, memory: Any, features: Features, rng: Rng) -> tuple[Any, Features]:
        entries = zip(features, self.std, rng, self.bounds, strict=True)
        return (), tuple((x + std * normal(u)).clip(low, high) for x, std, u, (low, high) in entries)


@dataclass(frozen=True)
class FrameDropout(_Same):
    """Show the last observation again with some probability per step."""

    probability: float

    def draws(self, size: int) -> Draws:  # noqa: D102
        return Draws(0, 1)

    def wrap(self, task: Task[Any]) -> Task[Any]:
        """Raises ValueError if the probability is not in [0, 1]."""
        if not 0 <= self.probability <= 1:
            raise ValueError(f"A probability of frame drop-out is from 0 to 1, not {self.probability}.")
        return super().wrap(task)

    def first(self, features: Features, rng: Rng) -> tuple[Any, Features]:  # noqa: D102
        return features, features

    def sense(self, memory: Any, features: Features, rng: Rng) -> tuple[Any, Features]:  # noqa: D102
        lost = rng[0] < self.probability
        seen = tuple(torch.where(lost, old, new) for old, new in zip(memory, features, strict=True))
        return seen, seen


@dataclass(frozen=True)
class FilterVelocities:
    """Low-pass filter the velocities, as a differentiator 50 s / (s + 50) of the positions does; `cutoff` in rad/s."""

    cutoff: float = 50.0

    def wrap(self, task: Task[Any]) -> Task[Any]:
        """Raises ValueError if the task shows no velocities, or the cutoff is not above 0."""
        if not 0 < self.cutoff < math.inf:
            raise ValueError(f"The cutoff of a velocity filter is above 0 rad/s, not {self.cutoff}.")
        return Sensed(task, _Filter(_velocities(task), 1 - math.exp(-self.cutoff * task.dt)))


@dataclass(frozen=True)
class _Filter(_Same):
    indices: tuple[int, ...]
    gain: float

    def first(self, features: Features, rng: Rng) -> tuple[Any, Features]:
        return features, features

    def sense(self, memory: Any, features: Features, rng: Rng) -> tuple[Any, Features]:
        pairs = enumerate(zip(memory, features, strict=True))
        seen = tuple(old + self.gain * (new - old) if i in self.indices else new for i, (old, new) in pairs)
        return seen, seen


@dataclass(frozen=True)
class ObservationDelay(_Same):
    """Show the observation of `steps` ago; with `greatest`, each episode draws a number from `steps` to `greatest`."""

    steps: int
    greatest: int | None = None

    def wrap(self, task: Task[Any]) -> Task[Any]:
        """Raises ValueError if a number of steps is negative or the greatest is the least."""
        check_delay("observation", self.steps, self.greatest)
        return super().wrap(task)

    def draws(self, size: int) -> Draws:  # noqa: D102
        return Draws(1, 0)

    def first(self, features: Features, rng: Rng) -> tuple[Any, Features]:  # noqa: D102
        longest = self.steps if self.greatest is None else self.greatest
        return (drawn_delay(rng[0], self.steps, longest), (features,) * longest), features

    def sense(self, memory: Any, features: Features, rng: Rng) -> tuple[Any, Features]:  # noqa: D102
        delay, past = memory
        line = (features, *past)
        seen = tuple(delayed(delay, entries) for entries in zip(*line, strict=True))
        return (delay, line[: len(past)]), seen


def _velocities(task: Task[Any]) -> tuple[int, ...]:
    if not task.velocities:
        raise ValueError(f"{type(task.physics).__name__} shows no velocities.")
    return task.velocities
