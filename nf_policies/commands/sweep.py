"""nf-policies sweep: one command over seeds and options."""

import shlex
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import tyro
from rich.console import Console

from nf_policies.commands.options import OneAddress, Repeated, searches
from nf_policies.commands.stored import CALL, check_numbers, continued
from nf_policies.runs.directory import CONFIG, RunError, new_run_directory, to_json, write_json
from nf_policies.runs.lock import claimed
from nf_policies.stopping import listening, way_on

OWN = ("--seed", "--out", "--resume", "--json", "--ray")
"""Options that a sweep gives to its runs, or has itself."""


@dataclass
class Sweep:
    """Play one command over seeds and options, side by side, and compare what comes out.

    For example: nf-policies sweep --seeds 0:20 --grid hidden_size=1,2,4 -- evolve CartPole-v1 --hide-velocity. The
    folder holds each run's own, table.csv, sweep.png and result.json: medians and ranges over seeds, and interquartile
    means with bootstrap intervals. A sweep that was stopped goes on with --resume, and tries again what has failed.
    """

    command: ClassVar[str] = "sweep"
    changeable: ClassVar[tuple[str, ...]] = ("seeds", "workers", *CALL)
    positive: ClassVar[tuple[str, ...]] = ("workers",)

    words: tyro.conf.Positional[tuple[str, ...]] = ()  # After --: evolve or train, its task, and its options.
    seeds: str = "0:5"  # FIRST:END, which is left out, or numbers with commas.
    grid: Repeated = ()  # NAME=VALUE,VALUE: values of an option of the command. Repeatable, for all combinations.
    workers: int | None = None  # Runs at once, with one thread each; by default one per core or CPU of the cluster.
    ray: OneAddress = None  # Play on the Ray cluster at HOST:PORT, or on one started here.
    out: Path | None = None  # Folder of the sweep; by default the next free runs/<task>-sweep-001.
    resume: Path | None = None  # Continue the sweep in this folder.
    json: bool = False  # Print one JSON object; progress stays on stderr.

    def run(self, messages: Console) -> str:
        """Play what has not been played yet. Returns the text for stdout."""
        options: Sweep = continued(self) if self.resume else self
        check_numbers(options)
        options._check()
        from nf_policies.sweeps.execute import Ended, result_in
        from nf_policies.sweeps.grid import cells_of
        from nf_policies.sweeps.report import PICTURE, TABLE, by_setting, draw, result_of, text_of, write_table

        began, cells, task = time.perf_counter(), cells_of(options.seeds, options.grid), options.words[1]
        folder = options.resume or new_run_directory(options.out, task, self.command)
        with ExitStack() as around:
            around.enter_context(listening())
            around.enter_context(claimed(folder, new=options.resume is None))
            config = {name: value for name, value in vars(options).items() if name not in CALL}
            write_json(folder / CONFIG, {"command": self.command, **config})
            around.enter_context(way_on(f"nf-policies sweep --resume {shlex.quote(str(folder))}"))
            ended = [Ended(cell, found) for cell in cells if (found := result_in(folder / cell.folder))]
            known = {run.cell for run in ended}
            failed: list[Ended] = []
            left = [cell for cell in cells if cell not in known]
            try:
                with closing(options._pool(folder)) as pool:
                    for run in pool.run(left):
                        (failed if run.result is None else ended).append(run)
                        what = run.reason if run.result is None else f"{run.result['return_mean']:.6g}"
                        done = f"{len(ended) + len(failed)} of {len(cells)}"
                        messages.print(f"{done}: {run.cell.label}, seed {run.cell.seed}: {what}", markup=False)
            finally:
                order = {cell: number for number, cell in enumerate(cells)}
                settings = by_setting(sorted(ended, key=lambda run: order[run.cell]))
                settings = {cell.label: settings[cell.label] for cell in cells if cell.label in settings}
                write_table(folder, settings)
                draw(folder, settings, " ".join(options.words))
            if not settings:
                raise RunError(f"No run has come to a result: {failed[0].reason}")
            result: dict[str, Any] = result_of(settings, failed) | {
                "command": list(options.words),
                "wall_seconds": time.perf_counter() - began,
                "run_dir": str(folder),
                "table": str(folder / TABLE),
                "picture": str(folder / PICTURE),
            }
            write_json(folder / "result.json", result)
            return to_json(result) + "\n" if self.json else text_of(settings, failed, folder)

    def _pool(self, folder: Path) -> Any:
        """What plays the runs."""
        if self.ray is not None:
            from nf_policies.cluster.jobs import RayJobs

            return RayJobs("".join(self.ray), self.words, folder, self.workers)
        from nf_policies.commands.task import cores
        from nf_policies.sweeps.execute import Processes

        return Processes(self.words, folder, self.workers or cores())

    def _check(self) -> None:
        """A RunError naming the word that does not fit."""
        known = searches()
        if len(self.words) < 2 or self.words[0] not in known or self.words[1].startswith("-"):
            raise RunError(
                "Sweep what? For example: nf-policies sweep --seeds 0:20 --grid sigma=0.5,1,2 -- evolve CartPole-v1."
            )
        for word in self.words:
            if word.partition("=")[0] in OWN:
                raise RunError(f"{word.partition('=')[0]} belongs to the sweep, not to the command that it plays.")
        options = known[self.words[0]].__dataclass_fields__
        for text in self.grid:
            if (name := text.partition("=")[0].strip().replace("-", "_")) not in options:
                raise RunError(f"{self.words[0]} has no option {name} for --grid.")
