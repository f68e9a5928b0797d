"""From a policy's options to its networks: what the actor sees, the fields, and the heads behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor, nn

from nf_policies.fields.field import Field
from nf_policies.fields.options import FOR_GRADIENTS, fitting
from nf_policies.policies.cells import Cell
from nf_policies.policies.spaces import ObservationEncoder
from nf_policies.ppo.distributions import parameters_layer

NEURAL_FIELDS = {"neural": "NeuralField", "simple": "SimpleNeuralField"}
FIELDS = NEURAL_FIELDS | {"gru": "GRU", "lstm": "LSTM", "memoryless": "Memoryless"}
"""Names of fields and cells, and their classes."""
CRITICS = ("separate", "shared", "memoryless")


@dataclass(frozen=True)
class NetworkOptions:
    """What the networks of a policy are.

    Attributes:
        field: "neural", "simple", "gru", "lstm", "memoryless", or a class with a field's interface.
        hidden_size: Neurons of the actor's field.
        field_kwargs: Further arguments of the field; those of neural fields start from
            `nf_policies.fields.options.FOR_GRADIENTS`.
        critic: "separate" (a field of its own), "shared" (reads the actor's field; the fastest) or "memoryless" (two
            layers of tanh units).
        critic_hidden_size: Neurons of the critic's field or units per layer; by default as the actor's, 64 if
            memoryless.
        privileged_critic: Whether the critic sees all entries and not only the `visible` ones.
        visible: What the actor sees: indices of the features, or keys of a Dict space; None for everything.
    Raises: ValueError naming what does not fit.
    """

    field: str | type[nn.Module] = "neural"
    hidden_size: int = 16
    field_kwargs: Mapping[str, Any] | None = None
    critic: str = "separate"
    critic_hidden_size: int | None = None
    privileged_critic: bool = False
    visible: Sequence[int] | Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.critic not in CRITICS:
            raise ValueError(f"Unknown critic {self.critic!r}: choose {', '.join(CRITICS)}.")
        if self.critic == "shared" and self.privileged_critic:
            raise ValueError("A shared critic reads the actor's field, so it cannot be privileged.")
        if (self.field_kwargs or {}).get("batch_first"):
            raise ValueError("A rollout is time-major: leave batch_first out of field_kwargs.")


def visible_features(
    space: spaces.Space[Any], n_features: int, visible: Sequence[int] | Sequence[str] | None, extractor_learns: bool
) -> Tensor:
    """Sorted indices (n,) of the features that the actor sees; a ValueError if `visible` names others."""
    if visible is None:
        return torch.arange(n_features)
    if extractor_learns:
        raise ValueError("visible selects entries of the observation, and a features extractor that learns mixes them.")
    if isinstance(space, spaces.Dict) and any(isinstance(entry, str) for entry in visible):
        ranges, begin = {}, 0
        for key, part in space.spaces.items():
            end = begin + ObservationEncoder(part).total
            ranges[key], begin = range(begin, end), end
        unknown = [key for key in visible if key not in ranges]
        if unknown or not visible:
            raise ValueError(f"visible must name keys of {list(ranges)}, not {list(visible)}.")
        return torch.tensor([i for key in ranges if key in visible for i in ranges[key]])
    wrong = [i for i in visible if not (isinstance(i, int) and 0 <= i < n_features)]
    if wrong or len(set(visible)) != len(visible) or not visible:
        raise ValueError(
            f"visible must list different indices of the {n_features} observation entries, not {list(visible)}."
        )
    return torch.tensor(sorted(visible))


def class_of(kind: str | type[nn.Module]) -> type[nn.Module]:
    """The class of a field or cell by its name in `FIELDS`, or the class itself; a ValueError for another name."""
    if not isinstance(kind, str):
        return kind
    if kind not in FIELDS:
        raise ValueError(f"Unknown field {kind!r}: choose {', '.join(FIELDS)}, or pass a class.")
    classes: dict[str, type[nn.Module]] = {**Field.kinds, **Cell.kinds}
    return classes[FIELDS[kind]]


def has_readout(kind: str | type[nn.Module]) -> bool:
    """Whether a field reads its outputs within its sequence operator, which saves time."""
    return class_of(kind) in map(class_of, NEURAL_FIELDS)


@fitting()
def make_field(
    kind: str | type[nn.Module],
    input_size: int,
    hidden_size: int,
    options: Mapping[str, Any],
    readout: nn.Linear | None = None,
) -> nn.Module:
    """A field whose outputs are its activations (a cell's: its hidden units), or what a readout makes of these."""
    cls: Any = class_of(kind)
    if has_readout(kind):
        return cls(
            input_size,
            hidden_size=hidden_size,
            output_size=hidden_size if readout is None else readout.out_features,
            output_embedding=nn.Identity() if readout is None else readout,
            **FOR_GRADIENTS | dict(options),
        )
    return cls(input_size, hidden_size, **options)


class Networks(NamedTuple):
    """What stands between the features and the action distribution and value."""

    actor: Any
    critic: Any
    """A field or cell of the critic's own; None where it reads the actor's outputs."""
    action_net: nn.Sequential
    """From the actor's outputs to the parameters of the distribution."""
    value_net: nn.Module
    """From the critic's outputs to the value."""
    columns: tuple[int, int] | None = None
    """Where a critic reads the actor's outputs: how many are the actor's and the critic's; None for all for both."""


def make_networks(
    options: NetworkOptions, input_sizes: tuple[int, int], action_space: spaces.Space[Any], *, activations_wanted: bool
) -> Networks:
    """The networks of a policy, with start weights.

    A neural field reads out by itself, within its sequence operator, for a shared critic too, unless the distribution
    needs its activations, as gSDE does. `input_sizes` is how many features the actor and the critic see.
    """
    kind, hidden_size, more = options.field, options.hidden_size, options.field_kwargs or {}
    of_actor, of_critic = input_sizes
    reads = has_readout(kind)
    if reads and not activations_wanted:
        layers: Any = parameters_layer(hidden_size, action_space)
        if options.critic == "shared":
            both = side_by_side(layers[0], value_layer(hidden_size))
            actor: Any = make_field(kind, of_actor, hidden_size, more, both)
            return Networks(actor, None, layers[1:], Offset(), (layers[0].out_features, 1))
        actor = make_field(kind, of_actor, hidden_size, more, layers[0])
        action_net = layers[1:]
    else:
        actor = make_field(kind, of_actor, hidden_size, more)
        action_net = parameters_layer(actor.output_size, action_space)

    if options.critic == "shared":
        return Networks(actor, None, action_net, value_layer(actor.output_size))
    if options.critic == "memoryless":
        own: Any = make_field("memoryless", of_critic, options.critic_hidden_size or 64, {})
        return Networks(actor, own, action_net, value_layer(own.output_size))
    size = options.critic_hidden_size or hidden_size
    readout = value_layer(size) if reads else None
    own = make_field(kind, of_critic, size, more, readout)
    return Networks(actor, own, action_net, nn.Identity() if reads else value_layer(own.output_size))


def value_layer(latent_size: int) -> nn.Linear:
    """A linear layer from a critic's outputs to the value."""
    linear = nn.Linear(latent_size, 1)
    nn.init.orthogonal_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class Offset(nn.Module):
    """A learnable number that is added."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, values: Tensor) -> Tensor:
        """Shapes: (..., 1)."""
        return values + self.bias


def side_by_side(first: nn.Linear, second: nn.Linear) -> nn.Linear:
    """One layer without bias with the weights of two."""
    both = nn.Linear(first.in_features, first.out_features + second.out_features, bias=False)
    both.weight.data.copy_(torch.cat((first.weight, second.weight)))
    return both
