"""Potential dynamics: how fast a neuron's potential moves, as pure functions of tensors.

Each function returns tau * du/dt for potentials `u`, stimuli `s` and resting level `h`, all broadcastable to
(batch, hidden_size). What else a function needs it names in its signature: `kappa` (cubic decay, >= 0) or
`capacity` (> 0). A function of your own follows the same rule, and the field then learns what it names:

    def leaky_square(u, s, h, kappa):
        return s + h - u - kappa * u**2

References: Amari (1977), Biological Cybernetics 27; Luksch, Gienger, Muehlig and Yoshiike (2012), IROS.
"""

import inspect
from collections.abc import Callable

import torch
from torch import Tensor

Dynamics = Callable[..., Tensor]
Integrator = Callable[[Tensor, float], Tensor]

OPTIONAL_PARAMETERS = ("kappa", "capacity")


def linear(u: Tensor, s: Tensor, h: Tensor) -> Tensor:
    """Amari's leak towards the stimulated resting level: s + h - u."""
    return s + h - u


def cubic(u: Tensor, s: Tensor, h: Tensor, kappa: Tensor) -> Tensor:
    """A leak with cubic decay: s + h - u + kappa (h - u)^3."""
    d = h - u
    return s + d + kappa * d**3  # Luksch et al. (2012), Eq. 4


def capacity_21(u: Tensor, s: Tensor, h: Tensor, capacity: Tensor) -> Tensor:
    """Two stable points at h ± capacity and an unstable one at h: s - d (1 - d^2 / C^2), d = h - u."""
    d = h - u
    return s - d * (1 - (d / capacity) ** 2)


def capacity_21_abs(u: Tensor, s: Tensor, h: Tensor, capacity: Tensor) -> Tensor:
    """The lower-order sibling of `capacity_21`, same fixed points: s - d (1 - |d| / C), d = h - u."""
    d = h - u
    return s - d * (1 - d.abs() / capacity)


def capacity_32(u: Tensor, s: Tensor, h: Tensor, capacity: Tensor) -> Tensor:
    """Stable points at h and h ± C, unstable at h ± C/2: s + d (1 - d^2 / C^2) (1 - 4 d^2 / C^2), d = h - u."""
    d = h - u
    square = (d / capacity) ** 2
    return s + d * (1 - square) * (1 - 4 * square)


def capacity_32_abs(u: Tensor, s: Tensor, h: Tensor, capacity: Tensor) -> Tensor:
    """The lower-order sibling of `capacity_32`, same fixed points: s + d (1 - |d| / C) (1 - 2 |d| / C)."""
    d = h - u
    ratio = d.abs() / capacity
    return s + d * (1 - ratio) * (1 - 2 * ratio)


DYNAMICS: dict[str, Dynamics] = {
    f.__name__: f for f in (linear, cubic, capacity_21, capacity_21_abs, capacity_32, capacity_32_abs)
}


def euler(tau: Tensor, dt: float) -> Tensor:
    """The share of tau * du/dt that one explicit Euler step takes: dt / tau. Stable for tau > dt / 2."""
    return dt / tau


def exponential_euler(tau: Tensor, dt: float) -> Tensor:
    """The same for an exponential Euler step: 1 - exp(-dt / tau), exact for a linear leak, stable for any tau."""
    return -torch.expm1(-dt / tau)


INTEGRATORS: dict[str, Integrator] = {f.__name__: f for f in (euler, exponential_euler)}


def optional_parameters(dynamics: Dynamics) -> tuple[str, ...]:
    """Which of kappa and capacity a potential dynamics function names in its signature.

    Raises:
        ValueError: If the signature is not (u, s, h) followed by none, one or both of them.
    """
    names = tuple(inspect.signature(dynamics).parameters)
    extra = names[3:]
    if len(names) < 3 or not set(extra) <= set(OPTIONAL_PARAMETERS):
        name = getattr(dynamics, "__name__", repr(dynamics))
        raise ValueError(
            f"The potential dynamics {name}({', '.join(names)}) must take (u, s, h) and then kappa and/or capacity."
        )
    return extra
