"""Start values of a field's parameters."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def linear(in_features: int, out_features: int, generator: torch.Generator | None) -> nn.Linear:
    """A linear layer without bias, initialised as `torch.nn.Linear` is, but from the given generator."""
    layer = nn.utils.skip_init(nn.Linear, in_features, out_features, bias=False)
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    return layer


def spread(name: str, init: float | Sequence[float] | Tensor, hidden_size: int) -> Tensor:
    """Start values from a number (one shared), a pair (log-spaced, one per neuron) or one value per neuron.

    Returns: Shape: (1,) or (hidden_size,).
    Raises: ValueError naming the argument.
    """
    values = torch.as_tensor(init, dtype=torch.get_default_dtype()).detach().clone()
    if not values.isfinite().all():
        raise ValueError(f"{name} must be finite, not {init}.")
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
