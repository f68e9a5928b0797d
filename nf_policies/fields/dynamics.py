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
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nf_policies.fields.lateral import pool_channels

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


POTENTIALS_MAX = 100.0
"""Potentials are clamped to ± this, for numerical stability (as neuralfields 0.5.2 does)."""

Activation = Callable[[Tensor], Tensor]


class Coefficients(NamedTuple):
    """A field's parameters in the form that a step uses; `...` is nothing, or a population and an axis of one."""

    lateral: Tensor
    """Interaction matrix (..., hidden_size, hidden_size), with (..., channels, ...) before it where p >= 2."""
    resting_level: Tensor
    """(..., hidden_size)"""
    rate: Tensor
    """The share of tau * du/dt taken per step, from tau and dt. (..., hidden_size or 1)"""
    scale: Tensor
    """Of the potentials before the nonlinearity. (..., hidden_size)"""
    bias: Tensor
    """Of the potentials before the nonlinearity. (..., hidden_size)"""
    initial_potentials: Tensor
    """(..., hidden_size)"""
    dynamics: dict[str, Tensor]
    """kappa and capacity, those that the dynamics name. (..., hidden_size or 1)"""
    modules: dict[str, dict[str, Tensor]]
    """Parameters of input_embedding, output_embedding and activation; none where the modules' own are used."""


def apply(c: Coefficients, name: str, function: Activation, x: Tensor) -> Tensor:
    """A field's embedding or nonlinearity, with a population's parameters where there are any.

    Args:
        c: Coefficients.
        name: Which one: input_embedding, output_embedding or activation.
        function: The field's module or function of that name.
        x: Shape: (population, batch, features) with a population's parameters, else (..., features).
    """
    parameters = c.modules.get(name)
    if not parameters:
        return function(x)
    if type(function) is nn.Linear:
        product = x @ parameters["weight"].mT
        return product + parameters["bias"].unsqueeze(-2) if "bias" in parameters else product
    assert isinstance(function, nn.Module)
    one = function
    return torch.func.vmap(lambda p, x: torch.func.functional_call(one, p, (x,)))(parameters, x)


def activate(c: Coefficients, activation: Activation, potentials: Tensor) -> Tensor:
    """Activations of the scaled potentials. Shapes: (..., batch, hidden_size)."""
    return apply(c, "activation", activation, c.scale * (potentials + c.bias))


def internal_stimuli(c: Coefficients, activations: Tensor, pooling_norm: int) -> Tensor:
    """What the neighbours contribute. Shapes: (..., batch, hidden_size)."""
    if pooling_norm == 1:
        return activations @ c.lateral.mT
    return pool_channels(activations.unsqueeze(-3) @ c.lateral.mT, pooling_norm)


def integrate(c: Coefficients, dynamics: Dynamics, potentials: Tensor, stimuli: Tensor) -> Tensor:
    """Potentials one step later. Shapes: (..., batch, hidden_size)."""
    change = dynamics(potentials, stimuli, c.resting_level, **c.dynamics)
    return (potentials + c.rate * change).clamp(-POTENTIALS_MAX, POTENTIALS_MAX)


def reset(c: Coefficients, potentials: Tensor, episode_starts: Tensor) -> Tensor:
    """Potentials with the rows of new episodes at their initial level; gradient stops there.

    Args:
        c: Coefficients.
        potentials: Field memory. Shape: (..., batch, hidden_size).
        episode_starts: Where a new episode begins before this step. Bool, shape: (..., batch).
    """
    return torch.where(episode_starts.unsqueeze(-1), c.initial_potentials, potentials)


def take(c: Coefficients, rows: Tensor) -> Coefficients:
    """Coefficients of some candidates of a population, in the order and number of `rows` (integer indices)."""

    def pick(value: Any) -> Any:
        return {name: pick(v) for name, v in value.items()} if isinstance(value, dict) else value.index_select(0, rows)

    return Coefficients(*map(pick, c))


def unroll(
    c: Coefficients,
    activation: Activation,
    dynamics: Dynamics,
    pooling_norm: int,
    stimuli_external: Tensor,
    potentials: Tensor,
    episode_starts: Tensor | None,
) -> Tensor:
    """Potentials of all time steps under a sequence of external stimuli.

    Args:
        c: Coefficients without a population.
        activation: Nonlinearity of the scaled potentials.
        dynamics: Potential dynamics.
        pooling_norm: p of the pooling over the lateral kernel's channels.
        stimuli_external: Shape: (time, batch, hidden_size).
        potentials: Before the first step. Shape: (batch, hidden_size).
        episode_starts: Where potentials are reset before a step. Bool, shape: (time, batch), or None for nowhere.
    Returns: Shape: (time, batch, hidden_size).
    """
    trajectory = []
    for t, external in enumerate(stimuli_external):
        if episode_starts is not None:
            potentials = reset(c, potentials, episode_starts[t])
        internal = internal_stimuli(c, activate(c, activation, potentials), pooling_norm)
        potentials = integrate(c, dynamics, potentials, external + internal)
        trajectory.append(potentials)
    if not trajectory:
        return stimuli_external.new_empty(0, *potentials.shape)
    return torch.stack(trajectory)
