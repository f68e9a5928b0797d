"""Which aims are met, as far as the rows say."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from suite.cells import Cell, Cells
from suite.plan import EVOLVED, POPGYM, SEEDS, TRAINED, TUNED, Part, View, tasks_of, threshold

ACTOR_MAX, FIELD_MAX = 2_000, 100
"""Parameters of a trained actor and of an evolved field."""
FASTER = 5.0
"""How many times as fast as RecurrentPPO."""
JUDGING_SHARE = 0.1
"""Steps of judging in those of training, at most."""
LAST_SHARE = 0.05
"""How far the last policy's median may be from the best one's."""

GOALS: dict[Part, str] = {
    "own": "each task of nf_envs is solved by the better of `train` and `evolve` in ten minutes",
    "evolve": "`evolve` reaches what each task asks for in ten minutes",
    "tuned": "the three tuned tasks, each command: as good as they were",
}
SIDES: dict[Part, list[list[str]]] = {
    "own": [["train", "evolve"]],
    "evolve": [["evolve"]],
    "tuned": [["train"], ["evolve"]],
}
"""Whose better return counts; where there are two sides, each has to reach the goal."""


class Verdict(NamedTuple):
    """An aim and what is known about it; `met` is None while it is open."""

    aim: str
    found: str
    met: bool | None
    seeds: int

    @property
    def state(self) -> str:
        """In words, with the number of seeds where they are too few."""
        if not self.seeds:
            return "not run yet"
        word = "open" if self.met is None else "met" if self.met else "**not met**"
        return word if self.seeds >= SEEDS else f"{word}, {self.seeds} of {SEEDS} seeds"


class Reached(NamedTuple):
    """A return that a task asks for, and the better of the methods that were run."""

    task: str
    view: View
    goal: float | None
    method: str
    cell: Cell
    complete: bool
    """Whether all methods were run for as long as they may."""

    @property
    def met(self) -> bool | None:
        """None where the goal is not known, or a method that may still reach it was not run."""
        if self.goal is None or not self.cell:
            return None
        return True if self.cell.median >= self.goal else False if self.complete else None

    def verdict(self) -> Verdict:
        """Of this task alone."""
        return Verdict(self.task, self.method, self.met, self.cell.seeds if self.goal is not None else 0)


def reached(part: Part, cells: Cells, methods: Iterable[str]) -> list[Reached]:
    """Every task of a part with a goal."""
    goals = {
        "own": lambda task, view: threshold(task, cells.rows),
        "evolve": lambda task, view: EVOLVED[task, view],
        "tuned": lambda task, view: TUNED[task],
    }[part]
    found = []
    for task, view in tasks_of(part):
        tried = {method: cells(part, task, view, method) for method in methods}
        complete = all(cell != Cell() and cell.in_full for cell in tried.values())
        method = max(tried, key=lambda name: tried[name].median if tried[name] else -math.inf)
        found.append(Reached(task, view, goals(task, view), method, tried[method], complete))
    return found


def counted(aim: str, needed: int, of: int, results: Iterable[tuple[bool, int]]) -> Verdict:
    """An aim that so many of all tasks must meet, of (whether one does, its seeds) for those that were run."""
    known = list(results)
    good, left = sum(met for met, _ in known), of - len(known)
    met = True if good >= needed else False if good + left < needed else None
    found = f"{good} of {len(known)}" + (f", {left} open" if left else "")
    return Verdict(aim, found, met, min((seeds for _, seeds in known), default=0))


def all_of(aim: str, cells: list[Cell], holds: list[bool], found: str) -> Verdict:
    """An aim that must hold in every cell that was run, and is open while one was not."""
    met = False if not all(holds) else True if all(cells) else None
    return Verdict(aim, found, met, min((cell.seeds for cell in cells if cell), default=0) if holds else 0)


def verdicts(cells: Cells) -> Iterator[Verdict]:
    """All aims."""
    for part, aim in GOALS.items():
        tasks = [task for methods in SIDES[part] for task in reached(part, cells, methods)]
        known = [(task.met, task.cell.seeds) for task in tasks if task.met is not None]
        yield counted(aim, len(tasks), len(tasks), known)
    yield from _of_training(cells)
    evolved = [cells("evolve", task, view, "evolve") for task, view in EVOLVED]
    most = [max(row["n_parameters"] for row in cell.rows) for cell in evolved if cell]
    found = f"at most {max(most)}" if most else ""
    yield all_of(f"`evolve`: at most {FIELD_MAX} parameters", evolved, [n <= FIELD_MAX for n in most], found)


def _of_training(cells: Cells) -> Iterator[Verdict]:
    """Those of `train` beside its peers."""

    def against(task: str, view: View, *peers: str) -> tuple[bool, int] | None:
        own = cells("train", task, view, "train")
        known = [cell for peer in peers if (cell := cells("train", task, view, peer))]
        if not own:
            return None
        equal = len(peers) == 1  # with everything to see, as good as PPO is enough
        better = [own.median > cell.median or (equal and own.median == cell.median) for cell in known]
        if all(better) and len(known) < len(peers):
            return None  # but what is lost to one peer needs no other
        return all(better), min(cell.seeds for cell in (own, *known))

    def quarter(tasks: int) -> int:
        return math.ceil(0.75 * tasks)

    seen = [against(task, "all", "ppo") for task in TRAINED]
    aim = "everything to see: at least PPO's median on three quarters"
    yield counted(aim, quarter(len(seen)), len(seen), [one for one in seen if one])
    blind: list[tuple[str, View]] = [*((task, "hidden") for task in TRAINED), *((task, "all") for task in POPGYM)]
    hidden = [against(task, view, "recurrent_ppo", "ppo") for task, view in blind]
    aim = "velocities hidden, and POPGym: above RecurrentPPO's and PPO's median on three quarters"
    yield counted(aim, quarter(len(hidden)), len(hidden), [one for one in hidden if one])

    ours = [cells("train", task, view, "train") for task, view in tasks_of("train")]
    run = [cell for cell in ours if cell]
    most = [max(row["n_parameters"] for row in cell.rows) for cell in run]
    found = f"at most {max(most):,}" if most else ""
    yield all_of(f"at most {ACTOR_MAX:,} actor parameters", ours, [n <= ACTOR_MAX for n in most], found)
    ratios = list(speedups(cells).values())
    found = f"{min(ratios):.1f} to {max(ratios):.1f} times" if ratios else ""
    aim = f"{FASTER:.0f} times as fast as RecurrentPPO from end to end, on each"
    theirs = [cells("train", task, view, "recurrent_ppo") for task, view in tasks_of("train")]
    yield all_of(aim, ours + theirs, [ratio >= FASTER for ratio in ratios], found)
    shares = [
        row["judging_steps"] / row["env_steps"] for c in run for row in c.rows if row["judging_steps"] is not None
    ]
    found = f"at most {100 * max(shares):.0f} %" if shares else ""
    yield all_of("judging steps: at most a tenth of training's", ours, [s <= JUDGING_SHARE for s in shares], found)
    close = [cell.last >= cell.median - LAST_SHARE * abs(cell.median) for cell in run if cell.last is not None]
    aim = "the last policy's median within 5 % of the best one's, on each"
    yield all_of(aim, ours, close, f"{sum(close)} of {len(close)}" if close else "")


def speedups(cells: Cells) -> dict[tuple[str, View], float]:
    """How many times as fast as RecurrentPPO, by task, of the median seconds of whole runs."""
    ratios = {}
    for task, view in tasks_of("train"):
        own, other = (cells("train", task, view, method).of("wall_seconds") for method in ("train", "recurrent_ppo"))
        if own and other:
            ratios[task, view] = other / own
    return ratios
