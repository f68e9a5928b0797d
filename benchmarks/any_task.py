"""What do `train` and `evolve` reach without an option, on our tasks and on those of others?

    python benchmarks/any_task.py                       # the tables of what has been run
    python benchmarks/any_task.py --run                 # run what is missing, one after the other
    python benchmarks/any_task.py --run --parts train --tasks Hopper-v5 --minutes 60
    python benchmarks/any_task.py --docs                # write docs/any_task.md

There are four parts. `own`: every task of nf_envs, ten minutes of each command. `train`: tasks no one here wrote,
300,000 steps, beside PPO of Stable-Baselines3 and RecurrentPPO of sb3-contrib. `evolve`: ten minutes, at most 100
parameters, beside sb3-contrib's ARS and EvoTorch's CMA-ES at as many steps. `tuned`: the three tasks whose settings
were searched. `suite/plan.py` has the tasks and goals, `peers/` the settings of the others.

Every run is a process of its own and one line of a file, which is not repeated; a run that is stopped before its end
leaves no line, one that fails leaves its error. To repeat a run, delete its line; to repeat all, raise PROTOCOL in
`suite/plan.py`. Figures of speed want one worker and nothing else running. With `--own-minutes 2` the tasks of nf_envs
are tried for less time first: a run that reaches its goal stands, one that was cut short is repeated when it may take
longer.
"""

import os
import signal
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import tyro

from suite.execute import Budget, Processes, execute
from suite.page import page
from suite.plan import METHODS, MINUTES, OURS, Part, Run, finished, may_gain, plan, run_of, steps_of_ours
from suite.rows import Row, append, read

RESULTS = Path(__file__).parent / "results" / "any_task.jsonl"
PAGE = Path(__file__).parent.parent / "docs" / "any_task.md"


@dataclass
class Options:
    """Options of the benchmark."""

    run: bool = False
    """Run what is not in the results yet; otherwise only the tables."""
    docs: bool = False
    """Write docs/any_task.md from the results."""
    parts: tuple[Part, ...] = tuple(METHODS)
    """Parts to run."""
    tasks: tuple[str, ...] = ()
    """Ids of the tasks to run, as the tables name them; by default all."""
    methods: tuple[str, ...] = ()
    """Methods to run; by default all."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One run each."""
    minutes: float = float("inf")
    """Start no further run after this time; what runs is finished."""
    workers: int = 1
    """Runs at a time, which share the cores."""
    own_minutes: float = MINUTES
    """What each run of `own` may take."""
    train_steps: int | None = None
    """Steps in place of every budget, to try whether everything runs; such rows never count."""
    results: Path = RESULTS
    """The file of JSON lines."""


def wanted(options: Options) -> list[Run]:
    """The runs that the options ask for."""
    runs = plan(options.parts, options.seeds)
    of_tasks = [run for run in runs if not options.tasks or run.task.rpartition(":")[2] in options.tasks]
    return [run for run in of_tasks if not options.methods or run.method in options.methods]


def next_run(wanted: list[Run], rows: list[Row], under_way: set[Run], minutes: float = MINUTES) -> Run | None:
    """The first run without a row that stands which can start: a peer of `evolve` waits for our steps."""
    done = {run_of(row) for row in rows if not may_gain(row, minutes, rows)} | under_way
    for run in wanted:
        waits = run.part == "evolve" and run.method not in OURS and steps_of_ours(run, rows) is None
        if run not in done and not waits:
            return run
    return None


def work(options: Options) -> None:
    """Run what is missing, a row for each."""
    budget, runs = Budget(options.train_steps, options.own_minutes), wanted(options)
    end = time.monotonic() + 60 * options.minutes
    processes = Processes(max(1, len(os.sched_getaffinity(0)) // options.workers))
    under_way: dict[Future[Row], Run] = {}
    with ThreadPoolExecutor(options.workers) as pool:
        try:
            while True:
                rows = finished(read(options.results), budget.protocol)
                busy, in_time = set(under_way.values()), time.monotonic() < end
                run = next_run(runs, rows, busy, budget.own_minutes) if in_time else None
                if run and len(under_way) < options.workers:
                    under_way[pool.submit(execute, run, budget, steps_of_ours(run, rows), processes)] = run
                    continue
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    append(options.results, future.result())
                    print(*under_way.pop(future), told(future.result()), file=sys.stderr, flush=True)
        finally:
            processes.kill()


def told(row: Row) -> str:
    """A row in a few words."""
    return row.get("error") or f"{row['return_mean']:.1f} in {row['wall_seconds']:.0f} s, {row['env_steps']:,} steps"


def main(options: Options) -> None:
    """Run what is missing, print the tables, write the page."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))
    if options.run:
        work(options)
    rows = read(options.results)
    print(page(finished(rows, Budget(options.train_steps).protocol)), end="")
    if options.docs:
        PAGE.write_text(page(finished(rows)), encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
