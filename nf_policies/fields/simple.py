"""SimpleNeuralField: potentials that all interact, without a convolution; usually below 20 parameters."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nf_policies.fields.activations import is_sigmoid
from nf_policies.fields.dynamics import DYNAMICS
from nf_policies.fields.field import Field
from nf_policies.fields.options import SimpleOptions
from nf_policies.fields.parameters import embedding


class SimpleNeuralField(Field):
    """A few neurons, each connected to each, with a choice of potential dynamics.

    Args:
        hidden_size: Number of neurons; by default one per output.
        input_embedding: Module from (..., input_size) to (..., hidden_size); by default linear without bias.
        output_embedding: Module from (..., hidden_size) to (..., output_size); by default linear without bias.
        generator: Source of the random start values; by default torch's.
        options: As in `nf_policies.fields.options.SimpleOptions`, among them dynamics, activation, tau_init, dt.
    Raises: ValueError naming the argument that does not fit.
    Reference: Luksch, Gienger, Muehlig and Yoshiike (2012), Adaptive movement sequences and predictive decisions
        based on hierarchical dynamical systems, IROS.
    """

    biased = False
    options: SimpleOptions
    log_capacity: Tensor
    interaction: Any

    def __init__(
        self,
        input_size: int,
        output_size: int,
        hidden_size: int | None = None,
        *,
        input_embedding: nn.Module | None = None,
        output_embedding: nn.Module | None = None,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        o = SimpleOptions.of(options)
        if isinstance(o.dynamics, str) and o.dynamics not in DYNAMICS:
            raise ValueError(f"Unknown dynamics {o.dynamics!r}: choose {', '.join(DYNAMICS)}, or pass a function.")
        dynamics = DYNAMICS[o.dynamics] if isinstance(o.dynamics, str) else o.dynamics
        hidden = output_size if hidden_size is None else hidden_size
        super().__init__(input_size, hidden, output_size, o, dynamics, input_embedding, output_embedding, generator)
        self.interaction = embedding(None, hidden, hidden, generator)
        if o.self_centric_init:
            with torch.no_grad():
                self.interaction.weight.fill_(-0.5).fill_diagonal_(1.0)
        if "capacity" in self.uses:
            capacity = self._saturation() if o.capacity_init is None else o.capacity_init
            self._register("log_capacity", torch.tensor([capacity]).log(), o.capacity_learnable)

    def _saturation(self) -> float:
        """Where the activation reaches 0.999 of its range: sigmoid(7) and tanh(3.8)."""
        functions = getattr(self.activation, "functions", (self.activation,))
        if all(is_sigmoid(f) for f in functions):
            return 7.0
        if all(f is torch.tanh or isinstance(f, nn.Tanh) for f in functions):
            return 3.8
        raise ValueError("Capacity dynamics need capacity_init where the activation is not all sigmoid or all tanh.")

    @property
    def capacity(self) -> Tensor:
        """Potential at which the capacity dynamics saturate; no attribute of other dynamics. Shape: (1,)."""
        return self.log_capacity.exp()

    def describe(self) -> dict[str, Any]:
        """Options as JSON values. See `Field.describe`."""
        name = getattr(self.dynamics, "__name__", "")
        if DYNAMICS.get(name) is not self.dynamics:
            raise ValueError("Potential dynamics of your own cannot be described: save the state_dict instead.")
        return super().describe() | {"dynamics": name}

    def lateral(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The free interaction matrix (..., hidden_size, hidden_size)."""
        return parameters.get("interaction.weight", self.interaction.weight)
