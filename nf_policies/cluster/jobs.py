"""Whole runs of a sweep on a Ray cluster: a command goes out, the files of its run come back."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nf_policies.atomic import write_bytes
from nf_policies.cluster.connection import connected, reason_of
from nf_policies.runs.directory import write_json
from nf_policies.sweeps.execute import ONE_THREAD, RESULT, Ended, reason_in, result_in, words_of
from nf_policies.sweeps.grid import Cell

TRIES = 3
"""How often a run is begun anew where its worker dies."""
Files = dict[str, bytes]


class RayJobs:
    """So many runs at once, one CPU each; `close` ends those that are left.

    A run whose worker or node dies begins anew, on another one.

    Args:
        address: As for `RayPool`.
        command: Words after nf-policies.
        folder: Of the sweep, on this machine.
        count: Runs at once; by default one per CPU of the cluster.
    Raises: ClusterError if Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, address: str, command: Sequence[str], folder: Path, count: int | None) -> None:
        self._ray = connected(address, count)
        self.command, self.folder, self.count = command, folder, count

    def run(self, cells: Sequence[Cell]) -> Iterator[Ended]:
        """Play runs; each comes back when it is over."""
        play = self._ray.remote(num_cpus=1, max_retries=TRIES - 1, scheduling_strategy="SPREAD")(files_of)
        waiting = list(cells)
        running: dict[Any, Cell] = {}
        while waiting or running:
            count = self.count or max(int(self._ray.cluster_resources().get("CPU", 1)), 1)
            while waiting and len(running) < count:
                cell = waiting.pop(0)
                running[play.remote(self.command, cell, sys.path, os.getcwd())] = cell
            for ref in self._ray.wait(list(running), num_returns=1)[0]:
                cell = running.pop(ref)
                try:
                    answer = self._ray.get(ref)
                except self._ray.exceptions.RayError as error:
                    yield Ended(cell, None, f"the worker {reason_of(error)}")
                    continue
                if isinstance(answer, str):
                    yield Ended(cell, None, answer)
                else:
                    keep(answer, self.folder / cell.folder)
                    yield Ended(cell, result_in(self.folder / cell.folder))

    def close(self) -> None:
        """End what runs, and leave the cluster."""
        with suppress(Exception):  # a cluster that is gone
            self._ray.shutdown()


def files_of(command: Sequence[str], cell: Cell, paths: Sequence[str], where: str) -> Files | str:
    """On a worker: play a run, in the folder where the command was given if this machine has it.

    Returns the run's files by name, or why it failed.
    """
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        path = os.pathsep.join(dict.fromkeys([*sys.path, *filter(os.path.isdir, paths)]))
        process = subprocess.run(
            [sys.executable, "-m", "nf_policies", *words_of(cell, command, folder)],
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
            cwd=where if os.path.isdir(where) else temporary,
            capture_output=True,
            text=True,
        )
        if process.returncode:
            return reason_in(process.returncode, process.stderr)
        return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def keep(files: Files, folder: Path) -> None:
    """Write a run's files; its result, by which the run counts as played, comes last, with the places of here."""
    result = json.loads(files.pop(RESULT))
    for name, content in files.items():
        write_bytes(folder / name, content)
    places = {"run_dir": str(folder), "policy": str(folder / "best.safetensors")}
    write_json(folder / RESULT, result | places)
