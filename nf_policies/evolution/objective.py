"""What a candidate's returns over its episodes are worth: on average, or where physics and luck are against it.

Each function takes returns (pop_size, episodes) and gives worths (pop_size,); a NaN return makes its candidate NaN.

Reference for the conditional value at risk: Rockafellar and Uryasev (2000), Journal of Risk 2(3).
"""

import copy
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nf_policies.policies import Policy

Worth = Callable[[np.ndarray], np.ndarray]


def mean(returns: np.ndarray) -> np.ndarray:
    """The mean over all episodes."""
    worth: np.ndarray = returns.mean(axis=1)
    return worth


def worst(returns: np.ndarray, k: int) -> np.ndarray:
    """The mean over the k worst episodes, or over all where there are fewer."""
    if k < 1:
        raise ValueError(f"The worst episodes that count must be at least 1, not {k}.")
    # NaN sorts last, where it would be overlooked.
    lowest = np.sort(returns, axis=1)[:, :k].mean(axis=1)
    return np.where(np.isnan(returns).any(axis=1), np.nan, lowest)


def cvar(returns: np.ndarray, share: float) -> np.ndarray:
    """Conditional value at risk: the mean over the worst share of the episodes, rounded up to whole ones."""
    if not 0 < share <= 1:
        raise ValueError(f"The share of the worst episodes must be above 0 and at most 1, not {share}.")
    return worst(returns, math.ceil(share * returns.shape[1] - 1e-9))


def worth_of(name: str) -> Worth:
    """The function that a user names: "mean", "worst:K" or "cvar:SHARE".

    Raises: ValueError if it is none of these.
    """
    kind, _, number = name.partition(":")
    try:
        if kind == "mean" and not number:
            return mean
        if kind == "worst":
            chosen: Worth = functools.partial(worst, k=int(number))
        elif kind == "cvar":
            chosen = functools.partial(cvar, share=float(number))
        else:
            raise ValueError
    except ValueError as error:
        raise ValueError(f"What returns are worth is mean, worst:K or cvar:SHARE, not {name!r}.") from error
    chosen(np.zeros((1, 1)))  # refuses an impossible number now
    return chosen


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
