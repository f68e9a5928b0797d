"""All targets beside the policy: how far their actions are apart, how long a step takes, how large the file is."""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nf_policies.export.form import Recording
from nf_policies.export.loaded import load
from nf_policies.export.needs import ExportError
from nf_policies.export.recording import record
from nf_policies.export.write import TARGETS, Request, write
from nf_policies.policies.policy import Policy

LIMIT = 1e-6
"""Largest difference of actions, as a share of the largest action where that is above 1."""


class Row(NamedTuple):
    """What was found of a target."""

    target: str
    difference: float | None
    """Largest of all steps and entries; None where the target does not run here."""
    seconds: float | None
    """Of a step."""
    size: int
    """Bytes of its files."""
    problem: str
    """Why it does not run here; empty where it does."""


def check(policy: Policy, request: Request, *, steps: int = 1000, seed: int = 0) -> list[Row]:
    """Export to every target and replay recorded episodes, with resets in their midst, on each."""
    recording = record(policy, steps, seed=seed)
    with tempfile.TemporaryDirectory(prefix="nf-policies-") as folder:
        return [_row(policy, target, request, Path(folder), recording) for target in TARGETS if target != "card"]


def _row(policy: Policy, target: str, request: Request, folder: Path, recording: Recording) -> Row:
    size = 0
    try:
        files = write(policy, target, folder / f"policy_{target}", request)
        size = sum(file.stat().st_size for file in files)
        actions, seconds = load(files[0]).replay(recording.observations, recording.starts)
    except ExportError as error:
        return Row(target, None, None, size, str(error))
    return Row(target, float(np.abs(actions - recording.actions).max()), seconds, size, "")


def limit_of(policy: Policy) -> float:
    """The difference that a target may show: `LIMIT` of the largest action."""
    largest = getattr(policy.head, "high", None)
    return LIMIT if largest is None else LIMIT * max(1.0, float(largest.abs().max()))
