"""The pure core: one step of a neural field as functions of tensors.

Everything that a step needs is in `Coefficients`; nothing is remembered. Every tensor may carry leading
dimensions (a population, or one lane per running episode), and vectors over neurons then carry a batch axis of one, so
that the same line serves a single field and a thousand candidates.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nf_policies.fields.dynamics import Dynamics
from nf_policies.fields.lateral import pool_channels

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
