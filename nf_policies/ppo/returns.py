"""Generalised advantage estimation, with terminated and truncated kept apart."""

import torch
from torch import Tensor


@torch.no_grad()
def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """Advantages of a rollout.

    An episode's end stops the sum; only a termination stops the bootstrap, so an episode that is cut short counts on
    the value of its final observation.

    Args:
        rewards: Shape: (time, num_envs), as all others.
        values: Of the observations acted on.
        next_values: Of the observations that followed, before any reset; for a truncated step of the final one.
        terminated: Where the task ended; wins over `truncated`.
        truncated: Where an episode was cut short.
        gamma: Discount.
        gae_lambda: From one-step (0) to Monte Carlo (1).
    Returns: Advantages; the value targets are advantages + values.
    Reference: Schulman et al. (2016), High-dimensional continuous control using generalized advantage estimation.
    """
    deltas = rewards + gamma * torch.where(terminated, 0.0, next_values) - values
    keep = gamma * gae_lambda * (~(terminated | truncated)).to(deltas.dtype)
    advantages = torch.empty_like(deltas)
    ahead = torch.zeros_like(deltas[0])
    for delta, kept, advantage in zip(*(reversed(x.unbind()) for x in (deltas, keep, advantages)), strict=True):
        ahead = torch.addcmul(delta, kept, ahead, out=advantage)  # Eq. 16, as a recursion
    return advantages
