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
        total: Sum of its returns.
        episodes: Number of them.
    """

    policy: Policy
    total: float
    episodes: int

    @property
    def score(self) -> float:
        """Mean return over all fresh episodes so far."""
        return self.total / self.episodes

    def with_returns(self, returns: np.ndarray) -> "Incumbent":
        """The incumbent after further episodes."""
        return Incumbent(self.policy, self.total + float(returns.sum()), self.episodes + returns.size)


def duel(
    incumbent: Incumbent | None,
    challenger: Policy,
    seeds: Sequence[int],
    play: Callable[[Policy, Sequence[int]], np.ndarray],
) -> Incumbent | None:
    """Who is the incumbent after the challenger has played fresh episodes?

    The incumbent plays the same episodes, unless the challenger has already lost against its score: so the score of a
    lucky incumbent is corrected before it turns down a better one.

    Args:
        incumbent: The best so far, or None.
        challenger: Copied if it wins.
        seeds: Of the fresh episodes.
        play: Returns (episodes,) of a policy on seeds.
    """
    returns = play(challenger, seeds)
    if not np.isfinite(returns).all():
        return incumbent
    candidate = Incumbent(challenger, float(returns.sum()), returns.size)
    if incumbent is not None:
        if candidate.score <= incumbent.score:
            return incumbent
        incumbent = incumbent.with_returns(play(incumbent.policy, seeds))
        if candidate.score <= incumbent.score:
            return incumbent
    return Incumbent(copy.deepcopy(challenger), candidate.total, candidate.episodes)
