"""What one generation brought: a row of progress.csv."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Generation(Mapping[str, float]):
    """What a generation brought, by attribute or by name. Returns are values of the objective."""

    generation: int
    evaluations: int
    """Policies played so far, each on its episodes: candidates, means, both sides of duels, and confirmations."""
    env_steps: int
    seconds: float
    steps_per_second: float
    sigma: float
    pop_size: int
    horizon: int
    """Steps after which the next generation's episodes are cut; 1 in a search without horizon."""
    stretch: int
    """Steps of the stretch by which the next generation's candidates are compared; 0 or all: by their returns."""
    not_finite: int
    """Candidates so far without a finite return."""
    return_best: float
    return_median: float
    return_of_mean: float
    return_incumbent: float
    """Of the best policy so far, over all fresh episodes that it has played."""

    def __getitem__(self, name: str) -> float:
        value: float = vars(self)[name]
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self))

    def __len__(self) -> int:
        return len(vars(self))

    def line(self, *, is_short: bool) -> str:
        """The row in a few words; `is_short` where the next episodes are cut."""
        return (
            f"best so far {self.return_incumbent:.1f}, mean {self.return_of_mean:.1f}, sigma {self.sigma:.2g}, "
            f"{self.env_steps:,} steps, {self.steps_per_second:,.0f} steps/s"
            + (f", at most {self.horizon} in an episode" if is_short else "")
            + (f", for the best {self.stretch} steps" if self.stretch else "")
            + (f", {self.not_finite} not finite" if self.not_finite else "")
        )
