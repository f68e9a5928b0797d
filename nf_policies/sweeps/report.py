"""What a sweep leaves: table.csv, a picture, and figures for each setting."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nf_policies.atomic import atomic_path, write_text
from nf_policies.sweeps.execute import Ended
from nf_policies.sweeps.figures import Figures, figures_of

TABLE, PICTURE = "table.csv", "sweep.png"
SCORE = "return_mean"
"""The entry of a run's result.json that is compared."""


def by_setting(ended: Sequence[Ended]) -> dict[str, list[Ended]]:
    """Runs with a finite score by their settings in words, ordered by seed."""
    found: dict[str, list[Ended]] = {}
    for run in sorted(ended, key=lambda run: run.cell.seed):
        if run.result is not None and isinstance(run.result.get(SCORE), int | float):
            found.setdefault(run.cell.label, []).append(run)
    return found


def scores_of(runs: Sequence[Ended]) -> list[float]:
    """Their mean returns."""
    return [float(run.result[SCORE]) for run in runs if run.result is not None]


def result_of(settings: Mapping[str, Sequence[Ended]], failed: Sequence[Ended]) -> dict[str, Any]:
    """Entries of the sweep's result.json."""
    rows = [
        {
            "settings": dict(runs[0].cell.settings),
            "seeds": [run.cell.seed for run in runs],
            "returns": scores_of(runs),
            "env_steps": [run.result["env_steps"] for run in runs if run.result is not None],
            **figures_of(scores_of(runs))._asdict(),
        }
        for runs in settings.values()
    ]
    reasons = [{"settings": dict(run.cell.settings), "seed": run.cell.seed, "reason": run.reason} for run in failed]
    return {"settings": rows, "failed": reasons}


def write_table(folder: Path, settings: Mapping[str, Sequence[Ended]]) -> None:
    """Write one row per run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    runs = [run for group in settings.values() for run in group]
    names = [name for name, _ in runs[0].cell.settings] if runs else []
    writer.writerow([*names, "seed", SCORE, "env_steps", "wall_seconds", "stop_reason"])
    for run in runs:
        found: dict[str, Any] = run.result or {}
        rest = [found.get(name) for name in (SCORE, "env_steps", "wall_seconds", "stop_reason")]
        writer.writerow([*(value for _, value in run.cell.settings), run.cell.seed, *rest])
    write_text(folder / TABLE, text.getvalue())


def draw(folder: Path, settings: Mapping[str, Sequence[Ended]], title: str) -> None:
    """Draw each run's score, and for each setting median, range, and interquartile mean with its interval."""
    if not settings:
        return
    figure = Figure(figsize=(max(5, 1.4 * len(settings) + 2), 4.5), layout="constrained")
    axis = figure.subplots()
    for at, runs in enumerate(settings.values()):
        scores = scores_of(runs)
        values = figures_of(scores)
        first = at == 0
        axis.vlines(at, values.worst, values.best, color="0.7", label="range" if first else "")
        spread = at + np.linspace(-0.15, 0.15, len(scores)) if len(scores) > 1 else [at]
        axis.scatter(spread, scores, color="0.5", s=14, label="a seed" if first else "")
        axis.hlines(values.median, at - 0.25, at + 0.25, color="tab:red", label="median" if first else "")
        errors = [[max(values.iqm - values.low, 0)], [max(values.high - values.iqm, 0)]]
        label = "interquartile mean, 95 %" if first else ""
        axis.errorbar(at + 0.3, values.iqm, errors, fmt="o", color="tab:blue", capsize=4, label=label)
    axis.set(title=title, ylabel="return")
    axis.set_xticks(range(len(settings)), list(settings), rotation=20 if len(settings) > 4 else 0)
    axis.grid(alpha=0.3, axis="y")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    with atomic_path(folder / PICTURE) as temporary:
        figure.savefig(temporary, dpi=120)


def text_of(settings: Mapping[str, Sequence[Ended]], failed: Sequence[Ended], folder: Path) -> str:
    """The table for people."""
    width = max((len(label) for label in settings), default=8)
    lines = [f"{'':{width}}  seeds  median         worst to best            IQM  95 % of it"]
    for label, runs in settings.items():
        f: Figures = figures_of(scores_of(runs))
        lines.append(
            f"{label:{width}}  {f.runs:5}  {f.median:<9.5g}  {f.worst:>9.5g} to {f.best:<9.5g}  {f.iqm:>9.5g}  "
            f"{f.low:.5g} to {f.high:.5g}"
        )
    lines += [f"failed: {run.cell.label}, seed {run.cell.seed}: {run.reason}" for run in failed]
    lines.append(f"saved {folder / TABLE} and {folder / PICTURE}")
    return "\n".join(lines) + "\n"
