"""What `any_task.py` runs and what it asks for, as data.

A run is one method with one seed on one view of a task. `all` shows what the task shows; `hidden` leaves the velocities
out, with `--hide-velocity` for ours and a wrapper for the peers.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from nf_envs.registration import ENTRIES
from suite.rows import Row

View = Literal["all", "hidden"]
Part = Literal["own", "train", "evolve", "tuned"]

PROTOCOL = 1
"""A row counts only if it carries this number: raise it when a change makes what has been measured out of date."""
TRAIN_STEPS = 300_000
MINUTES = 10
"""What `own` and `evolve` have."""
PEER_MINUTES = 30
"""A peer of `evolve` ends at our number of steps, or after this time."""
SEEDS = 3
"""How many seeds an aim asks for."""

TRAINED = (
    "InvertedDoublePendulum-v5",
    "Reacher-v5",
    "Hopper-v5",
    "Walker2d-v5",
    "HalfCheetah-v5",
    "Swimmer-v5",
    "LunarLander-v3",
    "BipedalWalker-v3",
)
POPGYM = tuple(
    f"suite.popgym_tasks:popgym/{name}-v0"
    for name in ("RepeatPreviousEasy", "CountRecallEasy", "NoisyPositionOnlyCartPoleEasy")
)
"""As `popgym_tasks` registers them."""

EVOLVED: dict[tuple[str, View], float] = {
    ("InvertedDoublePendulum-v5", "all"): 9_000,
    ("InvertedDoublePendulum-v5", "hidden"): 9_000,
    ("LunarLander-v3", "hidden"): 200,
    ("Hopper-v5", "all"): 2_000,
    ("Swimmer-v5", "all"): 300,
    ("nf/FurutaSwingUp-v0", "all"): 500,
    ("nf/FurutaSwingUpNoVel-v0", "all"): 500,
    ("nf/CartPoleSwingUpNoVel-v0", "all"): 400,
}
"""Tasks of `evolve` and the returns to reach."""

TUNED: dict[str, float] = {"CartPole-v1": 495.0, "Pendulum-v1": -208.0, "MountainCarContinuous-v0": 91.5}
"""Tasks whose settings were searched, and the returns to reach without velocities."""

SOLVED: dict[str, float] = {
    "nf/CartPole-v1": 475.0,
    "nf/MountainCar-v0": -110.0,
    "nf/MountainCarContinuous-v0": 90.0,
    "nf/Acrobot-v1": -100.0,
    "nf/SinglePole-v0": 100_000.0,
    "nf/DoublePole-v0": 100_000.0,
    "nf/InvertedPendulum-v5": 950.0,
    "nf/InvertedDoublePendulum-v5": 9_100.0,
    "nf/Reacher-v5": -3.75,
    "nf/Hopper-v5": 3_800.0,
    "nf/HalfCheetah-v5": 4_800.0,
    "nf/Swimmer-v5": 360.0,
}
"""Where a source says what solved is: Gymnasium's `reward_threshold`, and 100,000 steps of Gomez et al. (2008).

Not that of Pusher, 0: its rewards are negative.
"""
MEMORY = ("nf/RepeatFirst-v0", "nf/RepeatPrevious-v0", "nf/TMaze-v0", "nf/CountParity-v0")
KNOWN: dict[str, float] = {
    "nf/FurutaSwingUp-v0": 530.0,
    "nf/DoublePoleDamping-v0": 0.452,
    "nf/Pendulum-v1": -151.9,
    "nf/Walker2d-v5": 4_717.8,
    **dict.fromkeys(MEMORY, 1.0),
}
"""Returns that are known to be reached outside the results.

Furuta with settings found by hand; DoublePoleDamping by `evolve --minutes 2 --seed 0` with its preset; Pendulum and
Walker2d (then v3) by TD3, of RL Baselines3 Zoo's benchmark.md; 1 by the right memory.
"""

METHODS: dict[Part, dict[str, float]] = {
    "own": {"train": MINUTES, "evolve": MINUTES},
    "train": {"train": 2, "ppo": 5, "recurrent_ppo": 20},
    "evolve": {
        "evolve": MINUTES,
        "ars_linear": PEER_MINUTES,
        "evotorch_linear": PEER_MINUTES,
        "evotorch_rnn": PEER_MINUTES,
        "ars_mlp": PEER_MINUTES,
    },
    "tuned": {"train": 1, "evolve": 1.5},
}
"""The methods of each part, and about how many minutes each takes."""
OURS = ("train", "evolve")


class Run(NamedTuple):
    """One run, which has one row."""

    part: Part
    task: str
    view: View
    method: str
    seed: int


def tasks_of(part: Part) -> list[tuple[str, View]]:
    """The tasks of a part, and what of them is shown."""
    if part == "own":
        return [(f"nf/{entry.id}", "all") for entry in ENTRIES]
    if part == "train":
        views: tuple[View, ...] = ("all", "hidden")
        return [(task, view) for view in views for task in TRAINED] + [(task, "all") for task in POPGYM]
    return list(EVOLVED) if part == "evolve" else [(task, "hidden") for task in TUNED]


def plan(parts: Sequence[Part], seeds: Iterable[int]) -> Iterator[Run]:
    """All runs: a seed for all before the next, and the quick ones first."""
    of_a_seed = [(part, method) for part in parts for method in METHODS[part]]
    of_a_seed.sort(key=lambda key: METHODS[key[0]][key[1]])
    for seed in seeds:
        for part, method in of_a_seed:
            for task, view in tasks_of(part):
                yield Run(part, task, view, method, seed)


def run_of(row: Row) -> Run:
    """The run that a row belongs to."""
    return Run(*(row[name] for name in Run._fields))


def finished(rows: Iterable[Row], protocol: int | str = PROTOCOL) -> list[Row]:
    """The rows that count, one of each run: the first of those that had the most minutes."""
    kept: dict[Run, Row] = {}
    for row in rows:
        if row["protocol"] == protocol:
            before = kept.setdefault(run_of(row), row)
            if minutes_of(row) > minutes_of(before):
                kept[run_of(row)] = row
    return list(kept.values())


def minutes_of(row: Row) -> float:
    """What the run could take, where that is a choice."""
    return float(row.get("minutes", MINUTES))


def may_gain(row: Row, minutes: float, rows: Sequence[Row]) -> bool:
    """Whether a run of `own` that missed its goal had less than these minutes."""
    if row["part"] != "own" or minutes_of(row) >= minutes or "error" in row:
        return False
    goal = threshold(row["task"], rows)
    return goal is None or row["return_mean"] < goal


def steps_of_ours(run: Run, rows: Iterable[Row]) -> int | None:
    """How many steps our evolution took where a peer is to have as many; None while that is not known."""
    ours = run._replace(method="evolve")
    return next((row["env_steps"] for row in rows if run_of(row) == ours and "error" not in row), None)


def full_view(task: str) -> str:
    """The task of ours that shows everything."""
    return task.replace("NoVel-", "-")


def threshold(task: str, rows: Iterable[Row]) -> float | None:
    """What a task of ours asks for: solved by its source, or else 90 % of the best return.

    That is a tenth of the best return's size below it, whatever its sign. Who sees everything can do what is done
    without velocities, so both views count. None while there is no return.
    """
    whole = full_view(task)
    if whole in SOLVED:
        return SOLVED[whole]
    returns = [r["return_mean"] for r in rows if full_view(r["task"]) == whole and "error" not in r]
    best = max([*returns, KNOWN.get(whole, float("-inf"))])
    return None if best == float("-inf") else best - 0.1 * abs(best)
