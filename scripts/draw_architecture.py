"""Draw the packages of nf_policies by level, with an arrow for each import, into docs/pictures/architecture.png.

python scripts/draw_architecture.py [file]
"""

import sys
import textwrap
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from architecture import ROOT, Graph, imports, longest_chain, package_of, reachable

BOXES: dict[str, tuple[float, str]] = {
    "commands": (2.5, "the command line"),
    "evolution": (2.5, "CMA-ES"),
    "ppo": (5.0, "recurrent PPO"),
    "tuning": (-1.5, "better settings"),
    "playground": (-1.5, "a page to play with"),
    "export": (-1.5, "code for chips and pages"),
    "runs": (-1.5, "kept by a run"),
    "rollouts": (3.75, "whole episodes"),
    "policies": (1.25, "observation to action"),
    "fields": (1.25, "what a field is"),
    "kernels": (1.25, "compiled steps"),
    "tasks": (5.0, "environments"),
}
"""Where the picture has a package, from left to right, and what it says about it."""


def package_arrows(graph: Graph) -> Graph:
    """The packages that each package imports; atomic, tensor_files and cli are left out."""
    between: Graph = {name: set() for name in BOXES}
    for name, targets in graph.items():
        own = package_of(name)
        if own in BOXES:
            between[own] |= {package_of(target) for target in targets} & set(BOXES) - {own}
    return between


def levels(arrows: Graph) -> dict[str, int]:
    """The level of each package: one above the highest package that it imports."""
    return {name: len(longest_chain(arrows, name)) - 1 for name in arrows}


def files_of(package: str) -> str:
    """The names of a package's modules, a few a line."""
    names = [name.rpartition(".")[2] for name in imports() if name.startswith(f"nf_policies.{package}.")]
    return textwrap.fill(", ".join(names), 50)


def draw(path: Path) -> None:
    """Draw the packages by level. An arrow is an import; those that others imply are left out."""
    arrows = package_arrows(imports())
    height = levels(arrows)
    width, tall = 2.3, 0.8
    figure = Figure(figsize=(11, 10), layout="constrained")
    axes = figure.subplots()
    for name, targets in arrows.items():
        direct = {t for t in targets if not any(t in reachable(arrows, other) for other in targets - {t})}
        for target in direct:
            (x, _), (to_x, _) = BOXES[name], BOXES[target]
            start = (x + max(-0.48 * width, min(0.48 * width, 0.45 * (to_x - x))), height[name] - tall / 2)
            end = (to_x - (to_x - x) / 8, height[target] + tall / 2)
            arrow = {"arrowstyle": "-|>", "color": "0.25", "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", xy=end, xytext=start, arrowprops=arrow)
    for name, (x, purpose) in BOXES.items():
        y = height[name]
        corner, style = (x - width / 2, y - tall / 2), "round,pad=0,rounding_size=0.08"
        axes.add_patch(
            FancyBboxPatch(corner, width, tall, boxstyle=style, facecolor="#eef3fa", edgecolor="#4a6fa5", zorder=3)
        )
        axes.text(x - width / 2 + 0.1, y + 0.26, name, va="center", weight="bold", fontsize=12, zorder=4)
        axes.text(x + width / 2 - 0.1, y + 0.26, purpose, ha="right", va="center", fontsize=9, color="0.3", zorder=4)
        axes.text(x - width / 2 + 0.1, y + 0.12, files_of(name), va="top", fontsize=7, color="0.45", zorder=4)
    axes.set_xlim(-2.7, 6.2)
    axes.set_ylim(-0.45, max(height.values()) + 0.45)
    axes.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/pictures/architecture.png")
