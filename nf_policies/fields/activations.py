"""Nonlinearities of a field: one for all neurons or one per neuron, by name or as a function."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]


def identity(potentials: Tensor) -> Tensor:
    """No nonlinearity; a function by name, so that fields with it can be pickled."""
    return potentials


ACTIVATIONS: dict[str, Activation] = {f.__name__: f for f in (torch.sigmoid, torch.tanh, torch.relu, identity)}

SIGMOID_INITIAL_POTENTIAL = -7.0
"""Sigmoid neurons start silent: sigmoid(-7) is below 0.001."""


class PerNeuron(nn.Module):
    """One nonlinearity per neuron. Input and output shape: (..., hidden_size)."""

    def __init__(self, functions: Sequence[Activation]) -> None:
        super().__init__()
        self.functions = tuple(functions)
        for neuron, function in enumerate(functions):
            if isinstance(function, nn.Module):
                self.add_module(f"neuron_{neuron}", function)

    def forward(self, potentials: Tensor) -> Tensor:
        """Apply each neuron's own function."""
        return torch.stack([f(u) for f, u in zip(self.functions, potentials.unbind(-1), strict=True)], dim=-1)


def resolve(activation: str | Activation | Sequence[str | Activation], hidden_size: int) -> Activation:
    """The function for a name, a callable, or a sequence of either with one entry per neuron.

    Raises: ValueError if a name is unknown or the sequence's length is not `hidden_size`.
    """
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise ValueError(f"Unknown activation {activation!r}: choose {', '.join(ACTIVATIONS)}, or pass a function.")
        return ACTIVATIONS[activation]
    if callable(activation) and not isinstance(activation, nn.ModuleList):  # a list, callable in name only
        return activation
    if len(activation) != hidden_size:
        raise ValueError(f"One activation or {hidden_size} (one per neuron) are needed, not {len(activation)}.")
    return PerNeuron([resolve(a, hidden_size) for a in activation])


def initial_potentials(given: Sequence[float] | Tensor | None, activation: Activation, hidden_size: int) -> Tensor:
    """Where a field starts: as given, or at -7 for sigmoid neurons and 0 for all others. Shape: (hidden_size,)."""
    if given is None:
        functions = activation.functions if isinstance(activation, PerNeuron) else (activation,) * hidden_size
        given = [SIGMOID_INITIAL_POTENTIAL if is_sigmoid(f) else 0.0 for f in functions]
    if len(given) != hidden_size:
        raise ValueError(f"initial_potentials must have {hidden_size} entries, not {len(given)}.")
    return torch.tensor(given, dtype=torch.get_default_dtype())


def is_sigmoid(activation: Activation) -> bool:
    """Whether an activation is the logistic function, as a function or as a module."""
    return activation is torch.sigmoid or isinstance(activation, nn.Sigmoid)


def names_of(activation: Activation) -> str | list[str]:
    """The name of an activation from the table, or one name per neuron.

    Raises: ValueError if it is not in the table.
    """
    if isinstance(activation, PerNeuron):
        return [str(names_of(function)) for function in activation.functions]
    for name, known in ACTIVATIONS.items():
        if known is activation:
            return name
    raise ValueError("An activation of your own cannot be described: save the state_dict instead.")
