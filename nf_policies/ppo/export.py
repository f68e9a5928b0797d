"""From a trained actor to a policy of its own, and from such a policy to an actor."""

import copy
import warnings
from typing import Any

import torch
from gymnasium.vector import VectorWrapper
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from stable_baselines3.common.vec_env import (
    VecCheckNan,
    VecEnv,
    VecEnvWrapper,
    VecMonitor,
    VecNormalize,
    unwrap_vec_normalize,
)
from torch import nn

from nf_policies.fields.field import SIZES, Field
from nf_policies.policies.cells import Cell
from nf_policies.policies.kinds import make_head
from nf_policies.policies.policy import Policy
from nf_policies.ppo.vec_env import Features, GymnasiumVecEnv
from nf_policies.tasks.description import described
from nf_policies.tasks.faults import TaskError

ACTING = ("encode", "normalize", "features_of", "run_actor", "predict", "obs_to_tensor")
"""What a subclass must not change for its policy file to act as it does."""


def exported(actor: Any, known: type, env: VecEnv | None) -> Policy:
    """The actor, a `NeuralFieldPolicy` (`known`), as a `Policy` of its own, deterministic; it was trained in `env`.

    Raises: ValueError if a policy file cannot describe it.
    """
    if not isinstance(actor.actor, Field | Cell):
        raise ValueError(f"A policy file holds fields and cells, and this actor is a {type(actor.actor).__name__}.")
    if type(actor.features_extractor) is not Features:
        raise ValueError(
            "A policy file holds no features extractor: leave features_extractor_class and normalize_images out."
        )
    if changed := [name for name in ACTING if getattr(type(actor), name) is not getattr(known, name)]:
        raise ValueError(f"A policy file holds nothing of your own, and {type(actor).__name__} changes {changed[0]}.")
    outside = None if env is None else unwrap_vec_normalize(env)
    if outside is not None and outside.norm_obs:
        raise ValueError(
            "VecNormalize changes the observations outside the policy, so its file would not play the task: use "
            "VecNormalize(norm_obs=False), the policy normalises by itself."
        )
    field = copy.deepcopy(actor.actor)
    field.output_embedding = copy.deepcopy(readout(actor))
    field.output_size = make_head(actor.action_space).output_size
    entries = actor.actor_entries
    visible = None if entries is None else entries.tolist()
    env_id, env_spec = task_in(env)
    options: dict[str, Any] = {"visible": visible, "squash": actor.squash, "env_id": env_id, "env_spec": env_spec}
    policy = Policy(field, actor.observation_space, actor.action_space, **options)
    seen = actor.normalizer if entries is None else actor.normalizer.select(entries)
    policy.normalizer.load_state_dict(seen.state_dict())
    return policy.cpu()


def task_in(env: VecEnv | None) -> tuple[str | None, dict[str, Any] | None]:
    """The id and description of the task that environments play; a RuntimeWarning where no file can hold it."""
    spec = env.get_attr("spec")[0] if env is not None and env.has_attr("spec") else None
    if spec is None:
        return None, None
    try:
        if wrapper := changed_by(env):
            raise TaskError(f"{wrapper} is around all environments, which no file describes.")
        return spec.id, described(spec)
    except TaskError as error:
        warnings.warn(f"A file of this policy does not name its task: {error}", RuntimeWarning, stacklevel=2)
        return None, None


def changed_by(env: Any) -> str:
    """The wrapper around all environments that may change the task, SB3's or Gymnasium's; empty if there is none."""
    while isinstance(env, VecEnvWrapper):
        if not isinstance(env, VecMonitor | VecNormalize | VecCheckNan):
            return type(env).__name__
        env = env.venv
    outer = env.venv if isinstance(env, GymnasiumVecEnv) else None
    while isinstance(outer, VectorWrapper):
        if not isinstance(outer, RecordEpisodeStatistics):
            return type(outer).__name__
        outer = outer.env
    return ""


def readout(actor: Any) -> nn.Linear:
    """From the actor's activations to the parameters of the action distribution.

    A copy where the critic reads out by the same layer.
    """
    own, layers = actor.actor.output_embedding, list(actor.action_net.children())
    if layers and isinstance(layers[0], nn.Linear):
        return layers[0]
    if actor.columns is None:
        return own
    n = actor.columns[0]
    part = nn.Linear(own.in_features, n, bias=False, device="meta")  # draws no start weights
    part.weight = nn.Parameter(own.weight[:n].detach().clone())
    return part


def like(policy: Policy) -> dict[str, Any]:
    """Options of a `NeuralFieldPolicy` whose actor is as a policy's field, sees the same and acts the same way."""
    described = policy.field.describe()
    return {
        "field": type(policy.field),
        "hidden_size": described["hidden_size"],
        "field_kwargs": {name: value for name, value in described.items() if name not in SIZES},
        "visible": None if policy.visible is None else [int(entry) for entry in policy.visible],
        "squash": getattr(policy.head, "squash", "tanh"),
        "normalize_observations": bool(policy.normalizer.count > 0),
    }


STEPS = 1e5
"""What gains of changes count for, where it is not known from how many steps they come."""


@torch.no_grad()
def take_over(actor: Any, policy: Policy) -> None:
    """Give an actor, made with the options `like(policy)`, the policy's parameters and statistics."""
    # An actor sees the visible entries in ascending order.
    order = torch.arange(policy.encode.size) if policy.visible is None else torch.tensor(policy.visible).argsort()
    own = dict(actor.actor.named_parameters()) | dict(actor.actor.named_buffers())
    for name, tensor in policy.field.state_dict().items():
        if not name.startswith("output_embedding."):
            columns = torch.cat((order, order + len(order)))[: policy.field.felt]
            places: Any = {"input_embedding.weight": (slice(None), columns), "change_gain": order}.get(name, ...)
            own[name].copy_(tensor[places])
    readout(actor).weight.copy_(policy.field.output_embedding.weight)
    seen, entries = actor.normalizer, actor.actor_entries
    where = slice(None) if entries is None else entries
    mean, var = (statistic.to(seen.mean)[order] for statistic in (policy.normalizer.mean, policy.normalizer.var))
    seen.count.copy_(policy.normalizer.count)
    seen.mean[where], seen.var[where] = mean, var
    if actor.changes is not None:  # gains go on from where they are
        actor.changes.count.copy_(seen.count.clamp(min=STEPS))
        actor.changes.var[where] = (seen.std[where] / actor.actor.change_gain) ** 2
