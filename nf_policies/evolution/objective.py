"""What is maximised of a policy's returns, and which policy is the best so far.

An objective is a function from returns (policies, episodes) to values (policies,); a NaN return makes its policy's
value NaN.
"""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nf_policies.policies.policy import Policy

Objective = Callable[[np.ndarray], np.ndarray]
ENOUGH = 20
"""Episodes after which a challenger that is better, if not clearly, has won."""
PROBE_EVERY = 5
"""Generations, of which one looks for noise."""
KEPT = 4096
"""Episodes that say how good a policy is, to 1.6 % of a standard deviation; checkpoints need not grow with more."""


mean: Objective = functools.partial[np.ndarray](np.mean, axis=1)
"""The mean over all episodes."""


def worst(returns: np.ndarray, k: int) -> np.ndarray:
    """The mean over the k worst episodes, or over all where there are fewer."""
    if k < 1:
        raise ValueError(f"The worst episodes that count must be at least 1, not {k}.")
    # NaN sorts last, where it would be overlooked.
    lowest = np.sort(returns, axis=1)[:, :k].mean(axis=1)
    return np.where(np.isnan(returns).any(axis=1), np.nan, lowest)


def cvar(returns: np.ndarray, share: float) -> np.ndarray:
    """Conditional value at risk: the mean over the worst share of the episodes, rounded up to whole ones.

    Reference: Rockafellar and Uryasev (2000), Journal of Risk 2(3).
    """
    if not 0 < share <= 1:
        raise ValueError(f"The share of the worst episodes must be above 0 and at most 1, not {share}.")
    return worst(returns, math.ceil(share * returns.shape[1] - 1e-9))


def objective_of(name: str) -> Objective:
    """The objective that a user names: "mean", "worst:K" or "cvar:SHARE".

    Raises: ValueError if it is none of these.
    """
    kind, _, number = name.partition(":")
    try:
        if kind == "mean" and not number:
            return mean
        if kind == "worst":
            chosen: Objective = functools.partial(worst, k=int(number))
        elif kind == "cvar":
            chosen = functools.partial(cvar, share=float(number))
        else:
            raise ValueError
    except ValueError as error:
        raise ValueError(f"The objective is mean, worst:K or cvar:SHARE, not {name!r}.") from error
    chosen(np.zeros((1, 1)))  # refuses an impossible number now
    return chosen


def episodes_of(generation: int, episodes: int, most: int) -> int:
    """How many a candidate plays in a generation that is given so many: of one alone nobody can tell what was luck.

    So every fifth generation of one episode has two, where it may have; from two on `noise_dominates` halves them.
    """
    return 2 if episodes == 1 < most and generation % PROBE_EVERY == PROBE_EVERY - 1 else episodes


def noise_dominates(returns: np.ndarray, objective: Objective = mean) -> bool:
    """Whether half of the episodes say next to nothing about how candidates rank in the other half.

    Args:
        returns: Shape: (pop_size, episodes), at least 2 episodes for a statement.
        objective: By which candidates are ranked.
    Returns: Whether the rank correlation of the candidates between halves is below 0.2; never where all are equal.
    """
    returns = returns[np.isfinite(returns).all(axis=1)]
    if len(returns) < 4 or returns.shape[1] < 2 or np.ptp(objective(returns)) == 0:
        return False
    halves = np.stack((objective(returns[:, ::2]), objective(returns[:, 1::2])))
    if (np.ptp(halves, axis=1) == 0).any():
        return True
    correlation: Any = np.corrcoef([_ranks(half) for half in halves])
    return bool(correlation[0, 1] < 0.2)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Twice the rank of each value, equal ones sharing the mean of theirs."""
    order = np.sort(values)
    return np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right")


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
        return self.score - 2 * self._error

    @property
    def best_score(self) -> float:
        """Two standard errors above the score."""
        return self.score + 2 * self._error

    @property
    def _error(self) -> float:
        return float(self.returns.std() / np.sqrt(len(self._blocks())))

    def _blocks(self) -> np.ndarray:
        """The returns in blocks of at least `episodes`. Shape: (blocks, episodes)."""
        n_blocks = max(1, len(self.returns) // (1 if self.objective is mean else self.episodes))
        size = len(self.returns) // n_blocks
        return self.returns[: n_blocks * size].reshape(n_blocks, size)

    def with_returns(self, returns: np.ndarray) -> "Incumbent":
        """The incumbent after further episodes; the latest `KEPT` count."""
        return replace(self, returns=np.concatenate((self.returns, returns))[-KEPT:])


def rounds(seeds: Sequence[int], first: int) -> Iterator[Sequence[int]]:
    """The seeds in rounds: `first` of them, then as many as before again, until there are no more."""
    end = 0
    while end < len(seeds):
        begin, end = end, 2 * end or first
        yield seeds[begin:end]


def duel(
    incumbent: Incumbent | None,
    challenger: Incumbent,
    play: Callable[[Policy, Sequence[int]], np.ndarray],
    rounds: Iterable[Sequence[int]],
) -> Incumbent | None:
    """Who is the incumbent after the challenger, without returns, has played fresh episodes?

    The challenger wins if it is clearly better after a round, or better after `ENOUGH` episodes or all rounds: both on
    these episodes and than the incumbent on all of its own, of which it must play as many: few say nothing about rare
    failures. The incumbent plays the same wherever its score may be luck, so that a lucky one is found out. Without an
    incumbent, one round is enough.

    Args:
        incumbent: None if there is none yet.
        challenger: Its `episodes` are those of both from now on.
        play: Returns of a policy on episodes with these seeds.
        rounds: Seeds of the episodes.
    """
    theirs, known = np.empty(0), 0 if incumbent is None else len(incumbent.returns)
    for seeds in rounds:
        challenger = challenger.with_returns(play(challenger.policy, seeds))
        if not np.isfinite(challenger.returns).all():
            return incumbent
        if incumbent is None:
            return challenger
        incumbent = replace(incumbent, episodes=challenger.episodes)
        if challenger.score <= incumbent.worst_score:
            return incumbent
        same = play(incumbent.policy, seeds)
        incumbent = incumbent.with_returns(same)
        on_these = replace(incumbent, returns=(theirs := np.concatenate((theirs, same))))
        if challenger.score <= max(incumbent.score, on_these.score):
            return incumbent
        if known <= len(theirs) and (challenger.worst_score > on_these.best_score or len(theirs) >= ENOUGH):
            break
    return challenger
