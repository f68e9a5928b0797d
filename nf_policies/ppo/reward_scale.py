"""Rewards scaled to a size that a critic learns easily; part of the training, not of the policy."""

import torch
from torch import Tensor, nn

from nf_policies.ranks import ALONE, Ranks

CLIP = 10.0
EPSILON = 1e-8


class RewardScale(nn.Module):
    """Divide rewards by the running standard deviation of the discounted return.

    Which policy is best does not change. On tensors of one device, without a copy. Several ranks share the statistics
    after each rollout; within it, each goes on with its own rewards.

    Reference: Engstrom et al. (2020), Implementation matters in deep policy gradients; SB3's VecNormalize.
    """

    count: Tensor
    mean: Tensor
    var: Tensor
    running: Tensor
    ranks: Ranks = ALONE

    def __init__(self, num_envs: int, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("var", torch.ones(()))
        self.register_buffer("running", torch.zeros(num_envs), persistent=False)
        self._before: list[Tensor] = []
        self._returns: list[Tensor] = []

    @torch.no_grad()
    def forward(self, rewards: Tensor, over: Tensor, real: Tensor | None = None) -> Tensor:
        """Scaled rewards, clipped to ± CLIP, after the statistics have followed them. Shapes: (num_envs,).

        `over` is where the episode ends with this step, `real` where it is more than a reset (by default everywhere).
        """
        running = self.running * self.gamma + rewards
        if real is None:
            self._follow(running)
        else:
            running = torch.where(real, running, self.running)
            if real.any():
                self._follow(running[real])
        self.running = running.masked_fill(over, 0.0)
        return (rewards / (self.var + EPSILON).sqrt()).clamp(-CLIP, CLIP)

    @torch.no_grad()
    def share(self) -> None:
        """Let the statistics follow the rollout of every rank, in place of this one's alone."""
        if self.ranks.size == 1:
            return
        for statistic, before in zip((self.count, self.mean, self.var), self._before, strict=True):
            statistic.copy_(before)
        for piece in self.ranks.moments(torch.cat(self._returns)):
            self._merge(*piece)
        self._before, self._returns = [], []

    def _follow(self, returns: Tensor) -> None:
        """Merge the statistics of some discounted returns."""
        if self.ranks.size > 1:
            self._before = self._before or [self.count.clone(), self.mean.clone(), self.var.clone()]
            self._returns.append(returns)
        var, mean = torch.var_mean(returns, correction=0)
        self._merge(len(returns), mean, var)

    def _merge(self, count: int, mean: Tensor, var: Tensor) -> None:
        total = self.count + count
        share = (count / total).to(mean.dtype)
        delta = mean - self.mean
        var = (1 - share) * self.var + share * var + share * (1 - share) * delta**2
        self.var.copy_(var.clamp(max=torch.finfo(var.dtype).max))
        self.mean.add_(share * delta)
        self.count.copy_(total)
