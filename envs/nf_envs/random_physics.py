"""Constants that each episode of each environment draws for itself.

    gym.make_vec("nf/CartPole-v1", num_envs=512, constants={"pole_mass": Uniform(0.05, 0.2)})

The values are in `info["constants"]`; `reset(options={"constants": {"pole_mass": 0.1}})` fixes them.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from nf_envs.base import Draws, Rng, Task
from nf_envs.wrapped import Wrapped


class Distribution(Protocol):
    """A distribution within bounds; frozen dataclasses below."""

    @property
    def low(self) -> float:
        """The least value."""

    @property
    def high(self) -> float:
        """The greatest value."""

    def quantile(self, u: Tensor) -> Tensor:
        """Values for uniform numbers in [0, 1)."""


@dataclass(frozen=True)
class Uniform:
    """Uniform from low to high."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self)

    def quantile(self, u: Tensor) -> Tensor:
        """Values for uniform numbers in [0, 1)."""
        return self.low + (self.high - self.low) * u


@dataclass(frozen=True)
class LogUniform:
    """From low to high with a uniform logarithm: doubled as often as halved."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self)
        if not self.low > 0:
            raise ValueError(f"A log-uniform distribution begins above 0, not at {self.low}.")

    def quantile(self, u: Tensor) -> Tensor:
        """Values for uniform numbers in [0, 1)."""
        return self.low * torch.exp(math.log(self.high / self.low) * u)


@dataclass(frozen=True)
class Normal:
    """Normal with a mean and a standard deviation, truncated at low and high."""

    mean: float
    std: float
    low: float
    high: float

    def __post_init__(self) -> None:
        _check_bounds(self)
        if not self.std > 0:
            raise ValueError(f"The deviation of a normal distribution is above 0, not {self.std}.")

    def quantile(self, u: Tensor) -> Tensor:
        """Values for uniform numbers in [0, 1)."""
        least, greatest = (0.5 * math.erfc((self.mean - x) / (self.std * 2**0.5)) for x in (self.low, self.high))
        value = self.mean + self.std * torch.special.ndtri(least + (greatest - least) * u)
        return value.clip(self.low, self.high)


def _check_bounds(distribution: Any) -> None:
    if not -math.inf < distribution.low < distribution.high < math.inf:
        raise ValueError(f"The bounds of a distribution are finite, low below high: not {distribution}.")


class RandomisedState(NamedTuple):
    """The inner state, and the constants of the episode."""

    inner: Any
    drawn: tuple[Tensor, ...]


class Randomised(Wrapped):
    """A task with at least one constant that is a distribution; the others are fixed.

    Args:
        task: Its default constants hold at least one distribution.
    """

    def __init__(self, task: Task[Any]) -> None:
        super().__init__(task)
        self.names = random_names(task.default_params)
        self.draws = Draws(task.draws.initial + len(self.names), task.draws.transition)

    def initial(self, rng: Rng, params: Any = None) -> RandomisedState:
        """Draw the constants, then start."""
        drawn = self._drawn(rng, params)
        return RandomisedState(self.task.initial(rng, self._constants(drawn, params)), drawn)

    def begin(self, physical: Any, rng: Rng, params: Any = None) -> RandomisedState:
        """Draw the constants for a given start."""
        drawn = self._drawn(rng, params)
        return RandomisedState(self.task.begin(physical, rng, self._constants(drawn, params)), drawn)

    def transition(self, state: RandomisedState, action: Tensor, rng: Rng = (), params: Any = None) -> RandomisedState:
        """A step under the episode's constants."""
        constants = self._constants(state.drawn, params)
        return RandomisedState(self.task.transition(state.inner, action, rng, constants), state.drawn)

    def features(self, state: RandomisedState, rng: Rng = (), params: Any = None) -> tuple[Tensor, ...]:
        """Of the task inside, under the episode's constants."""
        return self.task.features(state.inner, (), self._constants(state.drawn, params))

    def reward(self, state: Any, action: Tensor, next_state: Any, rng: Rng = (), params: Any = None) -> Tensor:
        """Of the task inside, under the episode's constants."""
        constants = self._constants(state.drawn, params)
        return self.task.reward(state.inner, action, next_state.inner, rng, constants)

    def terminal(self, state: Any, rng: Rng = (), params: Any = None) -> Tensor:
        """Of the task inside, under the episode's constants."""
        return self.task.terminal(state.inner, (), self._constants(state.drawn, params))

    def state_info(self, state: Any, params: Any = None) -> dict[str, Any]:
        """The drawn constants, (num_envs,) each, under "constants"."""
        inner = super().state_info(state, self._constants(state.drawn, params))
        return {**inner, "constants": dict(zip(self.names, state.drawn, strict=True))}

    def _drawn(self, rng: Rng, params: Any) -> tuple[Tensor, ...]:
        params = params or self.default_params
        values = []
        for name, u in zip(self.names, rng[self.task.draws.initial : self.draws.initial], strict=True):
            given = getattr(params, name)
            values.append(given.quantile(u) if hasattr(given, "low") else torch.zeros_like(u) + given)
        return tuple(values)

    def _constants(self, drawn: tuple[Tensor, ...], params: Any) -> Any:
        return dataclasses.replace(params or self.default_params, **dict(zip(self.names, drawn, strict=True)))


def random_names(constants: Any) -> tuple[str, ...]:
    """Names of the constants that are distributions."""
    return tuple(f.name for f in dataclasses.fields(constants) if hasattr(getattr(constants, f.name), "low"))
