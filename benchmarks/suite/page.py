"""The page docs/any_task.md, made of rows alone."""

from collections.abc import Iterable, Sequence

from suite.aims import SIDES, Reached, reached, speedups, verdicts
from suite.cells import Cell, Cells
from suite.plan import METHODS, MINUTES, PEER_MINUTES, SEEDS, TRAIN_STEPS, Part, View, tasks_of
from suite.rows import Row

NAMES = {
    "train": "train",
    "evolve": "evolve",
    "ppo": "PPO",
    "recurrent_ppo": "RecurrentPPO",
    "ars_linear": "ARS, linear",
    "ars_mlp": "ARS, 64 × 64",
    "evotorch_linear": "EvoTorch, linear",
    "evotorch_rnn": "EvoTorch, RNN of 4",
}
MISSING = "not run yet"

HEAD = f"""# Any task

What `train` and `evolve` reach with no option but a budget. `python benchmarks/any_task.py --docs` makes this page of
`benchmarks/results/any_task.jsonl`, and `--run` adds what is missing. A return is the mean of 100 fresh episodes.
Medians and worst are over seeds, of which {SEEDS} are asked for. Seconds are those of the whole command, the final
episodes included. `train` and `evolve` play the best policy that they found, the peers their last one. Judging is what
`train` plays beside its steps to choose the best; `evolve` counts it in its steps. Where `train` and a peer
ran at different commits, as their rows in the results say, one of them may have had other jobs beside it: their seconds
compare coarsely.
"""

OWN = f"""## The tasks of this package

`train ID --minutes {MINUTES}` and `evolve ID --minutes {MINUTES}`, or first with fewer minutes, as their seconds show:
a run that reaches its goal then stands, the others are open. A task asks for what its source calls solved, or else for
90 % of the best return that any run here, with or without velocities, or one known before had: a tenth of its size
below it. DoublePoleDamping's fitness has no bound, for it divides by how much cart and pole move, so that a share
of the best says little: its source's own test, 200 of 625 further starts, is passed without velocities by each of 100
runs ([Two poles](evolution.md#two-poles)).
"""

TRAIN = f"""## Tasks no one here wrote

`train ID --steps {TRAIN_STEPS}`, beside PPO of Stable-Baselines3 (64 × 64) and RecurrentPPO of sb3-contrib, both with
their defaults, one environment and VecNormalize, at as many steps. Hidden velocities are hidden from every policy; the
critic of `train`, which is no part of its policy, sees them while training (`--no-privileged-critic` hides them from
it, too), those of the others do not. The tasks of POPGym (Morad et al. 2023) show too little by themselves and count
among those with velocities hidden.
"""

EVOLVE = f"""## Evolution

`evolve ID --minutes {MINUTES}`, beside ARS of sb3-contrib and CMA-ES of EvoTorch, both with their defaults on
normalised observations. They end at as many steps as ours took or after {PEER_MINUTES} minutes; their column of steps
says how many that was. Ours plays tasks named `nf/…` in batches, theirs one by one.
"""

TUNED = """## The tuned tasks

`train ID --hide-velocity` and `evolve ID --hide-velocity`, whose presets were searched.
"""
HEADS: dict[Part, str] = {"own": OWN, "train": TRAIN, "evolve": EVOLVE, "tuned": TUNED}


def page(rows: Iterable[Row]) -> str:
    """The page, of the rows that count."""
    cells = Cells(rows)
    parts = [HEAD, made_with(cells.rows), aims(cells)]
    for part, head in HEADS.items():
        sides = [goals(part, cells, methods) for methods in SIDES.get(part, [])]
        parts += [head, *(sides or [comparison(cells)]), runs(part, cells)]
    return "\n".join(part for part in parts if part)


def made_with(rows: Sequence[Row]) -> str:
    """Where the rows come from."""
    if not rows:
        return "Nothing has been run yet.\n"
    commits, threads = (sorted({row[name] for row in rows}) for name in ("commit", "threads"))
    failed = sum("error" in row for row in rows)
    return (
        f"There are {len(rows)} runs, {failed} of which failed, of commits {', '.join(commits)}, with "
        f"{' or '.join(map(str, threads))} threads each.\n"
    )


def aims(cells: Cells) -> str:
    """All aims in one table."""
    lines = [[v.aim, v.found, v.state] for v in verdicts(cells)]
    return "## Aims\n\n" + table(["aim", "found", "state"], lines)


def goals(part: Part, cells: Cells, methods: list[str]) -> str:
    """What each task asks for, and the better method's return."""

    def line(found: Reached) -> list[str]:
        by = NAMES[found.method] if found.cell else ""
        goal = MISSING if found.goal is None else number(found.goal)
        return [short(found.task, found.view), goal, by, *figures(found.cell), found.verdict().state]

    head = ["task", "asks for", "by", "median", "worst seed", "state"]
    return table(head, [line(found) for found in reached(part, cells, methods)])


def comparison(cells: Cells) -> str:
    """The medians of `train` and its peers side by side."""
    fast = speedups(cells)

    def line(task: str, view: View) -> list[str]:
        medians = [figures(cells("train", task, view, method))[0] for method in METHODS["train"]]
        return [short(task, view), *medians, f"{fast[task, view]:.1f}" if (task, view) in fast else ""]

    head = ["task", *(NAMES[method] for method in METHODS["train"]), "times as fast as RecurrentPPO"]
    return table(head, [line(*task) for task in tasks_of("train")])


def runs(part: Part, cells: Cells) -> str:
    """Every task and method of a part that was run, and the names of the others."""
    head = [
        "task",
        "method",
        "seeds",
        "median",
        "worst seed",
        "last policy",
        "parameters",
        "seconds",
        "steps",
        "judging",
    ]
    lines, missing = [], []
    for method in METHODS[part]:
        left = [(task, view) for task, view in tasks_of(part) if cells(part, task, view, method) == Cell()]
        names = "all tasks" if len(left) == len(tasks_of(part)) else ", ".join(short(*one) for one in left)
        missing += [f"- {NAMES[method]}: {names}\n"] * bool(left)
    for task, view in tasks_of(part):
        for method in METHODS[part]:
            cell = cells(part, task, view, method)
            last = "" if cell.last is None else number(cell.last)
            entries = [cell.of(name) for name in ("n_parameters", "wall_seconds", "env_steps", "judging_steps")]
            counts = ["" if entry is None else f"{entry:,.0f}" for entry in entries]
            line = [short(task, view), NAMES[method], str(cell.seeds), *figures(cell), last, *counts]
            lines += [line] * (cell != Cell())
    told = "Not run yet:\n\n" + "".join(missing) if missing else ""
    return "\n".join(text for text in (table(head, lines) if lines else "", told) if text)


def figures(cell: Cell) -> tuple[str, str]:
    """Median and worst, or why there is neither."""
    if cell:
        return number(cell.median), number(cell.worst)
    return (f"failed: {cell.errors[0].replace('|', ' ')}" if cell.errors else MISSING), ""


def short(task: str, view: View) -> str:
    """A task's name, without the module that registers it."""
    return task.rpartition(":")[2] + (" without velocities" if view == "hidden" else "")


def number(value: float) -> str:
    """With about four digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def table(head: list[str], lines: list[list[str]]) -> str:
    """A table of Markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in rows)
