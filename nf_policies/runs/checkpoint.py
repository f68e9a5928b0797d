"""Checkpoints: one safetensors file with a JSON header for every learner, read without unpickling."""

from pathlib import Path
from typing import Any

from torch import Tensor

from nf_policies.tensor_files import Kind, read, write


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or continued; the message says why."""


KIND = Kind("checkpoint", CheckpointError, "nf_policies_checkpoint", version=3, oldest=3)
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
    of, run, numbers = (header.get(name) for name in ("kind", "run", "numbers"))
    if not (isinstance(run, dict) and isinstance(numbers, dict)):
        raise CheckpointError(f"{path} is not a whole checkpoint: its header is incomplete.")
    if of != kind:
        raise CheckpointError(f"{path} holds the state of the learner {of!r}, not of {kind!r}.")
    return run, numbers, tensors
