"""What a few runs say: median, range, interquartile mean and its bootstrap interval.

Reference: Agarwal, Schwarzer, Castro, Courville and Bellemare (2021), Deep reinforcement learning at the edge of the
statistical precipice, NeurIPS 34 (the package rliable). For one task its stratified bootstrap is the plain one.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES, CONFIDENCE = 10_000, 0.95


class Figures(NamedTuple):
    """Of the scores of some runs."""

    runs: int
    median: float
    worst: float
    best: float
    iqm: float
    low: float
    high: float
    """Bounds of the interquartile mean, with a confidence of 95 %."""


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """The mean without the lowest and the highest quarter, rounded down to whole runs. Shape: (..., runs) to (...)."""
    runs = scores.shape[-1]
    cut = runs // 4
    middle: np.ndarray = np.sort(scores, axis=-1)[..., cut : runs - cut].mean(axis=-1)
    return middle


def figures_of(scores: Sequence[float], seed: int = 0) -> Figures:
    """The figures of at least one score."""
    values = np.asarray(scores, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    tails = (1 - CONFIDENCE) / 2
    low, high = np.quantile(interquartile_mean(values[drawn]), (tails, 1 - tails))
    iqm = float(interquartile_mean(values))
    return Figures(
        len(values), float(np.median(values)), float(values.min()), float(values.max()), iqm, float(low), float(high)
    )
