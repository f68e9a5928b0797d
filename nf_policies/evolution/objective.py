"""What is maximised of a policy's returns: functions from returns (policies, episodes) to values (policies,).

A NaN return makes its policy's value NaN.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

Objective = Callable[[np.ndarray], np.ndarray]


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
    ranks = halves.argsort(axis=1).argsort(axis=1)
    correlation: Any = np.corrcoef(ranks)
    return bool(correlation[0, 1] < 0.2)
