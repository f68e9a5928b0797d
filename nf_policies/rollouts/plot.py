"""Draw a recording: what the policy saw, what its field did, and how it acted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nf_policies.atomic import atomic_path

LINES_MAX = 8
"""Up to this many neurons are drawn as lines, more as a picture over space and time."""


def plot_recording(
    recording: dict[str, np.ndarray], path: Path, *, visible: Sequence[int] | None = None, title: str = ""
) -> None:
    """Draw the first episode of a recording.

    Args:
        recording: From `Recorder.recording` or a file that `numpy.load` read.
        path: Of the picture; its ending tells matplotlib the format. Written atomically.
        visible: Indices of the observation's entries that the policy sees; None for all. Others are not drawn.
        title: Above the picture.
    """
    first = recording["episode"] == 0
    panels = [
        ("observations seen", "observations", "viridis"),
        ("stimuli, external", "stimuli_external", "RdBu_r"),
        ("stimuli, internal", "stimuli_internal", "RdBu_r"),
        ("potentials", "potentials", "RdBu_r"),
        ("activations", "activations", "viridis"),
        ("actions", "actions", "viridis"),
        ("reward", "rewards", "viridis"),
    ]
    figure = Figure(figsize=(9, 1.5 * len(panels) + 0.5), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True)
    for axis, (label, name, colours) in zip(axes, panels, strict=True):
        values = recording[name][first].reshape(first.sum(), -1)
        entries = visible if name == "observations" and visible is not None else range(values.shape[1])
        draw(axis, values, entries, colours, figure, steps=name == "actions")
        axis.set_ylabel(label)
    axes[0].set_title(title)
    axes[-1].set_xlabel("step")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


def draw(axis: Any, values: np.ndarray, entries: Sequence[int], colours: str, figure: Figure, *, steps: bool) -> None:
    """Draw values (time, features) over time: few as lines (or stairs), many as a picture over space and time."""
    values = values[:, list(entries)]
    if values.shape[1] > LINES_MAX:
        limit = np.abs(values).max()
        limits = {"vmin": -limit, "vmax": limit} if colours == "RdBu_r" else {}
        image = axis.imshow(values.T, aspect="auto", origin="lower", cmap=colours, interpolation="nearest", **limits)
        figure.colorbar(image, ax=axis, pad=0.01)
        return
    for entry, line in zip(entries, values.T, strict=True):
        axis.plot(line, drawstyle="steps-post" if steps else "default", linewidth=1, label=str(entry))
    if values.shape[1] > 1:
        axis.legend(loc="upper right", fontsize="x-small", ncols=values.shape[1])
    axis.grid(alpha=0.3)
