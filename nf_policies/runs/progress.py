"""A run's progress to look at: progress.csv, TensorBoard events and a learning curve."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from nf_policies.atomic import atomic_path, uninterrupted

TABLE = "progress.csv"
STYLES: tuple[dict[str, Any], ...] = ({"color": "0.6"}, {"color": "tab:blue"}, {"color": "tab:red", "linewidth": 2})


class Progress:
    """Append rows to `progress.csv` and to TensorBoard.

    Args:
        run_dir: The run's folder.
        columns: The first one counts up.
        tags: TensorBoard's tag of each column but the first.
        count: Where the run continues: rows after it are removed, because they are made again.
    """

    def __init__(self, run_dir: Path, columns: Sequence[str], tags: Mapping[str, str], count: int = 0) -> None:
        self.columns, self.tags = columns, tags
        kept = [row for row in read_table(run_dir / TABLE, columns[0]) if int(row[columns[0]]) <= count]
        with atomic_path(run_dir / TABLE) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)
        self._file = (run_dir / TABLE).open("a", newline="", encoding="utf-8")
        self._csv = csv.DictWriter(self._file, columns)
        self._board = SummaryWriter(str(run_dir), purge_step=count + 1 if count else None)

    def write(self, row: Mapping[str, float]) -> None:
        """Append a row; cells that are missing or NaN stay empty."""
        cells = {name: value for name, value in row.items() if not math.isnan(value)}
        with uninterrupted():  # TensorBoard's writer is a thread of its own
            self._csv.writerow(cells)
            self._file.flush()
            for name, value in cells.items():
                if name != self.columns[0] and math.isfinite(value):
                    self._board.add_scalar(self.tags[name], value, int(row[self.columns[0]]))

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self._board.close()


def read_table(path: Path, first: str) -> list[dict[str, str]]:
    """The whole rows of a table, none if there is no such file. A row that was cut off by a crash is left out."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, restval=None))
    return [row for row in rows if None not in row and None not in row.values() and row.get(first, "").isdigit()]


def plot_progress(
    run_dir: Path, columns: Sequence[str], curves: Mapping[str, str], last_panel: str, *, title: str = ""
) -> None:
    """Draw a run's progress.csv as `learning_curve.png`.

    Args:
        run_dir: The run's folder.
        columns: Of the table.
        curves: Label of each column that is drawn as a return.
        last_panel: Column drawn below; on a logarithmic scale if it spans two orders of magnitude.
        title: Above the picture.
    """
    rows = read_table(run_dir / TABLE, columns[0])
    if not rows:
        return
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    returns, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for (name, label), style in zip(curves.items(), STYLES, strict=False):
        returns.plot(*_points(rows, name), label=label, marker="." if len(rows) < 50 else "", **style)
    returns.set(ylabel="return", title=title)
    returns.legend()
    steps, values = _points(rows, last_panel)
    below.plot(steps, values)
    if len(values) and 0 < 100 * values.min() < values.max():
        below.set_yscale("log")
    below.set(ylabel=last_panel.replace("_", "\n"), xlabel="environment steps")
    for axis in (returns, below):
        axis.grid(alpha=0.3)
    with atomic_path(run_dir / "learning_curve.png") as temporary:
        figure.savefig(temporary, dpi=120)


def _points(rows: list[dict[str, str]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Environment steps and the column's values, where it has one."""
    points = [(float(row["env_steps"]), float(row[name])) for row in rows if row[name]]
    steps, values = np.array(points).reshape(-1, 2).T
    return steps, values
