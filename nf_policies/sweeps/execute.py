"""Runs as processes of their own, side by side on this machine."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from nf_policies.runs.directory import CONFIG
from nf_policies.sweeps.grid import Cell

RESULT = "result.json"
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}


class Ended(NamedTuple):
    """A run that is over: what its result.json holds, or the reason why there is none."""

    cell: Cell
    result: dict[str, Any] | None
    reason: str = ""


def result_in(folder: Path) -> dict[str, Any] | None:
    """The result of a run that is whole; None where there is none yet."""
    try:
        found = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def words_of(cell: Cell, command: Sequence[str], folder: Path) -> list[str]:
    """The command of a run: from its beginning, or on from where it was stopped."""
    if (folder / CONFIG).exists():
        return [command[0], "--resume", str(folder), "--json"]
    return [*cell.words(command), "--out", str(folder), "--json"]


def reason_in(status: int, messages: str) -> str:
    """Why a process failed: its last words."""
    lines = [line for line in messages.splitlines() if line.strip(" │╭╰╮╯─")]
    return lines[-1].strip(" │").removeprefix("nf-policies: ")[:300] if lines else f"exit status {status}"


class Processes:
    """So many runs at once, with one thread each; `with` ends those that are left.

    Args:
        command: Words after nf-policies.
        folder: Of the sweep.
        count: Runs at once.
    """

    def __init__(self, command: Sequence[str], folder: Path, count: int) -> None:
        self.command, self.folder, self.count = command, folder, count
        self._live: set[subprocess.Popen[str]] = set()
        self._over, self._lock = False, threading.Lock()

    def run(self, cells: Sequence[Cell]) -> Iterator[Ended]:
        """Play runs; each comes back when it is over."""
        with ThreadPoolExecutor(self.count) as threads:
            try:
                for future in as_completed([threads.submit(self._play, cell) for cell in cells]):
                    yield future.result()
            finally:
                self.close()
                threads.shutdown(cancel_futures=True)

    def close(self) -> None:
        """End what runs; each run keeps its checkpoint."""
        with self._lock:
            self._over = True
            for process in self._live:
                process.terminate()

    def _play(self, cell: Cell) -> Ended:
        place = self.folder / cell.folder
        with self._lock:
            if self._over:
                return Ended(cell, None, "stopped")
            process = subprocess.Popen(
                [sys.executable, "-m", "nf_policies", *words_of(cell, self.command, place)],
                env={**os.environ, **ONE_THREAD},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            self._live.add(process)
        _, messages = process.communicate()
        with self._lock:
            self._live.discard(process)
        if process.returncode:
            return Ended(cell, None, reason_in(process.returncode, messages))
        return Ended(cell, result_in(place))
