"""Run directories: one folder per run, never shared or overwritten, with the options the run began with."""

import itertools
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows has no such locks: there two processes are not kept apart
    fcntl = None  # type: ignore[assignment]

from nf_policies.atomic import write_text

CONFIG = "config.json"
OLD_CHECKPOINTS = ("checkpoint/evolution.safetensors", "checkpoint/training.safetensors")


class RunError(ValueError):
    """A run that cannot begin or continue; the message says which and why."""


def new_run_directory(out: Path | None, env_id: str, command: str) -> Path:
    """Make the folder of a new run: `out`, or the next free `runs/<task>-<command>-001`, which no other run gets.

    Raises: RunError if `out` holds a run already or cannot be made.
    """
    task = "".join(c if c.isalnum() or c in "-_." else "-" for c in env_id)
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            if (out / CONFIG).exists():
                raise RunError(f"{out} holds a run already: continue it with --resume {out}, or choose another folder.")
            return out
        for number in itertools.count(1):
            out = Path("runs") / f"{task}-{command}-{number:03}"
            with suppress(FileExistsError):
                out.mkdir(parents=True)
                return out
    except OSError as error:
        raise RunError(f"The folder {out} cannot be made: {error.strerror or error}.") from error
    raise AssertionError("There is always another number.")


@contextmanager
def claimed(run_dir: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; a RunError if one is writing there."""
    if fcntl is None:
        yield
        return
    handle = os.open(run_dir, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise RunError(f"Another process is writing into {run_dir}: wait for it, or choose another folder.") from error
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(handle)


def remove_leftovers(run_dir: Path) -> None:
    """Remove temporary files of a process that was killed while it wrote."""
    for folder in (run_dir, run_dir / "checkpoint"):
        for file in folder.glob(".*-*.*"):
            file.unlink(missing_ok=True)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON of plain values; NaN and infinity, which JSON does not know, become null."""

    def known(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: known(entry) for name, entry in part.items()}
        if isinstance(part, list | tuple):
            return [known(entry) for entry in part]
        return None if isinstance(part, float) and not math.isfinite(part) else part

    return json.dumps(known(value), indent=indent, allow_nan=False)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object atomically."""
    write_text(path, to_json(value, indent=2) + "\n")


def read_config(run_dir: Path) -> dict[str, Any]:
    """The configuration with which a run began; a RunError if there is none, or of an earlier nf-policies."""
    for name in OLD_CHECKPOINTS:
        if (run_dir / name).exists():
            raise RunError(
                f"{run_dir} was begun by an earlier nf-policies, whose {name} this one cannot continue: its policies "
                "play as before, but evolve or train in a new folder."
            )
    try:
        config = json.loads((run_dir / CONFIG).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(f"There is no run in {run_dir}: it has no {CONFIG}.") from error
    except (ValueError, OSError, RecursionError) as error:
        raise RunError(f"{run_dir / CONFIG} cannot be read: {' '.join(str(error).split())[:160]}.") from error
    if not isinstance(config, dict):
        raise RunError(f"{run_dir / CONFIG} is not a configuration.")
    return config
