"""Rewards scaled to a size that a critic learns easily; part of the training, not of the policy."""

import torch
from torch import Tensor, nn

from nf_policies.ranks import ALONE, Ranks

CLIP = 10.0
EPSILON = 1e-8


class RewardScale(nn.Module):
    """Divide the rewards of a rollout by the standard deviation of all discounted returns so far, its own included.

    One number for a whole rollout, all ranks' alike: the first rewards are not larger because few are known yet.

    Reference: Engstrom et al. (2020), Implementation matters in deep policy gradients.
    """

    count: Tensor
    mean: Tensor
    var: Tensor
    running: Tensor
    ranks: Ranks = ALONE

    def __init__(self, num_envs: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("var", torch.ones(()))
        self.register_buffer("running", torch.zeros(num_envs), persistent=False)

    @torch.no_grad()
    def forward(self, rewards: Tensor, episode_starts: Tensor, gamma: float) -> Tensor:
        """Scaled rewards, clipped to ± CLIP, after the statistics have followed them; `gamma` discounts this rollout.

        Shapes: (n_steps, num_envs).
        """
        returns = torch.empty_like(rewards)
        for reward, kept, so_far in zip(rewards, gamma * ~episode_starts, returns, strict=True):
            self.running = torch.addcmul(reward, self.running, kept, out=so_far)
        self.running = self.running.clone()
        for moments in self.ranks.moments(returns.flatten()):
            self._merge(*moments)
        return (rewards / (self.var + EPSILON).sqrt()).clamp(-CLIP, CLIP)

    def _merge(self, count: int, mean: Tensor, var: Tensor) -> None:
        total = self.count + count
        share = (count / total).to(mean.dtype)
        delta = mean - self.mean
        var = (1 - share) * self.var + share * var + share * (1 - share) * delta**2
        self.var.copy_(var.clamp(max=torch.finfo(var.dtype).max))
        self.mean.add_(share * delta)
        self.count.copy_(total)
