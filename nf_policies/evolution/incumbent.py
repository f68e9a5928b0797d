"""The best policy so far, and how a challenger takes its place."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nf_policies.evolution.objective import Objective, mean
from nf_policies.policies.policy import Policy


@dataclass(frozen=True)
class Incumbent:
    """The best policy so far with its own snapshot of the normaliser, and its returns on fresh episodes (episodes,)."""

    policy: Policy
    returns: np.ndarray
    objective: Objective = mean
    episodes: int = 1
    """Of a candidate. The objective is over so many at a time: the worst of 8 is better than the worst of 120."""
    stage: int = 0
    """Of the evolution, which decides its size."""

    @property
    def score(self) -> float:
        """The objective over `episodes`, on average over all blocks of so many."""
        return float(self.objective(self._blocks()).mean())

    @property
    def worst_score(self) -> float:
        """Two standard errors below the score: who plays better than that may be the better one."""
        return self.score - 2 * float(self.returns.std() / np.sqrt(len(self._blocks())))

    def _blocks(self) -> np.ndarray:
        """The returns in blocks of at least `episodes`. Shape: (blocks, episodes)."""
        n_blocks = max(1, len(self.returns) // (1 if self.objective is mean else self.episodes))
        size = len(self.returns) // n_blocks
        return self.returns[: n_blocks * size].reshape(n_blocks, size)

    def with_returns(self, returns: np.ndarray) -> "Incumbent":
        """The incumbent after further episodes."""
        return replace(self, returns=np.concatenate((self.returns, returns)))


def duel(incumbent: Incumbent | None, challenger: Incumbent, play: Callable[[Policy], np.ndarray]) -> Incumbent | None:
    """Who is the incumbent after the challenger has played fresh episodes?

    The incumbent plays the same episodes (by `play`) wherever its score may be luck, so that a lucky one is found out.
    The challenger wins if it is better both on these episodes and than the incumbent on all of its own.
    """
    if not np.isfinite(challenger.returns).all():
        return incumbent
    if incumbent is not None:
        incumbent = replace(incumbent, episodes=challenger.episodes)
        if challenger.score <= incumbent.worst_score:
            return incumbent
        same = play(incumbent.policy)
        incumbent = incumbent.with_returns(same)
        if challenger.score <= max(incumbent.score, replace(challenger, returns=same).score):
            return incumbent
    return challenger
