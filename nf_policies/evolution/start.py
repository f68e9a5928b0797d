"""Where an evolution starts: a field that sees nothing and does nothing, and the scales of its parameters."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from nf_policies.fields.field import Field
from nf_policies.fields.neural_field import NeuralField
from nf_policies.fields.simple import SimpleNeuralField


@torch.no_grad()
def quiet(field: Field, output_weight: float = 0.0) -> Field:
    """Set a field's input weights and resting levels to 0, so that none has the wrong sign; return it.

    Output weights are 0, too, but for `output_weight` from a neuron to each output, as far as there are neurons. With
    an output of its own, a neuron need not find out with the others which of them is for which.
    """
    for name in ("input_embedding.weight", "output_embedding.weight", "resting_level"):
        field.get_parameter(name).zero_()
    field.get_parameter("output_embedding.weight").fill_diagonal_(output_weight)
    return field


def start_field(
    kind: str,
    input_size: int,
    output_size: int,
    hidden_size: int | None = None,
    *,
    self_excitation: float = 1.0,
    output_weight: float = 0.0,
    seed: int = 0,
    **options: Any,
) -> Field:
    """A quiet field with its start values.

    Args:
        kind: "simple" (all neurons interact) or "neural" (a convolution over neurons).
        input_size: From `field_sizes`.
        output_size: From `field_sizes`.
        hidden_size: Number of neurons; by default one per output and at least 2 (simple), or 16 (neural).
        self_excitation: Start value of a simple field's interaction of each neuron with itself.
        output_weight: See `quiet`.
        seed: Of the start values that are random.
        options: Of the field's constructor.
    Raises: ValueError if the kind is unknown or an option does not fit.
    """
    options["generator"] = torch.Generator().manual_seed(seed)
    if kind == "neural":
        hidden_size = 16 if hidden_size is None else hidden_size
        return quiet(NeuralField(input_size, hidden_size, output_size, bell_init=True, **options), output_weight)
    if kind != "simple":
        raise ValueError(f"Unknown field {kind!r}: choose simple or neural.")
    hidden_size = max(output_size, 2) if hidden_size is None else hidden_size
    simple = SimpleNeuralField(input_size, output_size, hidden_size, self_centric_init=True, **options)
    simple.interaction.weight.detach().fill_diagonal_(self_excitation)
    return quiet(simple, output_weight)


def scale_factors(scales: Mapping[str, float], names: Sequence[str]) -> list[float]:
    """A factor for each parameter: the product of those whose key its name begins with."""
    return [math.prod(f for start, f in scales.items() if name.startswith(start)) for name in names]
