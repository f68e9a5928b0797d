"""What a field is compared with: GRU, LSTM and a memoryless network, with a field's interface.

The potentials of an LSTM are its hidden and its cell state side by side, those of a memoryless network have no entries.
"""

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from nf_policies.fields.dynamics import Trace

LAYERS_MAX = 100


class CellCoefficients(NamedTuple):
    """What a step uses, beside the cell's own parameters."""

    initial_potentials: Tensor


class Cell(nn.Module):
    """The part that all three have in common; not for direct use.

    The outputs are read linearly from the hidden units; without an output_size they are the hidden units themselves.
    """

    kinds: ClassVar[dict[str, type["Cell"]]] = {}
    """Every kind of cell by the name of its class; the first of a name counts."""
    cell: nn.RNNCellBase
    """Holds the parameters of the gates, if there are any."""
    kept = 0
    """Numbers of a memory that are inputs kept for the next step, as a field's may be."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Cell.kinds.setdefault(cls.__name__, cls)

    def __init__(self, input_size: int, hidden_size: int, memory_size: int, output_size: int | None) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.output_size = hidden_size if output_size is None else output_size
        self.output_embedding = (
            nn.Identity() if output_size is None else nn.Linear(hidden_size, output_size, bias=False)
        )
        self.initial_potentials: Tensor = nn.Buffer(torch.zeros(memory_size), persistent=False)

    def describe(self) -> dict[str, Any]:
        """Options as JSON values, as `Field.describe`; a ValueError if a file cannot describe the cell."""
        name = type(self).__name__
        if Cell.kinds.get(name) is not type(self) or type(self.output_embedding) is not nn.Linear:
            raise ValueError(f"A policy file cannot describe a {name} like this: save the state_dict instead.")
        return {name: getattr(self, name) for name in ("input_size", "hidden_size", "output_size")}

    def start(self, batch_size: int) -> Tensor:
        """Initial potentials (batch_size, memory_size)."""
        return self.initial_potentials.expand(batch_size, -1)

    def coefficients(self, population: Mapping[str, Tensor] | None = None) -> CellCoefficients:
        """What `step` and `trace` take; a cell has no population but its own parameters."""
        if population and any(len(value) != 1 for value in population.values()):
            raise ValueError(f"A population of {type(self).__name__} cells cannot be played: evolve a neural field.")
        return CellCoefficients(self.initial_potentials[None, None] if population else self.initial_potentials)

    def stimuli(self, inputs: Tensor) -> Tensor:
        """What the inputs (..., input_size) contribute. Shape: (..., gates * hidden_size)."""
        return functional.linear(inputs, self.cell.weight_ih, self.cell.bias_ih)

    def internal(self, potentials: Tensor) -> Tensor:
        """What the memory contributes, shaped as the stimuli."""
        return functional.linear(potentials, self.cell.weight_hh, self.cell.bias_hh)

    def advance(self, external: Tensor, internal: Tensor, potentials: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden units (..., hidden_size) and potentials (..., memory_size) one step later."""
        raise NotImplementedError

    def trace(self, inputs: Tensor, potentials: Tensor, coefficients: CellCoefficients | None = None) -> Trace:
        """One step of inputs (..., batch, input_size); the activations are the hidden units."""
        external, internal = self.stimuli(inputs), self.internal(potentials)
        hidden, after = self.advance(external, internal, potentials)
        return Trace(external, internal, after, hidden, self.output_embedding(hidden))

    def step(
        self, inputs: Tensor, potentials: Tensor, coefficients: CellCoefficients | None = None
    ) -> tuple[Tensor, Tensor]:
        """Outputs (..., batch, output_size) and potentials one step later."""
        trace = self.trace(inputs, potentials, coefficients)
        return trace.outputs, trace.potentials

    def forward(
        self, inputs: Tensor, potentials: Tensor | None = None, episode_starts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Outputs and potentials over a sequence of inputs (time, batch, input_size); arguments as `Field.forward`."""
        start = self.start(inputs.shape[1])
        potentials = start if potentials is None else potentials
        hidden_units, trajectory = [], []
        for t, stimuli in enumerate(self.stimuli(inputs)):
            if episode_starts is not None:
                potentials = torch.where(episode_starts[t].unsqueeze(-1), start, potentials)
            hidden, potentials = self.advance(stimuli, self.internal(potentials), potentials)
            hidden_units.append(hidden)
            trajectory.append(potentials)
        return self.output_embedding(torch.stack(hidden_units)), torch.stack(trajectory)

    @property
    def n_parameters(self) -> int:
        """Number of learnable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


class GRU(Cell):
    """A gated recurrent unit, with torch's parameters and start values.

    Reference: Cho et al. (2014), Learning phrase representations using RNN encoder-decoder.
    """

    def __init__(self, input_size: int, hidden_size: int, output_size: int | None = None) -> None:
        super().__init__(input_size, hidden_size, hidden_size, output_size)
        self.cell = nn.GRUCell(input_size, hidden_size)

    def advance(self, external: Tensor, internal: Tensor, potentials: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the gates: reset, update, new."""
        r, z, n = external.chunk(3, dim=-1)
        r_h, z_h, n_h = internal.chunk(3, dim=-1)
        update = torch.sigmoid(z + z_h)
        new = torch.tanh(n + torch.sigmoid(r + r_h) * n_h)
        hidden = new + update * (potentials - new)
        return hidden, hidden


class LSTM(Cell):
    """Long short-term memory, with torch's parameters and start values.

    Reference: Hochreiter and Schmidhuber (1997), Neural Computation 9.
    """

    def __init__(self, input_size: int, hidden_size: int, output_size: int | None = None) -> None:
        super().__init__(input_size, hidden_size, 2 * hidden_size, output_size)
        self.cell = nn.LSTMCell(input_size, hidden_size)

    def internal(self, potentials: Tensor) -> Tensor:
        """What the hidden state contributes."""
        return super().internal(potentials[..., : self.hidden_size])

    def advance(self, external: Tensor, internal: Tensor, potentials: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the gates: input, forget, candidate, output."""
        i, f, g, o = (external + internal).chunk(4, dim=-1)
        cell = torch.sigmoid(f) * potentials[..., self.hidden_size :] + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        return hidden, torch.cat((hidden, cell), dim=-1)


class Memoryless(Cell):
    """Layers of tanh units, hidden_size each, that see the present only; with no layers, a linear policy."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int | None = None, *, layers: int = 2) -> None:
        if layers not in range(LAYERS_MAX + 1):
            raise ValueError(f"layers must be 0 to {LAYERS_MAX}, not {layers!r}.")
        sizes = [input_size] + [hidden_size] * layers
        super().__init__(input_size, sizes[-1], 0, output_size)
        layer_sizes = itertools.pairwise(sizes)
        self.layers = nn.Sequential(*(module for size in layer_sizes for module in (nn.Linear(*size), nn.Tanh())))

    def describe(self) -> dict[str, Any]:
        """As that of `Cell`."""
        return super().describe() | {"layers": len(self.layers) // 2}

    def stimuli(self, inputs: Tensor) -> Tensor:
        """The layers' outputs."""
        return self.layers(inputs)

    def internal(self, potentials: Tensor) -> Tensor:
        """Nothing."""
        return potentials

    def advance(self, external: Tensor, internal: Tensor, potentials: Tensor) -> tuple[Tensor, Tensor]:
        """Nothing is remembered."""
        return external, potentials

    def forward(
        self, inputs: Tensor, potentials: Tensor | None = None, episode_starts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `Cell.forward`, all time steps at once."""
        return self.output_embedding(self.layers(inputs)), inputs.new_empty(*inputs.shape[:2], 0)
