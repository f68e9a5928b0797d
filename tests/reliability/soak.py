"""Whether a long run stays as it is: memory, threads, open files, and the size and age of its checkpoint. Linux.

python tests/reliability/soak.py --minutes 120 evolve
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

SHORT = ("--max-episode-steps", "20", "--population", "16", "--episodes", "1")
COMMANDS = {
    # Fast generations, most with a duel, and no restarts: what an evolution keeps of its past would grow.
    "evolve": ("evolve", "CartPole-v1", "--hide-velocity", "--engine", "eager", *SHORT),
    "train": ("train", "Pendulum-v1", "--hide-velocity"),
}
EVERY = 1.0
"""Seconds between two looks."""


class Look(NamedTuple):
    """At a running process and its folder."""

    seconds: float
    megabytes: float
    threads: int
    files: int
    checkpoint_kilobytes: float
    checkpoint_age: float
    rows: int


def look(pid: int, run_dir: Path, began: float) -> Look | None:
    """None before there is a checkpoint, and after the end."""
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        checkpoint = (run_dir / "checkpoint" / "checkpoint.safetensors").stat()
        return Look(
            time.monotonic() - began,
            int(status["VmRSS"].split()[0]) / 1024,
            int(status["Threads"]),
            len(os.listdir(f"/proc/{pid}/fd")),
            checkpoint.st_size / 1024,
            time.time() - checkpoint.st_mtime,
            (run_dir / "progress.csv").read_bytes().count(b"\n"),
        )
    except (OSError, KeyError):
        return None


def soak(kind: str, minutes: float) -> list[Look]:
    """Watch a run of so many minutes."""
    with tempfile.TemporaryDirectory() as folder:
        out, began = Path(folder) / "run", time.monotonic()
        words = [*COMMANDS[kind], "--minutes", str(minutes), "--patience", "1", "--out", str(out)]
        process = subprocess.Popen([sys.executable, "-m", "nf_policies", *words], stderr=subprocess.DEVNULL)
        looks = []
        while process.poll() is None:
            looks.append(look(process.pid, out, began))
            time.sleep(EVERY)
        return [found for found in looks if found]


def main() -> None:
    """Print each quantity at its begin and end, and its slope in the second half of the run."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("kind", choices=COMMANDS)
    parser.add_argument("--minutes", type=float, default=5)
    given = parser.parse_args()
    values = np.array([found for found in soak(given.kind, given.minutes) if found.seconds < 60 * given.minutes])
    late = values[len(values) // 2 :]
    for i, name in enumerate(Look._fields[1:], 1):
        slope = np.polyfit(late[:, 0] / 60, late[:, i], 1)[0]
        begin, end, most = values[0, i], values[-1, i], values[:, i].max()
        print(f"{name}: {begin:.1f} at first, {end:.1f} at the end, {most:.1f} at most; {slope:+.3f} a minute")


if __name__ == "__main__":
    main()
