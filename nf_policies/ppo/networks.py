"""From a policy's options to its networks: the recurrent extractor and the two heads behind it."""

from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor, nn

from nf_policies.ppo.actions import parameters_layer
from nf_policies.ppo.extractor import RecurrentExtractor, has_readout, make_field

CRITICS = ("separate", "shared", "memoryless")


class Networks(NamedTuple):
    """What stands between the features and the action distribution and value."""

    extractor: RecurrentExtractor
    action_net: nn.Sequential
    """From the actor's latents to the parameters of the distribution."""
    value_net: nn.Module
    """From the critic's latents to the value."""


def make_networks(
    kind: str | type[nn.Module],
    options: dict[str, Any],
    hidden_size: int,
    critic: str,
    critic_hidden_size: int | None,
    actor_entries: Tensor,
    critic_entries: Tensor,
    action_space: spaces.Space[Any],
    activations_wanted: bool,
) -> Networks:
    """The networks of a policy, with start weights.

    A neural field reads out by itself, within its sequence operator, so that its head is part of the extractor; that of
    a shared critic too. Not where its activations are wanted.

    Args:
        kind: Of field, as for `make_field`, and so the next two.
        options: Further arguments of the field.
        hidden_size: Number of the actor's neurons.
        critic: One of `CRITICS`.
        critic_hidden_size: Number of the critic's neurons or of units in each of two layers.
        actor_entries: Which features the actor sees. Shape: (n,), integer.
        critic_entries: Which features the critic sees.
        action_space: Of a single environment.
        activations_wanted: Whether the distribution needs the actor's activations, as gSDE does.
    """
    reads = has_readout(kind)
    own: Any = None
    value_net: nn.Module = nn.Identity()
    if reads and not activations_wanted:
        layers: Any = parameters_layer(hidden_size, action_space)
        if critic == "shared":
            both = side_by_side(layers[0], value_layer(hidden_size))
            actor: Any = make_field(kind, len(actor_entries), hidden_size, options, both)
            extractor = RecurrentExtractor(actor, None, actor_entries, critic_entries, (layers[0].out_features, 1))
            return Networks(extractor, layers[1:], Offset())
        actor = make_field(kind, len(actor_entries), hidden_size, options, layers[0])
        action_net = layers[1:]
    else:
        actor = make_field(kind, len(actor_entries), hidden_size, options)
        action_net = parameters_layer(actor.output_size, action_space)

    if critic == "separate":
        size = critic_hidden_size or hidden_size
        readout = value_layer(size) if reads else None
        own = make_field(kind, len(critic_entries), size, options, readout)
        if readout is None:
            value_net = value_layer(own.output_size)
    else:
        if critic == "memoryless":
            own = make_field("memoryless", len(critic_entries), critic_hidden_size or 64, {})
        value_net = value_layer((actor if own is None else own).output_size)
    return Networks(RecurrentExtractor(actor, own, actor_entries, critic_entries), action_net, value_net)


def value_layer(latent_size: int) -> nn.Linear:
    """A linear layer from a critic's latents to the value."""
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
