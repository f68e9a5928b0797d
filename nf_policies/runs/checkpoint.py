"""Checkpoints: one safetensors file with a JSON header for every learner, read without unpickling."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

from msgspec import Meta
from torch import Tensor

from nf_policies.tensor_files import Kind, read, write


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or continued; the message says why."""


class Run(TypedDict, total=False):
    """What a checkpoint holds of the run itself."""

    count: Annotated[int, Meta(ge=0, le=2**53)]
    reached: float | None
    seconds: Annotated[float, Meta(ge=0)]
    improved: dict[str, Annotated[float, Meta(ge=0)]]
    config: dict[str, Any]


class Header(TypedDict):
    """The header of a checkpoint."""

    kind: str
    run: Run
    numbers: dict[str, Any]
    """The learner's, which checks them."""


KIND = Kind("checkpoint", CheckpointError, "nf_policies_checkpoint", version=3, oldest=3, schema=Header)
CHECKPOINT = Path("checkpoint") / "checkpoint.safetensors"
"""Where a run's folder has it."""


def save_checkpoint(
    path: Path, kind: str, run: dict[str, Any], numbers: dict[str, Any], tensors: dict[str, Tensor]
) -> None:
    """Write a checkpoint atomically.

    Args:
        path: The file.
        kind: Of the learner.
        run: JSON values of the run itself.
        numbers: JSON values of the learner's state.
        tensors: Of the learner's state.
    Raises: OSError if it cannot be written.
    """
    write(path, KIND, {"kind": kind, "run": run, "numbers": numbers}, tensors)


def load_checkpoint(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Tensor]]:
    """Read a checkpoint.

    Returns: `run`, `numbers` and `tensors`, as they were saved.
    Raises: CheckpointError if it is missing, damaged, or of another version or kind of learner.
    """
    header, tensors = read(path, KIND)
    if header["kind"] != kind:
        raise CheckpointError(f"{path} holds the state of the learner {header['kind'][:40]!r}, not of {kind!r}.")
    return header["run"], header["numbers"], tensors


def agreed_config(run_dir: Path, config: Mapping[str, Any], may_change: Collection[str]) -> dict[str, Any]:
    """A run's configuration, with what it lacks from the one that its checkpoint was made with, if there is one yet.

    Raises: CheckpointError naming the first option that differs; those that may change are not compared.
    """
    path = run_dir / CHECKPOINT
    made = read(path, KIND)[0]["run"].get("config", {}) if path.exists() else {}
    fixed = {name: value for name, value in made.items() if name not in may_change}
    for name in sorted(fixed.keys() & config.keys()):
        if fixed[name] != config[name]:
            begun, now = (f"{json.dumps(value):.40}" for value in (fixed[name], config[name]))
            raise CheckpointError(f"{run_dir} was begun with {name:.40} {begun}, and its configuration now says {now}.")
    return {**fixed, **config}
