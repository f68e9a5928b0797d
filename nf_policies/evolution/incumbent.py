"""The incumbent: the best policy so far, judged on fresh episodes and never on the ones that made it look good."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nf_policies.policies import Policy


@dataclass(frozen=True)
class Incumbent:
    """A policy with its own snapshot of the normaliser, and what it returned on all fresh episodes so far.

    Attributes:
        policy: A copy; nothing that learns goes on changing it.
        returns: Shape: (episodes,).
    """

    policy: Policy
    returns: np.ndarray

    @property
    def score(self) -> float:
        """Mean return over all fresh episodes so far."""
        return float(self.returns.mean())

    @property
    def worst_score(self) -> float:
        """Two standard errors below the score: who plays better than that may be the better one."""
        return self.score - 2 * float(self.returns.std() / np.sqrt(self.returns.size))

    def with_returns(self, returns: np.ndarray) -> "Incumbent":
        """The incumbent after further episodes."""
        return Incumbent(self.policy, np.concatenate((self.returns, returns)))


def duel(
    incumbent: Incumbent | None,
    challenger: Policy,
    seeds: Sequence[int],
    play: Callable[[Policy, Sequence[int]], np.ndarray],
) -> Incumbent | None:
    """Who is the incumbent after the challenger has played fresh episodes?

    The incumbent plays the same episodes wherever its score may be luck, so that a lucky one is found out. The
    challenger wins if it is better both on these episodes and than the incumbent on all of its own.

    Args:
        incumbent: The best so far, or None.
        challenger: Copied if it wins.
        seeds: Of the fresh episodes.
        play: Returns (episodes,) of a policy on seeds.
    """
    returns = play(challenger, seeds)
    if not np.isfinite(returns).all():
        return incumbent
    if incumbent is not None:
        if returns.mean() <= incumbent.worst_score:
            return incumbent
        same = play(incumbent.policy, seeds)
        incumbent = incumbent.with_returns(same)
        if returns.mean() <= max(incumbent.score, same.mean()):
            return incumbent
    return Incumbent(copy.deepcopy(challenger), returns)
