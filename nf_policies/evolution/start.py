"""Where an evolution starts: a field that sees nothing and does nothing."""

from typing import Any

import torch

from nf_policies.fields.field import Field
from nf_policies.fields.neural_field import NeuralField
from nf_policies.fields.simple import SimpleNeuralField


@torch.no_grad()
def quiet(field: Field) -> Field:
    """Set the weights of a field's inputs, outputs and resting levels to 0, and return it.

    A good place for CMA-ES to start: no weight has the wrong sign. Neurons that excite themselves
    (`self_centric_init`) are at the edge of remembering.
    """
    for name in ("input_embedding.weight", "output_embedding.weight", "resting_level"):
        field.get_parameter(name).zero_()
    return field


def start_field(
    kind: str,
    input_size: int,
    output_size: int,
    hidden_size: int | None = None,
    *,
    self_excitation: float = 1.0,
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
        seed: Of the start values that are random.
        options: Of the field's constructor.
    Raises: ValueError if the kind is unknown or an option does not fit.
    """
    generator = torch.Generator().manual_seed(seed)
    if kind == "neural":
        hidden_size = 16 if hidden_size is None else hidden_size
        return quiet(NeuralField(input_size, hidden_size, output_size, generator=generator, bell_init=True, **options))
    if kind != "simple":
        raise ValueError(f"Unknown field {kind!r}: choose simple or neural.")
    hidden_size = max(output_size, 2) if hidden_size is None else hidden_size
    simple = SimpleNeuralField(
        input_size, output_size, hidden_size, generator=generator, self_centric_init=True, **options
    )
    with torch.no_grad():
        simple.interaction.weight.fill_diagonal_(self_excitation)
    return quiet(simple)
