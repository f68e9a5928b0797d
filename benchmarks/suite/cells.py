"""The rows of one method on one task, and their medians over seeds."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from suite.plan import MINUTES, Part, Run, View, minutes_of, run_of
from suite.rows import Row

Key = tuple[Part, str, View, str]
"""Part, task, view, method."""


@dataclass(frozen=True)
class Cell:
    """Rows that differ in their seeds; it is false where none has a return."""

    rows: tuple[Row, ...] = ()
    """Of runs that went well."""
    errors: tuple[str, ...] = ()
    """Of those that failed."""

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def seeds(self) -> int:
        """How many seeds have a return."""
        return len(self.rows)

    @property
    def in_full(self) -> bool:
        """Whether each run had the minutes that it may take."""
        return all(minutes_of(row) >= MINUTES for row in self.rows)

    @property
    def returns(self) -> list[float]:
        """The mean return of each seed over its final episodes."""
        return [row["return_mean"] for row in self.rows]

    @property
    def median(self) -> float:
        """The return of the middle seed."""
        return median(self.returns)

    @property
    def worst(self) -> float:
        """The return of the worst seed."""
        return min(self.returns)

    @property
    def last(self) -> float | None:
        """The middle seed's return of the last policy, where it was played."""
        means = [sum(row["last"]) / len(row["last"]) for row in self.rows if "last" in row]
        return median(means) if means else None

    def of(self, name: str) -> float | None:
        """The median of another entry; None where it was not counted."""
        values = [row[name] for row in self.rows if row.get(name) is not None]
        return median(values) if values else None


class Cells:
    """All cells of some rows."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)
        self._by_key: dict[Key, list[Row]] = {}
        for row in sorted(self.rows, key=lambda row: row["seed"]):
            run: Run = run_of(row)
            self._by_key.setdefault(run[:4], []).append(row)

    def __call__(self, part: Part, task: str, view: View, method: str) -> Cell:
        """A cell, which may be empty."""
        rows = self._by_key.get((part, task, view, method), [])
        return Cell(
            tuple(row for row in rows if "error" not in row), tuple(row["error"] for row in rows if "error" in row)
        )
