"""The options of a field: what a constructor takes besides sizes and modules, and what a policy file keeps.

An option is written here, with its default, its documentation and its check, and where it is used, and nowhere else.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn

TAU_MIN = 1e-5
"""Time constants stay above this (as in neuralfields 0.5.2); a field can ask for more with `tau_min`."""

Function = Callable[..., Tensor]
Integrator = Literal["euler", "exponential_euler"]
Padding = Literal["circular", "reflect", "zeros"]
Values = float | Sequence[float] | Tensor
"""A number (shared by all neurons), a pair (one per neuron, log-spaced between the two) or one value per neuron."""


@dataclass(frozen=True, kw_only=True)
class FieldOptions:
    """Options of every field. Numbers are kept as floats and tuples of floats.

    Attributes:
        activation: Nonlinearity of the scaled potentials: a name ("sigmoid", "tanh", "relu", "identity"), a function,
            or a sequence with one per neuron.
        tau_init: Time constant in units of time, in one of the three forms of `Values`.
        tau_learnable: Whether tau is learned.
        tau_min: tau stays above this. Explicit Euler steps overshoot where tau < dt.
        kappa_init: Cubic decay, likewise; 0 is exactly off. Only for dynamics that name it.
        kappa_learnable: Whether kappa is learned (if it is not off).
        initial_potentials: Potentials at an episode's start, one per neuron; by default -7 for sigmoid neurons and 0
            for others.
        initial_potentials_learnable: Whether they are learned.
        changes: Whether a field also feels how its inputs have changed since the step before, times its `change_gain`.
            Its memory then holds the latest inputs, too.
        dt: Step of the integration, in units of time.
        integrator: "euler" (explicit) or "exponential_euler" (exact for the leak, stable for any tau).
        batch_first: Whether sequences are (batch, time, features) rather than (time, batch, features).
    Raises: ValueError naming the option.
    """

    activation: str | Function | Sequence[str | Function] = "sigmoid"
    tau_init: Values = 10.0
    tau_learnable: bool = True
    tau_min: float = TAU_MIN
    kappa_init: Values = 1e-5
    kappa_learnable: bool = True
    initial_potentials: Sequence[float] | Tensor | None = None
    initial_potentials_learnable: bool = False
    changes: bool = False
    dt: float = 1.0
    integrator: Integrator = "euler"
    batch_first: bool = False

    def __post_init__(self) -> None:
        for option in fields(self):
            if option.type is bool and type(value := getattr(self, option.name)) is not bool:
                raise ValueError(f"{option.name} must be true or false, not {value!r}.")
        if isinstance(self.activation, Sequence | nn.ModuleList) and not isinstance(self.activation, str):
            self._keep("activation", tuple(self.activation))
        for name in ("tau_init", "kappa_init", "initial_potentials"):
            if (value := getattr(self, name)) is not None:
                self._keep(name, numbers(name, value))
        self._keep_positive("dt")
        self._keep_positive("tau_min")
        self._choose("integrator", get_args(Integrator))

    def _keep(self, name: str, value: Any) -> None:
        """Bring an option into the form that is kept."""
        object.__setattr__(self, name, value)

    def _keep_positive(self, name: str) -> None:
        value = numbers(name, getattr(self, name))
        if not (isinstance(value, float) and value > 0):
            raise ValueError(f"{name} must be positive and finite, not {value}.")
        self._keep(name, value)

    def _choose(self, name: str, known: Sequence[str]) -> None:
        if getattr(self, name) not in known:
            raise ValueError(f"Unknown {name} {getattr(self, name)!r}: choose {', '.join(known)}.")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """The options that a constructor was given. Raises: ValueError for one that there is not, naming all."""
        known = [field.name for field in fields(cls)]
        for name in given.keys() - set(known):
            raise ValueError(f"Unknown option {name!r} of a field: choose from {', '.join(known)}.")
        return cls(**given)

    def tau(self, hidden_size: int) -> Tensor:
        """Start values of tau. Shape: (1,) for a shared one, or (hidden_size,)."""
        tau = spread("tau_init", self.tau_init, hidden_size)
        if not (tau > self.tau_min).all():
            raise ValueError(f"tau_init must be greater than tau_min = {self.tau_min}, not {self.tau_init}.")
        return tau

    def kappa(self, hidden_size: int) -> Tensor:
        """Start values of kappa, all positive or all 0. Shape: (1,) for a shared one, or (hidden_size,)."""
        kappa = spread("kappa_init", self.kappa_init, hidden_size)
        if (kappa < 0).any() or ((kappa == 0).any() and not (kappa == 0).all()):
            raise ValueError(f"kappa_init must be positive, or 0 for no cubic decay at all, not {self.kappa_init}.")
        return kappa


@dataclass(frozen=True, kw_only=True)
class NeuralOptions(FieldOptions):
    """Options of a `NeuralField`, besides those of every field.

    Attributes:
        kernel_size: Width of the lateral kernel in neurons, odd or even, up to `hidden_size` (the default).
        mirrored: Whether the kernel is symmetric, which halves its weights.
        padding: What lies beyond the field's ends: "circular" (its other end), "reflect" or "zeros".
        channels: Number of kernels, pooled into one internal stimulus.
        pooling_norm: p of that pooling: the p-th root of the sum of p-th powers. 1 is the plain sum.
        bell_init: Start with bell-shaped kernels of random height: excite near, inhibit far neighbours.
    """

    kernel_size: int | None = None
    mirrored: bool = True
    padding: Padding = "circular"
    channels: int = 1
    pooling_norm: int = 1
    bell_init: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._choose("padding", get_args(Padding))
        if any(n < 1 or n != int(n) for n in (self.channels, self.pooling_norm)):
            raise ValueError(
                f"channels and pooling_norm are integers >= 1, not {self.channels} and {self.pooling_norm}."
            )


@dataclass(frozen=True, kw_only=True)
class SimpleOptions(FieldOptions):
    """Options of a `SimpleNeuralField`, besides those of every field.

    Attributes:
        dynamics: Potential dynamics: "linear", "cubic", "capacity_21", "capacity_21_abs", "capacity_32",
            "capacity_32_abs", or a function of your own (see `nf_policies.fields.dynamics`).
        self_centric_init: Start with neurons that excite themselves (1) and inhibit the others (-0.5).
        capacity_init: Potential at which the capacity dynamics saturate; by default where the activation does: 7 for
            sigmoid, 3.8 for tanh. Only for dynamics that name it.
        capacity_learnable: Whether the capacity is learned.
    """

    dynamics: str | Function = "cubic"
    self_centric_init: bool = False
    kappa_init: Values = 1e-3
    capacity_init: float | None = None
    capacity_learnable: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.capacity_init is not None:
            self._keep_positive("capacity_init")


FOR_GRADIENTS: dict[str, Any] = {"activation": "tanh", "tau_init": (1.15, 3.5), "integrator": "exponential_euler"}
"""What PPO's fields start from, besides the defaults: gradients pass, and neurons forget at different speeds."""


def numbers(name: str, value: Any) -> float | tuple[float, ...]:
    """An option's number, or its numbers in a row; exact.

    Raises: ValueError naming the option if it is not made of finite numbers.
    """
    try:
        found = torch.as_tensor(value, dtype=torch.float64).detach()
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{name} must be numbers, not {value!r}.") from error
    if not found.isfinite().all():
        raise ValueError(f"{name} must be finite, not {found.tolist()}.")
    return found.item() if found.dim() == 0 else tuple(found.flatten().tolist())


def spread(name: str, init: Any, hidden_size: int) -> Tensor:
    """Start values from a number (one shared), a pair (log-spaced, one per neuron) or one value per neuron.

    Returns: Shape: (1,) or (hidden_size,).
    Raises: ValueError naming the option.
    """
    values = torch.tensor(init, dtype=torch.get_default_dtype())
    if values.dim() == 0 or values.shape == (1,):
        return values.reshape(1)
    if values.shape == (hidden_size,):
        return values
    if values.shape == (2,) and hidden_size > 2:
        if not (values > 0).all():
            raise ValueError(f"{name} as a pair must be positive to be log-spaced, not {init}.")
        first, last = values.log10().tolist()
        return torch.logspace(first, last, hidden_size)
    raise ValueError(
        f"{name} must be a number (shared), a pair (log-spaced over the neurons) or {hidden_size} values, not {init}."
    )


def optional_parameters(dynamics: Function) -> tuple[str, ...]:
    """Which of kappa and capacity a potential dynamics function names in its signature.

    Raises: ValueError if the signature is not (u, s, h) followed by none, one or both of them.
    """
    names = tuple(inspect.signature(dynamics).parameters)
    extra = names[3:]
    if len(names) < 3 or not set(extra) <= {"kappa", "capacity"}:
        name = getattr(dynamics, "__name__", repr(dynamics))
        raise ValueError(
            f"The potential dynamics {name}({', '.join(names)}) must take (u, s, h) and then kappa and/or capacity."
        )
    return extra


@contextmanager
def fitting() -> Iterator[None]:
    """Say in a ValueError, in one sentence, which option the class of a field or cell does not take."""
    try:
        yield
    except (TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"An option of the field does not fit: {' '.join(str(error).split())}.") from error
