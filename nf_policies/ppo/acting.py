"""The actor while a rollout is collected: one step after the other, with its memory."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from nf_policies.fields.field import Field
from nf_policies.fields.stepper import Stepper
from nf_policies.ppo.actor_critic import NeuralFieldPolicy


def make_actor(policy: NeuralFieldPolicy, memory: Tensor, remember: Callable[..., Any]) -> "SteppingActor | Actor":
    """The fastest way to the actor's latents for a rollout, in which the parameters stay as they are.

    Args:
        policy: Whose actor it is.
        memory: Before the first step, of the actor or of both actor and critic. Shape: (num_envs, ·).
        remember: `policy.remember`, as it is or compiled.
    """
    extractor, cls = policy.mlp_extractor, type(policy)
    alone = memory.shape[-1] == extractor.actor_memory
    plain = all(getattr(cls, n) is getattr(NeuralFieldPolicy, n) for n in ("remember", "normalize", "features_of"))
    if alone and plain and isinstance(extractor.actor, Field) and memory.device.type == "cpu":
        stepper = Stepper(extractor.actor, len(memory))
        if stepper.compiled:
            return SteppingActor(policy, memory, stepper)
    return Actor(policy, memory, remember)


class SteppingActor:
    """A neural field on the CPU, whose steps are compiled and have their memory ahead."""

    def __init__(self, policy: NeuralFieldPolicy, memory: Tensor, stepper: Stepper) -> None:
        self.policy, self.stepper = policy, stepper
        self.memory = stepper.tensors.potentials.copy_(memory)
        inputs, entries = stepper.tensors.inputs, policy.mlp_extractor.actor_entries
        self.normalize = policy.normalizer.select(entries).in_place(inputs) if policy.normalizes else None

    def __call__(self, encoded: Any, episode_starts: Tensor) -> Tensor:
        """Latents (num_envs, ·) after what `policy.encode` returned; `episode_starts` is (num_envs,)."""
        extractor, mine = self.policy.mlp_extractor, self.stepper.tensors
        mine.inputs.copy_(extractor.seen(self.policy.features_of(encoded), extractor.actor_entries))
        if self.normalize is not None:
            self.normalize()
        mine.episode_starts.copy_(episode_starts)
        self.stepper()
        return mine.outputs[:, : extractor.latent_dim_pi]


class Actor:
    """Any other: a cell, a field on a GPU or with functions of the user's own, or actor and critic together."""

    def __init__(self, policy: NeuralFieldPolicy, memory: Tensor, remember: Callable[..., Any]) -> None:
        extractor = policy.mlp_extractor
        start = extractor.start(len(memory))
        self.memory, self.remember, self.prepared = memory, remember, extractor.prepare()
        self.start = extractor.split(start)[0] if memory.shape[-1] == extractor.actor_memory else start

    def __call__(self, encoded: Any, episode_starts: Tensor) -> Tensor:
        """As that of `SteppingActor`."""
        latents, self.memory = self.remember(encoded, self.memory, episode_starts, self.prepared, self.start)
        return latents
