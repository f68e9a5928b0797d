"""A run's progress to look at: progress.csv, TensorBoard events and a learning curve."""

import csv
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nf_policies.atomic import atomic_path, writing
from nf_policies.runs.events import EventFile
from nf_policies.runs.learner import Learner

TABLE = "progress.csv"
DRAWN_MAX = 1e30
"""Size of what the learning curve shows."""
STYLES: tuple[dict[str, Any], ...] = ({"color": "0.6"}, {"color": "tab:blue"}, {"color": "tab:red", "linewidth": 2})


class Progress:
    """Append rows to `progress.csv` and to TensorBoard; those after `count` are removed, as they are made again."""

    def __init__(self, run_dir: Path, learner: Learner, count: int = 0) -> None:
        columns = learner.columns
        self._count = columns[0]
        self._tags = {name: learner.tags.get(name, f"{learner.kind}/{name}") for name in columns[1:]}
        kept = [row for row in read_table(run_dir / TABLE, columns) if int(row[self._count]) <= count]
        with atomic_path(run_dir / TABLE) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)
        self._path = run_dir / TABLE
        self._file = self._path.open("a", newline="", encoding="utf-8")
        self._csv = csv.DictWriter(self._file, columns)
        self._events = EventFile(run_dir, count + 1)

    def write(self, row: Mapping[str, float]) -> None:
        """Append a row; cells that are missing or NaN stay empty. An OSError names the file."""
        cells = {name: value for name, value in row.items() if not math.isnan(value)}
        with writing(self._path):
            self._csv.writerow(cells)
            self._file.flush()
        shown = {tag: cells[name] for name, tag in self._tags.items() if math.isfinite(cells.get(name, math.nan))}
        self._events.write(int(row[self._count]), shown)

    def close(self) -> None:
        """Close the files; rows are in them already."""
        with suppress(OSError):  # half a row, for which there was no room
            self._file.close()
        self._events.close()


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The whole rows of a table, none if there is no such file.

    What is not a row of numbers, cut off by a crash for example, is left out.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    rows = [line.rstrip("\r").split(",") for line in lines[1:]]
    return [dict(zip(columns, cells, strict=True)) for cells in rows if is_row(cells, len(columns))]


def is_row(cells: Sequence[str], width: int) -> bool:
    """Whether a row is whole: a whole number that counts, then numbers or nothing."""
    counts = cells[0].isascii() and cells[0].isdigit() and len(cells[0]) < 16
    return counts and len(cells) == width and all(not cell or is_number(cell) for cell in cells)


def is_number(cell: str) -> bool:
    """Whether a cell is a number."""
    try:
        return not math.isnan(float(cell))
    except ValueError:
        return False


def plot_progress(run_dir: Path, learner: Learner, title: str) -> None:
    """Draw the learner's curves and last panel from a run's progress.csv as `learning_curve.png`."""
    rows = read_table(run_dir / TABLE, learner.columns)
    if not rows:
        return
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    returns, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for (name, label), style in zip(learner.curves.items(), STYLES, strict=False):
        returns.plot(*_points(rows, name), label=label, marker="." if len(rows) < 50 else "", **style)
    returns.set(ylabel="return", title=title)
    returns.legend()
    steps, values = _points(rows, learner.last_panel)
    below.plot(steps, values)
    if len(values) and 0 < 100 * values.min() < values.max():
        below.set_yscale("log")  # two orders of magnitude
    below.set(ylabel=learner.last_panel.replace("_", "\n"), xlabel="environment steps")
    for axis in (returns, below):
        axis.grid(alpha=0.3)
    with atomic_path(run_dir / "learning_curve.png") as temporary:
        figure.savefig(temporary, dpi=120)


def _points(rows: list[dict[str, str]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Environment steps and the column's values, where it has one that can be drawn."""
    points = [(float(row["env_steps"]), float(row[name])) for row in rows if row["env_steps"] and row[name]]
    steps, values = np.array([point for point in points if max(map(abs, point)) < DRAWN_MAX]).reshape(-1, 2).T
    return steps, values
