"""What a candidate's returns over its episodes are worth: on average, or where physics and luck are against it.

Each function takes returns (pop_size, episodes) and gives worths (pop_size,); a NaN return makes its candidate NaN.

Reference for the conditional value at risk: Rockafellar and Uryasev (2000), Journal of Risk 2(3).
"""

import functools
import math
from collections.abc import Callable

import numpy as np

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
