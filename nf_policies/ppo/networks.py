"""From a policy's options to its networks: the recurrent extractor and the two heads behind it."""

from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor, nn

from nf_policies.fields import NeuralField, SimpleNeuralField
from nf_policies.policies.cells import GRU, LSTM, Memoryless
from nf_policies.ppo.distributions import parameters_layer

FIELDS: dict[str, type[nn.Module]] = {
    "neural": NeuralField,
    "simple": SimpleNeuralField,
    "gru": GRU,
    "lstm": LSTM,
    "memoryless": Memoryless,
}


class Prepared(NamedTuple):
    """What both fields derive from their parameters ahead of a step, valid until these change."""

    actor: Any
    critic: Any


class RecurrentExtractor(nn.Module):
    """Latents for the actor's and the critic's head from features and memory.

    Args:
        actor: Field or cell; its outputs are the latents.
        critic: Field or cell of the critic's own; None to read the actor's latents.
        actor_entries: Which features the actor sees. Shape: (n,), integer.
        critic_entries: Which features the critic sees.
        columns: If the critic reads the actor's latents: how many of them are for the actor and how many for the
            critic; None for all for both.
    """

    actor: Any
    critic: Any
    actor_entries: Tensor
    critic_entries: Tensor

    def __init__(
        self,
        actor: nn.Module,
        critic: nn.Module | None,
        actor_entries: Tensor,
        critic_entries: Tensor,
        columns: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.actor, self.critic, self.columns = actor, critic, columns
        self.register_buffer("actor_entries", actor_entries, persistent=False)
        self.register_buffer("critic_entries", critic_entries, persistent=False)
        self.actor_memory = self.actor.start(1).shape[-1]
        critic_memory = 0 if critic is None else self.critic.start(1).shape[-1]
        self.memory_size = self.actor_memory + critic_memory
        both = (self.actor.output_size, (self.actor if critic is None else self.critic).output_size)
        self.latent_dim_pi: int
        self.latent_dim_vf: int
        self.latent_dim_pi, self.latent_dim_vf = columns or both

    def start(self, batch_size: int) -> Tensor:
        """Initial potentials. Shape: (batch_size, memory_size)."""
        actor = self.actor.start(batch_size)
        return actor if self.critic is None else torch.cat((actor, self.critic.start(batch_size)), dim=-1)

    def split(self, potentials: Tensor) -> tuple[Tensor, Tensor]:
        """The actor's and the critic's part of potentials (..., memory_size)."""
        return potentials[..., : self.actor_memory], potentials[..., self.actor_memory :]

    def forward(
        self, features: Tensor, potentials: Tensor, episode_starts: Tensor
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Run over a sequence, with exact gradients through all of its time steps.

        Args:
            features: Shape: (time, batch, n_features).
            potentials: Before the first step. Shape: (batch, memory_size).
            episode_starts: True where a new episode begins before that step. Shape: (time, batch).
        Returns: Latents of the actor and of the critic (time, batch, ·), and for each field of its own the potentials
            after every step (time, batch, ·).
        """
        of_actor, of_critic = self.split(potentials)
        latent_pi, trajectory = self.actor(self.seen(features, self.actor_entries), of_actor, episode_starts)
        if self.critic is None:
            return *self._parted(latent_pi), (trajectory,)
        latent_vf, critic_trajectory = self.critic(self.seen(features, self.critic_entries), of_critic, episode_starts)
        return latent_pi, latent_vf, (trajectory, critic_trajectory)

    def prepare(self) -> Prepared:
        """What steps need, computed once for as long as the parameters stay as they are."""
        return Prepared(self.actor.coefficients(), None if self.critic is None else self.critic.coefficients())

    def step(self, features: Tensor, potentials: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor, Tensor]:
        """Advance both fields by one step; new episodes have been given their start by the caller.

        Args:
            features: Shape: (batch, n_features).
            potentials: Shape: (batch, memory_size).
            prepared: From `prepare`.
        Returns: Latents of the actor and of the critic (batch, ·) and the next potentials (batch, memory_size).
        """
        of_actor, of_critic = self.split(potentials)
        latent_pi, after = self.actor.step(self.seen(features, self.actor_entries), of_actor, prepared.actor)
        if self.critic is None:
            return *self._parted(latent_pi), after
        latent_vf, critic_after = self.critic.step(self.seen(features, self.critic_entries), of_critic, prepared.critic)
        return latent_pi, latent_vf, torch.cat((after, critic_after), dim=-1)

    def step_actor(self, features: Tensor, potentials: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor]:
        """As `step`, of the actor alone and with its part of the potentials."""
        latents, after = self.actor.step(self.seen(features, self.actor_entries), potentials, prepared.actor)
        return self._parted(latents)[0], after

    def _parted(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """What of the actor's latents is for the actor and for a critic that reads them."""
        return (latents, latents) if self.columns is None else latents.split(self.columns, dim=-1)

    @staticmethod
    def seen(features: Tensor, entries: Tensor) -> Tensor:
        """The visible features (..., n)."""
        return features if len(entries) == features.shape[-1] else features.index_select(-1, entries)


def make_field(
    kind: str | type[nn.Module],
    input_size: int,
    hidden_size: int,
    options: dict[str, Any],
    readout: nn.Linear | None = None,
) -> nn.Module:
    """A field whose outputs are its activations (a cell whose outputs are its hidden units), or are read from these.

    Args:
        kind: A name in `FIELDS`, or a class with the same interface.
        input_size: Number of features.
        hidden_size: Number of neurons.
        options: Further arguments of the class.
        readout: Reads the outputs from the activations, if `has_readout`.
    Raises: ValueError if the name is unknown.
    """
    if isinstance(kind, str) and kind not in FIELDS:
        raise ValueError(f"Unknown field {kind!r}: choose {', '.join(FIELDS)}, or pass a class.")
    cls: Any = FIELDS[kind] if isinstance(kind, str) else kind
    if cls in (NeuralField, SimpleNeuralField):
        return cls(
            input_size,
            hidden_size=hidden_size,
            output_size=hidden_size if readout is None else readout.out_features,
            output_embedding=nn.Identity() if readout is None else readout,
            **{"activation": "tanh", "tau_init": (1.15, 3.5), "integrator": "exponential_euler"} | options,
        )
    return cls(input_size, hidden_size, **options)


def has_readout(kind: str | type[nn.Module]) -> bool:
    """Whether a kind of field can read its outputs within its sequence operator, which saves time."""
    cls = FIELDS.get(kind) if isinstance(kind, str) else kind
    return cls in (NeuralField, SimpleNeuralField)


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
