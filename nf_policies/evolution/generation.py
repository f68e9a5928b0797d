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
