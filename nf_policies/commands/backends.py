"""Where a task is played: in Gymnasium's environments or as the batched task that equals it, and on which device."""

from typing import Literal

import torch

from nf_policies.runs.directory import RunError
from nf_policies.tasks.batched import batched_twin, is_compilable
from nf_policies.tasks.make import TaskError

Backend = Literal["auto", "gymnasium", "batched"]


def batched_task(env_id: str, backend: Backend, *, device: str = "cpu", workers: int = 0) -> str | None:
    """The id of the batched task to play a task as, or None for Gymnasium's environments.

    "auto" takes the batched task if there is one and no workers, which are Gymnasium's, are asked for. A TaskError if
    there is none although the backend or the device needs one.
    """
    if backend == "batched" and workers:
        raise TaskError("A batched task has no workers: use --backend gymnasium, or leave out --workers.")
    batched = None if backend == "gymnasium" or workers else batched_twin(env_id)
    if batched is None and backend == "batched":
        raise TaskError(f"There is no batched task that equals {env_id}: use --backend gymnasium.")
    if device != "cpu" and (batched is None or not is_compilable(batched)):
        how = "by Gymnasium" if batched is None else "by a simulator"
        raise TaskError(f"{env_id} is played {how} on the CPU: --device {device} needs a batched task on tensors.")
    return batched


def device_of(name: str) -> str:
    """A device as torch names it; "auto" is a GPU if there is one. A RunError if it is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros((), device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RunError(f"There is no device {name!r} here: use --device cpu.") from error
    return name
