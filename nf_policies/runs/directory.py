"""Run directories: one folder per run, never shared or overwritten, with the options the run began with."""

import itertools
import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from nf_policies.atomic import write_text
from nf_policies.wording import in_short

CONFIG = "config.json"
OLD_CHECKPOINTS = ("checkpoint/evolution.safetensors", "checkpoint/training.safetensors")


class RunError(ValueError):
    """A run that cannot begin or continue; the message says which and why."""


def new_run_directory(out: Path | None, env_id: str, command: str) -> Path:
    """Make the folder of a new run: `out`, or the next free `runs/<task>-<command>-001`, which no other run gets.

    Raises: RunError if `out` holds a run already or cannot be made.
    """
    folder, is_file, name = env_id.rpartition(".py:")
    task = f"{Path(folder).name}-{name}" if is_file else env_id
    task = "".join(c if c.isalnum() or c in "-_." else "-" for c in task)
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
        raise RunError(f"{run_dir / CONFIG} cannot be read: {in_short(error)}.") from error
    if not isinstance(config, dict):
        raise RunError(f"{run_dir / CONFIG} is not a configuration.")
    return config
