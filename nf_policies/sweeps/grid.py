"""Which runs a sweep consists of: every combination of options with every seed."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from nf_policies.runs.directory import RunError


class Cell(NamedTuple):
    """One run."""

    settings: tuple[tuple[str, str], ...]
    """(option, value) of the grid."""
    seed: int

    @property
    def label(self) -> str:
        """The settings in words."""
        return ", ".join(f"{name} {value}" for name, value in self.settings) or "as given"

    @property
    def folder(self) -> str:
        """Where its run is kept, below the sweep's folder."""
        words = [f"{name}-{value}" for name, value in self.settings] + [f"seed-{self.seed}"]
        return "/".join("".join(c if c.isalnum() or c in "-_." else "-" for c in word) for word in words)

    def words(self, command: Sequence[str]) -> list[str]:
        """The command of this run."""
        options = [word for name, value in self.settings for word in (f"--{name.replace('_', '-')}", value)]
        return [*command, *options, "--seed", str(self.seed)]


def seeds_of(text: str) -> list[int]:
    """Seeds in words: 0:20 for 0 to 19, or 1,5,7. A RunError for anything else."""
    try:
        first, colon, end = text.partition(":")
        seeds = list(range(int(first or 0), int(end))) if colon else [int(word) for word in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise RunError(f"--seeds must be FIRST:END, as 0:20, or different numbers, as 0,3,7; not {text}.")
    return seeds


def cells_of(seeds: str, grid: Sequence[str]) -> list[Cell]:
    """All runs: those of a setting together.

    Args:
        seeds: As for `seeds_of`.
        grid: NAME=VALUE,VALUE for each option.
    Raises: RunError naming what is not of this form.
    """
    axes: dict[str, list[str]] = {}
    for text in grid:
        name, equals, values = text.partition("=")
        name = name.strip().replace("-", "_")
        options = [value.strip() for value in values.split(",")]
        if not (equals and name.isidentifier() and all(options)) or len(set(options)) < len(options):
            raise RunError(f"--grid must be NAME=VALUE,VALUE with different values, as hidden_size=1,2,4; not {text}.")
        if name in axes or name == "seed":
            raise RunError(f"--grid names {name} twice." if name in axes else "Seeds belong to --seeds, not to --grid.")
        axes[name] = options
    settings = [tuple(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return [Cell(setting, seed) for setting in settings for seed in seeds_of(seeds)]
