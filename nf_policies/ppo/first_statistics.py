"""The normaliser's statistics in the first rollout, when there are none to begin with."""

from typing import Any

import torch
from torch import Tensor

from nf_policies.policies.numbers import check_numbers


class FirstStatistics:
    """Observations of the first rollout, from which the normaliser learns as it goes: after 1, 2, 4, 8, … steps.

    Later rollouts keep the statistics that they begin with, because log-probabilities are computed with them.

    Args:
        policy: A `NeuralFieldPolicy`.
        n_steps: Steps that every rank takes; from further ones the normaliser learns in the end.
    """

    def __init__(self, policy: Any, n_steps: int) -> None:
        self.policy, self.most, self.n_steps = policy, n_steps, 0
        self.unlearned: list[Tensor] = []

    def follow(self, kept: Tensor) -> bool:
        """Take the observations of a step, (num_envs, n_features). Returns: Whether the statistics have changed."""
        check_numbers("observation", kept, self.n_steps)
        self.unlearned.append(kept.clone())
        self.n_steps += 1
        if self.n_steps & (self.n_steps - 1) or self.n_steps > self.most:
            return False
        self.learn()
        return True

    def learn(self) -> None:
        """Learn from what has come since the last time, here or in another rank."""
        self.policy.learn_statistics(torch.cat(self.unlearned))
        self.unlearned = [self.unlearned[0][:0]]
