"""From a trained model to a policy file."""

import copy
from typing import TYPE_CHECKING

import torch
from stable_baselines3.common.vec_env import VecNormalize

from nf_policies.fields.field import Field
from nf_policies.policies import Policy
from nf_policies.policies.cells import Cell
from nf_policies.policies.spaces import make_head

if TYPE_CHECKING:
    from nf_policies.ppo.algorithm import FieldPPO


def exported(model: "FieldPPO") -> Policy:
    """The actor of a model as a `Policy` of its own.

    Raises:
        ValueError: If a policy file cannot describe it.
    """
    actor = model.policy
    extractor = actor.mlp_extractor
    if not isinstance(extractor.actor, Field | Cell):
        raise ValueError(f"A policy file holds fields and cells, and this actor is a {type(extractor.actor).__name__}.")
    if actor.extractor_learns:
        raise ValueError("A policy file holds no features extractor that learns.")
    outside = model.get_vec_normalize_env()
    if isinstance(outside, VecNormalize) and outside.norm_obs:
        raise ValueError(
            "VecNormalize changes the observations outside the policy, so its file would not play the task: use "
            "VecNormalize(norm_obs=False), the policy normalises by itself."
        )
    field = copy.deepcopy(extractor.actor)
    field.output_embedding = copy.deepcopy(actor.readout)
    field.output_size = make_head(actor.action_space).output_size

    seen = extractor.actor_entries
    everything = len(seen) == actor.features_dim and bool((seen == torch.arange(len(seen), device=seen.device)).all())
    policy = Policy(
        field,
        actor.observation_space,
        actor.action_space,
        visible=None if everything else seen.tolist(),
        env_id=env_id_of(model),
        squash=actor.squash,
    )
    statistics = actor.normalizer
    policy.normalizer.count.copy_(statistics.count)
    policy.normalizer.mean.copy_(statistics.mean[seen])
    policy.normalizer.var.copy_(statistics.var[seen])
    policy.made_by = {"method": "FieldPPO", "env_steps": model.num_timesteps, "seed": model.seed}
    return policy.cpu()


def env_id_of(model: "FieldPPO") -> str | None:
    """The id of the task that the model has been trained on, where it is known."""
    env = model.get_env()
    if env is None:
        return None
    spec = env.get_attr("spec")[0] if env.has_attr("spec") else None
    return None if spec is None else spec.id
