"""What an evolution leaves to look at: progress.csv, TensorBoard events and a learning curve."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from nf_policies.atomic import atomic_path, continue_table, read_table, uninterrupted
from nf_policies.evolution.evolution import Generation

COLUMNS = list(Generation.__dataclass_fields__)


class ProgressLog:
    """Write every generation to `progress.csv` and TensorBoard.

    Args:
        run_dir: The run's folder.
        generation: How many generations to keep of what is there: those after a checkpoint are played again.
    """

    def __init__(self, run_dir: Path, generation: int = 0) -> None:
        self.path = run_dir / "progress.csv"
        rows = read_table(self.path)[:generation] if generation else []
        self._file, self._csv = continue_table(self.path, COLUMNS, rows)
        self._board = SummaryWriter(str(run_dir), purge_step=generation + 1 if generation else None)

    def write(self, record: Generation) -> None:
        """Append one generation."""
        self._csv.writerow(record.row())
        self._file.flush()
        with uninterrupted():  # the board's writer is a thread of its own
            for name, value in record.row().items():
                if name != "generation" and np.isfinite(value):
                    self._board.add_scalar(f"evolution/{name}", value, record.generation)

    def close(self) -> None:
        """Flush and close the files."""
        self._file.close()
        self._board.close()


def plot_progress(run_dir: Path, *, title: str = "") -> None:
    """Draw a run's progress.csv as `learning_curve.png`."""
    rows = read_table(run_dir / "progress.csv")
    if not rows:
        return
    steps = np.array([float(row["env_steps"]) for row in rows])
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    returns, sigma = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for name, label, style in (
        ("return_median", "median candidate", {"color": "0.6"}),
        ("return_of_mean", "mean of the search distribution", {"color": "tab:blue"}),
        ("return_incumbent", "best so far, on fresh episodes", {"color": "tab:red", "linewidth": 2}),
    ):
        returns.plot(steps, [float(row[name]) for row in rows], label=label, **style)
    returns.set_ylabel("return")
    returns.set_title(title)
    returns.legend()
    returns.grid(alpha=0.3)
    sigma.semilogy(steps, [float(row["sigma"]) for row in rows], color="tab:blue")
    sigma.set_ylabel("sigma")
    sigma.set_xlabel("environment steps")
    sigma.grid(alpha=0.3)
    with atomic_path(run_dir / "learning_curve.png") as temporary:
        figure.savefig(temporary, dpi=120)
