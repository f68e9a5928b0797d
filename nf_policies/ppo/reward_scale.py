"""Rewards scaled to a size that a critic learns easily; part of the training, not of the policy."""

import torch
from torch import Tensor, nn

CLIP = 10.0
EPSILON = 1e-8


class RewardScale(nn.Module):
    """Divide rewards by the running standard deviation of the discounted return.

    Which policy is best does not change. On tensors of one device, without a copy.

    Args:
        num_envs: Number of environments.
        gamma: Discount.
    Reference: Engstrom et al. (2020), Implementation matters in deep policy gradients; SB3's VecNormalize.
    """

    count: Tensor
    mean: Tensor
    var: Tensor
    running: Tensor

    def __init__(self, num_envs: int, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("var", torch.ones(()))
        self.register_buffer("running", torch.zeros(num_envs), persistent=False)

    @torch.no_grad()
    def forward(self, rewards: Tensor, over: Tensor, real: Tensor | None = None) -> Tensor:
        """Scaled rewards, clipped to ± CLIP, after the statistics have followed them.

        Args:
            rewards: From the task. Shape: (num_envs,).
            over: Where the episode ended with this step. Shape: (num_envs,).
            real: Where it was a step of the task; elsewhere it was only a reset, and is left out. None for everywhere.
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

    def _follow(self, returns: Tensor) -> None:
        """Merge the statistics of some discounted returns."""
        var, mean = torch.var_mean(returns, correction=0)
        total = self.count + len(returns)
        share = (len(returns) / total).to(mean.dtype)
        delta = mean - self.mean
        self.var.copy_((1 - share) * self.var + share * var + share * (1 - share) * delta**2)
        self.mean.add_(share * delta)
        self.count.copy_(total)
