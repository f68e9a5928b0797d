"""The robot card: what a policy sees and does, entry by entry, at which rate, from which start, and what it reached."""

from typing import Any

import numpy as np
from gymnasium import Space, spaces

from nf_policies.export.form import Form
from nf_policies.policies.policy import CLIP, Policy

EXPORT_VERSION = 1
"""Changes where a program that was written for an export would no longer fit the next one."""


def card_of(policy: Policy, form: Form, *, rate_hz: float | None = None) -> dict[str, Any]:
    """The card of a policy as JSON values.

    Args:
        policy: What is exported.
        form: Its form.
        rate_hz: Control steps per second; None where nobody knows.
    """
    visible = range(policy.encode.total) if policy.visible is None else policy.visible
    normalizer = policy.normalizer
    statistics = {"mean": normalizer.mean.tolist(), "std": normalizer.std.tolist(), "clip": CLIP}
    return {
        "title": form.title,
        "export_version": EXPORT_VERSION,
        "task": policy.env_id,
        "rate_hz": rate_hz,
        "n_parameters": policy.n_parameters,
        "observation": {"space": str(policy.observation_space), "entries": entries(policy.observation_space)},
        "visible": [int(entry) for entry in visible],
        "normalizer": statistics if normalizer.count > 0 else None,
        "action": {"space": str(policy.action_space), "entries": entries(policy.action_space, "action")},
        "memory": {"size": form.memory_size, "initial": form.initial_memory.tolist()},
        "made_by": policy.made_by,
    }


def entries(space: Space[Any], word: str = "observation") -> list[dict[str, Any]]:
    """Every entry of a space, laid flat: its index, name, unit and range (None where it has no end)."""
    low, high = bounds(space)
    return [
        {"index": i, "name": f"{word}_{i}", "unit": None, "low": finite(a), "high": finite(b)}
        for i, (a, b) in enumerate(zip(low, high, strict=True))
    ]


def bounds(space: Space[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest value of each entry of a space, laid flat."""
    match space:
        case spaces.Discrete():
            return np.array([space.start]), np.array([space.start + space.n - 1])
        case spaces.MultiDiscrete():
            start = space.start.reshape(-1)
            return start, start + space.nvec.reshape(-1) - 1
        case spaces.MultiBinary():
            return np.zeros(int(np.prod(space.shape))), np.ones(int(np.prod(space.shape)))
        case spaces.Box():
            return space.low.reshape(-1), space.high.reshape(-1)
    raise ValueError(f"{type(space).__name__} has no entries that a card could list.")


def finite(value: Any) -> float | None:
    """A bound as a plain number; None for none, as infinity or the largest number of a dtype says it."""
    return float(value) if abs(float(value)) < 1e30 else None
