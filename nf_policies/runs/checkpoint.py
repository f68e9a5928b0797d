"""Checkpoints: one safetensors file with a JSON header for every learner, read without unpickling."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nf_policies.atomic import atomic_path

VERSION = 3
HEADER = "nf_policies_checkpoint"
CHECKPOINT = Path("checkpoint") / "checkpoint.safetensors"
"""Where a run's folder has it."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or continued; the message says why."""


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
    header = json.dumps({"version": VERSION, "kind": kind, "run": run, "numbers": numbers})
    # Tensors that share memory cannot be stored as they are.
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(whole, temporary, metadata={HEADER: header})


def load_checkpoint(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Tensor]]:
    """Read a checkpoint.

    Returns: `run`, `numbers` and `tensors`, as they were saved.
    Raises: CheckpointError if it is missing, damaged, or of another version or kind of learner.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint at {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        version, of, run, numbers = (header[name] for name in ("version", "kind", "run", "numbers"))
        if not (isinstance(run, dict) and isinstance(numbers, dict)):
            raise TypeError("its header is not of a checkpoint")
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint ({type(error).__name__}: {error}).") from error
    if version != VERSION:
        raise CheckpointError(f"{path} has version {version}, and this nf-policies continues version {VERSION}.")
    if of != kind:
        raise CheckpointError(f"{path} holds the state of the learner {of!r}, not of {kind!r}.")
    return run, numbers, tensors
