"""Recordings: what a policy saw, computed and did, step by step."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from nf_policies.atomic import atomic_path
from nf_policies.rollouts.play import Step


class Recorder:
    """Collect every step of `rollout(..., watch=recorder)`."""

    def __init__(self) -> None:
        self._steps: dict[int, list[dict[str, np.ndarray]]] = defaultdict(list)

    def __call__(self, step: Step) -> None:
        """Keep one step of the environments that are playing."""
        arrays = {"observations": step.obs, "actions": step.actions, "rewards": step.rewards.copy()}
        arrays["episode_starts"] = step.episode_starts.copy()
        arrays |= {name: value.cpu().numpy() for name, value in step.trace._asdict().items()}
        for i in np.flatnonzero(step.episodes >= 0):
            self._steps[int(step.episodes[i])].append({name: a[i] for name, a in arrays.items()})

    def recording(self) -> dict[str, np.ndarray]:
        """All steps, one episode after the other.

        Returns: Arrays of shape (steps, ...): observations, actions, rewards, episode_starts, episode (its number), and
            the field's stimuli_external, stimuli_internal, potentials, activations and outputs.
        """
        rows = [row for _, rows in sorted(self._steps.items()) for row in rows]
        arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        return arrays | {"episode": arrays["episode_starts"].cumsum() - 1}


def save_recording(recording: dict[str, np.ndarray], path: Path) -> None:
    """Write a recording as a compressed .npz, atomically; read it with `numpy.load`."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = dict(recording)
        np.savez_compressed(file, **arrays)  # numbers, so nothing is pickled
