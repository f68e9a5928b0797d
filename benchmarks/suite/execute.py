"""One run in a process of its own, and what its row says.

The wall clock counts the whole process: imports, compiling, training and the final episodes.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from suite.plan import MINUTES, OURS, PEER_MINUTES, PROTOCOL, TRAIN_STEPS, Run
from suite.rows import Row

BENCHMARKS = Path(__file__).resolve().parent.parent
EPISODES = 100
ENTRIES = ("returns", "n_parameters", "env_steps", "stop_reason")
"""What rows keep of a result."""


class Budget(NamedTuple):
    """What a run may use; a smoke test has `smoke` steps for everything, and its rows do not count."""

    smoke: int | None = None
    own_minutes: float = MINUTES
    """For each task of nf_envs."""

    @property
    def protocol(self) -> int | str:
        """What rows carry."""
        return PROTOCOL if self.smoke is None else f"smoke {self.smoke}"

    @property
    def episodes(self) -> int:
        """How many a policy plays in the end."""
        return EPISODES if self.smoke is None else 5

    def options(self, run: Run) -> list[str]:
        """Options of our command."""
        if self.smoke is not None:
            return ["--steps", str(self.smoke)]
        if run.part == "train":
            return ["--steps", str(TRAIN_STEPS)]
        return [] if run.part == "tuned" else ["--minutes", str(self.minutes(run))]

    def minutes(self, run: Run) -> float:
        """Of our command, where time is its budget."""
        return self.own_minutes if run.part == "own" else MINUTES

    def of_peer(self, run: Run, steps_of_ours: int | None) -> list[str]:
        """Steps and minutes of a peer."""
        steps = self.smoke or (TRAIN_STEPS if run.part == "train" else steps_of_ours)
        minutes = PEER_MINUTES if run.part == "evolve" else float("inf")
        return ["--steps", str(steps), "--minutes", str(minutes)]


class Processes:
    """Starts processes of a number of threads each, and ends those that are left."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.live: set[subprocess.Popen[str]] = set()
        self.over = False

    def json(self, *words: str) -> Any:
        """The object on the last line that `python -m …` prints. Raises: RuntimeError with its last words."""
        if self.over:
            raise RuntimeError("The benchmark has ended.")
        path = os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent), os.environ.get("PYTHONPATH", "")])
        limits = {f"{name}_NUM_THREADS": str(self.threads) for name in ("OMP", "MKL", "OPENBLAS")}
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            env={**os.environ, **limits, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.live.add(process)
        out, messages = process.communicate()
        self.live.discard(process)
        if process.returncode:
            last = [line for line in messages.splitlines() if line.strip()][-1:]
            raise RuntimeError(f"exit {process.returncode}: {''.join(last)[:300]}")
        return json.loads(out.strip().splitlines()[-1])

    def kill(self) -> None:
        """End what runs, and start no more."""
        self.over = True
        for process in list(self.live):
            process.kill()


def ours(run: Run, budget: Budget, processes: Processes, folder: Path) -> tuple[Row, float]:
    """Our command, and the last policy of a training on as many episodes. The seconds are the command's alone."""
    view = ["--hide-velocity"] if run.view == "hidden" else []
    seed, out = ["--seed", str(run.seed)], ["--out", str(folder / "run")]
    began = time.perf_counter()
    result = processes.json("nf_policies", run.method, run.task, *view, *budget.options(run), *seed, *out, "--json")
    seconds = time.perf_counter() - began
    row = {name: result.get(name) for name in ENTRIES} | {"judging_steps": result.get("evaluation_steps")}
    if run.part == "train":
        policy, first = str(folder / "run" / "policy.safetensors"), str(10**7 + 1000 * run.seed)
        played = ["--env", run.task, "--episodes", str(budget.episodes), "--seed", first]
        row["last"] = processes.json("nf_policies", "rollout", policy, *played, "--json")["returns"]
    return row, seconds


def peer(run: Run, budget: Budget, steps_of_ours: int | None, processes: Processes, folder: Path) -> tuple[Row, float]:
    """A peer's training."""
    steps = budget.of_peer(run, steps_of_ours)
    common = ["--seed", str(run.seed), "--episodes", str(budget.episodes), "--folder", str(folder)]
    began = time.perf_counter()
    result = processes.json("peers", run.method, run.task, run.view, *steps, *common)
    return {name: result[name] for name in ENTRIES}, time.perf_counter() - began


def execute(run: Run, budget: Budget, steps_of_ours: int | None, processes: Processes) -> Row:
    """The row of one run; where the run fails, it holds the reason as "error"."""
    row: Row = {"protocol": budget.protocol, **run._asdict(), "threads": processes.threads, "commit": commit()}
    row |= {"minutes": budget.minutes(run)} if run.part == "own" else {}
    try:
        with TemporaryDirectory() as folder:
            if run.method in OURS:
                result, seconds = ours(run, budget, processes, Path(folder))
            else:
                result, seconds = peer(run, budget, steps_of_ours, processes, Path(folder))
    except (RuntimeError, ValueError, LookupError) as error:
        return row | {"error": f"{error}"}
    for name in {"returns", "last"} & result.keys():
        result[name] = [round(value, 4) for value in result[name]]
    return row | {"return_mean": mean(result["returns"]), "wall_seconds": round(seconds, 1)} | result


def mean(returns: list[float]) -> float:
    return sum(returns) / len(returns)


def commit() -> str:
    """The commit of what runs, with a plus where its files differ from it."""
    git = ["git", "-C", str(BENCHMARKS)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "../nf_policies", "../envs"]).returncode
    return name + "+" * (changed == 1)
