"""One training in several processes: every rank plays its own environments, and all take the same steps."""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch.nn.utils import clip_grad_norm_

from nf_policies.ppo.saving import load_state, state_of
from nf_policies.ranks import RankError, Ranks

SEEDS = 2**62


def join(model: Any, ranks: Ranks) -> bool:
    """Let a `FieldPPO` train with those of the other ranks, from the first one's state on.

    Environments and random numbers of other ranks get seeds of their own. To be called before the first rollout.

    Returns: Whether there is anything to do: the first rank may have nothing to tell but its end.
    Raises: ValueError if the model decides for itself when an update is over.
    """
    if model.target_kl is not None:
        raise ValueError("With target_kl each process would end an update by itself: leave it out with several ranks.")
    with model.random.drawn():
        seed = int(torch.randint(SEEDS, ()))
    numbers, tensors = state_of(model)
    said = numbers, {name: tensor.cpu() for name, tensor in tensors.items()}, seed, model.env._seeds[0]
    if (said := ranks.told(said)) is None:
        return False
    numbers, tensors, seed, of_envs = said
    if ranks.number:
        load_state(model, numbers, tensors)
        model.random.seed(seed + ranks.number)
        if of_envs is not None:
            model.env.seed(of_envs + ranks.number * model.n_envs)
    model.ranks = model.policy.ranks = ranks
    if model.reward_scale is not None:
        model.reward_scale.ranks = ranks
    return True


def begun(model: Any) -> BaseCallback:
    """Let a model begin episodes, for `update`. Returns: What `update` takes."""
    _, callback = model._setup_learn(sys.maxsize - model.num_timesteps, reset_num_timesteps=False)
    callback.on_training_start({"self": model}, {})
    return callback


def update(model: Any, callback: BaseCallback, used: float) -> None:
    """Collect one rollout and learn from it, as SB3's `learn` does, after this share of the training (0 to 1)."""
    model._current_progress_remaining = 1 - used
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    model.train()


def follow(model: Any, ranks: Ranks) -> None:
    """Train in a rank that is not the first, as long as the `Training` in that one goes on."""
    model.set_logger(Logger(None, []))
    if not join(model, ranks):
        return
    callback = begun(model)
    while (used := ranks.told()) is not None:
        update(model, callback, used)


@contextmanager
def as_one(model: Any) -> Iterator[None]:
    """Let SB3's `train` take the steps of one process with the minibatches of all ranks: gradients are averaged.

    Raises: RankError if the ranks' parameters are not equal in the end, bit for bit.
    """
    ranks, limit = model.ranks, model.max_grad_norm

    def average(*_: Any) -> None:
        learned = [parameter for parameter in model.policy.parameters() if parameter.grad is not None]
        mean = ranks.gathered(torch.cat([parameter.grad.flatten() for parameter in learned])).mean(0)
        for parameter, part in zip(learned, mean.split([p.numel() for p in learned]), strict=True):
            parameter.grad.copy_(part.view_as(parameter))
        clip_grad_norm_(learned, limit)

    model.max_grad_norm = math.inf
    hook = model.policy.optimizer.register_step_pre_hook(average)
    try:
        yield
    finally:
        hook.remove()
        model.max_grad_norm = limit
    bits = torch.cat([parameter.detach().flatten().view(torch.uint8) for parameter in model.policy.parameters()])
    if not (ranks.gathered(bits) == bits).all():
        raise RankError("The processes' parameters are no longer equal: their machines compute differently.")
