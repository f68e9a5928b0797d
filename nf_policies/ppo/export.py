"""From a trained actor to a policy of its own."""

import copy

from torch import nn

from nf_policies.fields.field import Field
from nf_policies.policies.cells import Cell
from nf_policies.policies.policy import Policy
from nf_policies.policies.spaces import make_head
from nf_policies.ppo.actor_critic import NeuralFieldPolicy
from nf_policies.ppo.vec_env import Features

ACTING = ("encode", "normalize", "features_of", "run_actor", "predict", "obs_to_tensor")
"""What a subclass must not change for its policy file to act as it does."""


def exported(actor: NeuralFieldPolicy, env_id: str | None = None) -> Policy:
    """The actor as a `Policy`, deterministic, sharing nothing with the model.

    Raises: ValueError if a policy file cannot describe it.
    """
    if not isinstance(actor.actor, Field | Cell):
        raise ValueError(f"A policy file holds fields and cells, and this actor is a {type(actor.actor).__name__}.")
    if type(actor.features_extractor) is not Features:
        raise ValueError(
            "A policy file holds no features extractor: leave features_extractor_class and normalize_images out."
        )
    if changed := [name for name in ACTING if getattr(type(actor), name) is not getattr(NeuralFieldPolicy, name)]:
        raise ValueError(f"A policy file holds nothing of your own, and {type(actor).__name__} changes {changed[0]}.")
    field = copy.deepcopy(actor.actor)
    field.output_embedding = copy.deepcopy(readout(actor))
    field.output_size = make_head(actor.action_space).output_size
    entries = actor.actor_entries
    visible = None if entries is None else entries.tolist()
    policy = Policy(
        field, actor.observation_space, actor.action_space, visible=visible, env_id=env_id, squash=actor.squash
    )
    seen = actor.normalizer if entries is None else actor.normalizer.select(entries)
    policy.normalizer.load_state_dict(seen.state_dict())
    return policy.cpu()


def readout(actor: NeuralFieldPolicy) -> nn.Linear:
    """From the actor's activations to the parameters of the action distribution.

    A copy where the critic reads out by the same layer.
    """
    own = actor.actor.output_embedding
    if len(actor.action_net) and isinstance(actor.action_net[0], nn.Linear):
        return actor.action_net[0]
    if actor.columns is None:
        return own
    n = actor.columns[0]
    part = nn.Linear(own.in_features, n, bias=False, device="meta")  # draws no start weights
    part.weight = nn.Parameter(own.weight[:n].detach().clone())
    return part
