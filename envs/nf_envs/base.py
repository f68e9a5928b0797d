"""The functional contract of a task: physics as pure functions of tensors, one lane per environment.

A `Task` has the methods of `gymnasium.experimental.functional.FuncEnv`, in torch. Methods get all they need as
arguments and return all they produce, and no Python branch looks at a tensor. Therefore

- a whole step, policy included, compiles into one graph (`torch.compile(..., fullgraph=True)`),
- the same code serves one environment, a million, and `torch.vmap` over single ones,
- a state can be stored, copied, edited and used as a start.

Shapes: a *state* is a NamedTuple of tensors (num_envs,). Features stay separate tensors (num_envs,) until
`observation` stacks them, so that everything fuses into one loop on a CPU and one kernel on a GPU. Actions are integers
(num_envs,) for a Discrete space and (num_envs, action_size) for a Box. A state has the dtype and device of the random
numbers given to `initial`.

Randomness: `rng` holds a method's random numbers, already drawn: independent and uniform in [0, 1), each of shape
(num_envs,). `Task.draws` says how many `initial` and `transition` take; `initial` takes at least one, whose length is
the number of environments. Observations and rewards follow from states and actions alone.
`torch.rand(n, num_envs, generator=generator).unbind()` makes such numbers; `nf_envs.randomness.uniforms` makes them
inside a compiled function.

Constants: `params` is a frozen dataclass; each constant is a number for all environments or a tensor (num_envs,).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, TypeVar, get_type_hints

import torch
from gymnasium import Space
from gymnasium.experimental.functional import FuncEnv
from gymnasium.spaces import Box
from torch import Tensor

Constant = float | Tensor
"""A constant: a number, or one per environment (num_envs,)."""


class Bounds(NamedTuple):
    """The permitted values of a constant; used in annotations."""

    words: str
    least: float
    whole: bool = False


Positive = Annotated[Constant, Bounds("positive", math.nextafter(0, 1))]
NonNegative = Annotated[Constant, Bounds("zero or more", 0.0)]
Count = Annotated[Constant, Bounds("a whole number above 0", 1, whole=True)]

Rng = Sequence[Tensor]
"""Independent uniform numbers in [0, 1), each (num_envs,)."""

DEGREE = math.pi / 180

State = TypeVar("State")


class Draws(NamedTuple):
    """How many uniform random numbers `initial` and `transition` take; the other methods take none."""

    initial: int = 1
    transition: int = 0


class Task(FuncEnv[State, Tensor, Tensor, Tensor, Tensor, Any, Any], Generic[State]):
    """A task as functions; a subclass defines its state, constants and physics.

    Args:
        params: Physical constants, an instance of the task's `constants`; None for its default values.

    Attributes:
        constants: The dataclass of the task's constants.
        observation_space: Of one environment; independent of the constants.
        action_space: Of one environment.
        default_params: The constants for methods that are given none.
        draws: How many random numbers the methods take.
        velocities: Indices of the features that are velocities.
        observation_names: "name [unit]" of each feature, where the unit is what a value of 1 stands for.
        action_names: The same of each entry of a Box action, or of each choice; {force} is the constant `force`.
        compilable: Whether all methods are functions of tensors of any device. Physics of another library is not; it
            runs on the CPU, and the views step only the lanes that need it.
        still_action: The Discrete action closest to doing nothing.
        twin: Id of the Gymnasium task that equals this one step by step, if there is one.
        fps: Pictures per second of tasks without `dt`.
    """

    constants: type[Any]
    observation_space: Box
    action_space: Space[Any]
    default_params: Any
    draws: Draws = Draws()
    velocities: tuple[int, ...] = ()
    observation_names: tuple[str, ...] = ()
    action_names: tuple[str, ...] = ()
    compilable: bool = True
    still_action: ClassVar[int] = 0
    twin: ClassVar[str | None] = None
    fps: ClassVar[int] = 4

    def __init__(self, params: Any = None) -> None:
        super().__init__()
        if params is not None:
            check_constants(type(self).__name__, params)
            self.default_params = params

    def get_default_params(self, **kwargs: Any) -> Any:
        """The constants, some of them changed."""
        return self.constants(**kwargs)

    @property
    def dt(self) -> float:
        """Seconds per step, averaged over environments; 1 for tasks without a clock."""
        dt = getattr(self.default_params, "dt", 1.0)
        return float(torch.stack([torch.as_tensor(x, dtype=torch.float64).mean() for x in _range(dt)]).mean())

    @property
    def pictures_per_second(self) -> int:
        """Pictures per second at the speed of the task."""
        return round(1 / self.dt) if hasattr(self.default_params, "dt") else self.fps

    def features(self, state: State, rng: Rng = (), params: Any = None) -> tuple[Tensor, ...]:
        """The entries of the observation, each (num_envs,)."""
        raise NotImplementedError

    def observation(self, state: State, rng: Rng = (), params: Any = None) -> Tensor:
        """The observation. Shape: (num_envs, observation_size)."""
        return torch.stack(self.features(state, rng, params), dim=-1)

    @property
    def physics(self) -> "Task[Any]":
        """The task without sensors and actuators in front of it: itself."""
        return self

    def physical(self, state: State) -> Any:
        """The part of a state that `physics` has."""
        return state

    def begin(self, physical: Any, rng: Rng, params: Any = None) -> State:
        """The state of an episode that starts from a given state of the physics."""
        return physical

    def picture(self, state: State, params: Any = None) -> Any:
        """The `nf_envs.drawing.Picture` of a state of Python floats; a twin without one has Gymnasium's."""
        raise NotImplementedError(f"{type(self).__name__} has no picture.")


def filled(names: Sequence[str], constants: Any) -> tuple[str, ...]:
    """Names with the values of constants; a unit that differs between episodes or environments is left out."""
    numbers = {key: f"{value:g}" for key, value in vars(constants).items() if isinstance(value, int | float)}

    def fill(name: str) -> str:
        try:
            return name.format_map(numbers)
        except KeyError:
            return name.partition(" [")[0]

    return tuple(map(fill, names))


def check_constants(name: str, constants: Any) -> None:
    """Check that constants are possible.

    Args:
        name: Of the task, for the message.
        constants: A dataclass of numbers, tensors, or distributions with `low` and `high`. A constant greatest_… must
            not be below least_…, nor …_high below …_low.
    Raises: ValueError naming the constant and what would work.
    """
    ranges: dict[str, tuple[Tensor, Tensor]] = {}
    for key, hint in get_type_hints(type(constants), include_extras=True).items():
        value = getattr(constants, key)
        (bounds,) = getattr(hint, "__metadata__", (Bounds("finite", -math.inf),))
        try:
            low, high = (torch.as_tensor(end, dtype=torch.float64) for end in _range(value))
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"The constant {key} of {name} must be a number, not {value!r}.") from error
        if not (torch.isfinite(low).all() and torch.isfinite(high).all()):
            raise ValueError(f"The constant {key} of {name} must be finite, not {value}.")
        if (low < bounds.least).any() or (bounds.whole and not (low == low.round()).all()):
            raise ValueError(f"The constant {key} of {name} must be {bounds.words}, not {value}.")
        if bounds.whole and hasattr(value, "low"):
            raise ValueError(f"The constant {key} of {name} must be {bounds.words}, and cannot be drawn at random.")
        ranges[key] = low, high
    for key, (_, high) in ranges.items():
        above = key.replace("least_", "greatest_").replace("_low", "_high")
        if above != key and above in ranges and (high > ranges[above][0]).any():
            raise ValueError(f"The constant {key} of {name} must not be greater than {above}.")


def _range(constant: Any) -> tuple[Any, Any]:
    """The least and the greatest value of a constant or a distribution."""
    return getattr(constant, "low", constant), getattr(constant, "high", constant)


def with_constants(name: str, constants: Any, changes: Mapping[str, Any]) -> Any:
    """Constants with some of them changed.

    Args:
        name: Of the task, for the message.
        constants: A dataclass.
        changes: New values by name.
    Raises: ValueError if a constant does not exist or its value is impossible.
    """
    known = [field.name for field in dataclasses.fields(constants)]
    unknown = [key for key in changes if key not in known]
    if unknown:
        raise ValueError(f"{name} has no constant {unknown[0]!r}; it has {', '.join(known)}.")
    changed = dataclasses.replace(constants, **changes)
    check_constants(name, changed)
    return changed


def between(u: Tensor, low: Constant, high: Constant) -> Tensor:
    """Uniform random numbers in [low, high) from uniform ones in [0, 1)."""
    return low + (high - low) * u


def clipped(x: Tensor, low: Constant, high: Constant) -> Tensor:
    """Clip values to [low, high]."""
    least: Any = low
    greatest: Any = high
    return x.clip(min=least).clip(max=greatest)
