"""How far a search looks, when it has come to rest, and how much larger the next one is."""

import math
from dataclasses import dataclass

import numpy as np

FOLLOW = 0.2
"""Weight of the newest generation in the running average of the medians."""
RISE = 0.01
"""Of all that the average has risen so far: what is less is no rise."""
WIDER = 3.0
"""The first deviation of a search after one whose candidates were all alike, in that of others."""
LASTING = 0.5
"""Of the median candidate's episodes, those that last to the horizon before it grows."""


@dataclass
class Horizon:
    """How much of an episode counts: its first steps, few at first, or its best stretch, or all of it.

    Episodes are cut after `steps`, more once candidates last so long: what comes soon is learnt first, where chance and
    long episodes of the few best cost little. Where no episode ends early, what pays at once leads astray.

    By whole returns, a policy that spins a pole is better than one that balances it for a moment and lets it fall. By
    the best `stretch` of an episode (see `play`), candidates are the better the longer they manage what is asked.

    Args:
        first: Steps at first, of an episode or a stretch.
        whole: Of a whole episode.
        steps: Now, of an episode.
        stretch: Now; 0 or all where returns count.
    """

    first: int
    whole: int
    steps: int = 0
    stretch: int = 0

    def begin(self) -> None:
        """Be as short as at first; whole for stretches, which may come late."""
        self.steps = self.whole if self.stretch else min(self.first, self.whole)

    @property
    def is_short(self) -> bool:
        """Whether episodes are cut."""
        return self.steps < self.whole

    @property
    def seeks_stretch(self) -> bool:
        """Whether stretches count, and not returns."""
        return 0 < self.stretch < self.whole

    @property
    def asked(self) -> dict[str, int]:
        """Of an evaluator, besides whole episodes."""
        limit = {"limit": self.steps} if self.is_short else {}
        return limit | ({"stretch": self.stretch} if self.seeks_stretch else {})

    def is_reached(self, lengths: np.ndarray) -> bool:
        """Whether the median candidate lasts. `lengths` are of shape (candidates, episodes)."""
        return bool(np.median((lengths >= self.steps).mean(1)) >= LASTING)

    def grow(self, lengths: np.ndarray) -> None:
        """Be a quarter longer where the median candidate lasts; whole where no episode ends, or the median does not."""
        quarter = self.is_reached(lengths) and lengths.min() < self.steps
        self.steps = min(self.steps + -(-self.steps // 4), self.whole) if quarter else self.whole


@dataclass
class Plateau:
    """Notices where the median return of the candidates rises no more, in a running average over generations.

    Args:
        patience: Generations without a rise.
    """

    patience: int
    level: float = math.nan
    lowest: float = math.inf
    best: float = -math.inf
    waited: int = 0

    def reached(self, median: float) -> bool:
        """Take a generation's median return, NaN if there is none. Whether the search has come to rest."""
        self.waited += 1
        if math.isfinite(median):
            self.level = median if math.isnan(self.level) else self.level + FOLLOW * (median - self.level)
            self.lowest = min(self.lowest, self.level)
        if self.level > self.best + RISE * max(self.best - self.lowest, 0):
            self.best, self.waited = self.level, 0
        return self.waited >= self.patience


def median(values: np.ndarray) -> float:
    """Of the finite values; NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else math.nan


def patience_of(n_parameters: int, pop_size: int) -> int:
    """Generations that a search without a rise is given: more of them for more parameters per candidate."""
    return 20 + 20 * n_parameters // pop_size


def larger(stage: int) -> tuple[int, int]:
    """Factors of the population and of the neurons in a stage, 0 for the first: one of them grows in each.

    Reference: Auger and Hansen (2005), A restart CMA evolution strategy with increasing population size.
    """
    return 2 ** ((stage + 1) // 2), 1 + stage // 2
