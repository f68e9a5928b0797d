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


def check_config(run_dir: Path, config: Mapping[str, Any], may_change: Collection[str]) -> None:
    """Refuse a configuration that is not the one that the folder's checkpoint was made with, if there is one yet.

    Raises: CheckpointError naming the first option that differs; those that may change are not compared.
    """
    path = run_dir / CHECKPOINT
    begun = read(path, KIND)[0]["run"].get("config", {}) if path.exists() else {}
    for name, value in begun.items():
        if name not in may_change and name in config and config[name] != value:
            given, made = (f"{json.dumps(entry):.40}" for entry in (config[name], value))
            raise CheckpointError(f"{run_dir} was begun with {name} {made}, and its configuration now says {given}.")
