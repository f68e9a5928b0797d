"""What a training leaves to look at: progress.csv, TensorBoard events and a learning curve."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat

from nf_policies.atomic import atomic_path, continue_table, read_table, uninterrupted

COLUMNS = {
    "return_training": "rollout/ep_rew_mean",
    "episode_length": "rollout/ep_len_mean",
    "return_judged": "eval/return_mean",
    "return_best": "eval/return_best",
    "steps_per_second": "time/fps",
    "learning_rate": "train/learning_rate",
    "value_loss": "train/value_loss",
    "policy_gradient_loss": "train/policy_gradient_loss",
    "entropy_loss": "train/entropy_loss",
    "approx_kl": "train/approx_kl",
    "clip_fraction": "train/clip_fraction",
    "explained_variance": "train/explained_variance",
    "std": "train/std",
}
"""Columns of progress.csv after `env_steps`, and SB3's names for them; those of train/ are of the update before."""


class ProgressCsv(KVWriter):
    """Append what SB3 logs to `progress.csv`, one row per rollout.

    Args:
        path: The file.
        env_steps: Rows up to this many environment steps are kept of what is there.
    """

    def __init__(self, path: Path, env_steps: int = 0) -> None:
        rows = [row for row in read_table(path) if int(row["env_steps"]) <= env_steps]
        self._file, self._csv = continue_table(path, ["env_steps", *COLUMNS], rows)

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Append a row; SB3 calls this."""
        row = {column: key_values.get(name, "") for column, name in COLUMNS.items()}
        self._csv.writerow({"env_steps": step, **row})
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Board(TensorBoardOutputFormat):
    """TensorBoard events, whose writer has a thread of its own: a Ctrl-C waits for the hand-over to it."""

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Write what SB3 logs; SB3 calls this."""
        with uninterrupted():
            super().write(key_values, key_excluded, step)


def make_logger(run_dir: Path, env_steps: int = 0) -> Logger:
    """SB3's logger into a run's folder: progress.csv and TensorBoard.

    Args:
        run_dir: The folder.
        env_steps: Where a continued training goes on.
    """
    return Logger(str(run_dir), [ProgressCsv(run_dir / "progress.csv", env_steps), Board(str(run_dir))])


def plot_progress(run_dir: Path, *, title: str = "") -> None:
    """Draw a run's progress.csv as `learning_curve.png`."""
    rows = read_table(run_dir / "progress.csv")
    if not rows:
        return
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    returns, loss = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for name, label, style in (
        ("return_training", "training, with exploration", {"color": "0.6"}),
        ("return_judged", "judged, deterministic", {"color": "tab:blue", "marker": ".", "linewidth": 1}),
        ("return_best", "best so far", {"color": "tab:red", "linewidth": 2}),
    ):
        returns.plot(*_curve(rows, name), label=label, **style)
    returns.set_ylabel("return")
    returns.set_title(title)
    returns.legend()
    returns.grid(alpha=0.3)
    loss.plot(*_curve(rows, "explained_variance"), color="tab:green")
    loss.set_ylabel("explained variance\nof the critic")
    loss.set_ylim(-0.1, 1.05)
    loss.set_xlabel("environment steps")
    loss.grid(alpha=0.3)
    with atomic_path(run_dir / "learning_curve.png") as temporary:
        figure.savefig(temporary, dpi=120)


def _curve(rows: list[dict[str, str]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values where there is one."""
    points = [(float(row["env_steps"]), float(row[name])) for row in rows if row[name]]
    steps, values = np.array(points).reshape(-1, 2).T
    return steps, values
