"""Run directories: one folder per training or evolution, never overwritten."""

import itertools
import json
from pathlib import Path
from typing import Any

from nf_policies.atomic import write_text

CONFIG = "config.json"


class RunError(ValueError):
    """A run directory that cannot be made or continued; the message says which and why."""


def new_run_directory(out: Path | None, env_id: str, command: str) -> Path:
    """Make the folder of a new run.

    Args:
        out: Where; by default the next free `runs/<task>-<command>-001`.
        env_id: Gymnasium id.
        command: "evolve" or "train".
    Raises: RunError if `out` holds a run already or cannot be made.
    """
    if out is None:
        task = "".join(c if c.isalnum() or c in "-_." else "-" for c in env_id)
        numbered = (Path("runs") / f"{task}-{command}-{number:03}" for number in itertools.count(1))
        out = next(path for path in numbered if not path.exists())
    elif (out / CONFIG).exists():
        raise RunError(f"{out} holds a run already: continue it with --resume {out}, or choose another folder.")
    try:
        (out / "checkpoint").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"The folder {out} cannot be made: {error.strerror or error}.") from error
    return out


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object atomically."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_config(run_dir: Path) -> dict[str, Any]:
    """The configuration with which a run began.

    Raises: RunError if there is no run in the folder.
    """
    try:
        config = json.loads((run_dir / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"There is no run in {run_dir}: it has no {CONFIG}.") from error
    except (ValueError, OSError) as error:
        raise RunError(f"{run_dir / CONFIG} cannot be read: {error}.") from error
    if not isinstance(config, dict):
        raise RunError(f"{run_dir / CONFIG} is not a configuration.")
    return config
