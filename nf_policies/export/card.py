"""The robot card: what a policy sees and does, entry by entry, at which rate, from which start, and what it reached."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from gymnasium import Space, spaces

from nf_policies.export.facts import Facts
from nf_policies.export.form import Form
from nf_policies.export.needs import ExportError
from nf_policies.export.polynomial import ERROR
from nf_policies.export.text import EXPORT_VERSION
from nf_policies.policies.names import FORM
from nf_policies.policies.policy import CLIP, Policy


def card_of(
    policy: Policy, form: Form, facts: Facts, score: dict[str, Any] | None = None, *, polynomial: bool = False
) -> dict[str, Any]:
    """The card of a policy as JSON values.

    Args:
        policy: What is exported.
        form: Its form.
        facts: Of its task.
        score: What it reached.
        polynomial: Whether the form has polynomials in place of tanh and sigmoid.
    Raises: ExportError if the facts name another number of entries than the policy has.
    """
    visible = range(policy.encode.total) if policy.visible is None else policy.visible
    normalizer = policy.normalizer
    statistics = {"mean": normalizer.mean.tolist(), "std": normalizer.std.tolist(), "clip": CLIP}
    return {
        "title": form.title,
        "export_version": EXPORT_VERSION,
        "nf_policies": version("nf-policies"),
        "task": policy.env_id,
        "task_spec": policy.env_spec,
        "rate_hz": facts.rate_hz,
        "observation": {
            "space": str(policy.observation_space),
            "entries": entries(policy.observation_space, facts.observation, "observation"),
        },
        "visible": [int(entry) for entry in visible],
        "normalizer": statistics if normalizer.count > 0 else None,
        "action": {"space": str(policy.action_space), "entries": entries(policy.action_space, facts.action, "action")},
        "memory": {"size": form.memory_size, "initial": form.initial_memory.tolist()},
        "tanh_error": ERROR if polynomial else 0,
        "n_parameters": policy.n_parameters,
        "score": score,
        "made_by": policy.made_by,
    }


def entries(space: Space[Any], names: Sequence[str], word: str) -> list[dict[str, Any]]:
    """Every number of a space, laid flat: its index, name, unit and range (None where it has no end).

    Where the names are those of a choice's values, they are its `choices`.
    """
    low, high = bounds(space)
    rows: list[dict[str, Any]] = [{"index": i, "name": f"{word}_{i}", "unit": None} for i in range(len(low))]
    parsed = [FORM.fullmatch(name).groups() for name in names]  # type: ignore[union-attr]
    if len(names) == len(rows):
        rows = [row | {"name": name, "unit": unit} for row, (name, unit) in zip(rows, parsed, strict=True)]
    elif isinstance(space, spaces.Discrete) and len(names) == space.n:
        rows[0]["choices"] = [{"name": name, "unit": unit} for name, unit in parsed]
    elif names:
        raise ExportError(f"Names are given to {len(names)} entries of the {word}, which has {len(rows)}.")
    ends = zip(low, high, strict=True)
    return [row | {"low": finite(a), "high": finite(b)} for row, (a, b) in zip(rows, ends, strict=True)]


def bounds(space: Space[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest value of each entry of a space, laid flat."""
    match space:
        case spaces.Discrete():
            return np.array([space.start]), np.array([space.start + space.n - 1])
        case spaces.MultiDiscrete():
            start = space.start.reshape(-1)
            return start, start + space.nvec.reshape(-1) - 1
        case spaces.MultiBinary():
            size = int(np.prod(space.shape))
            return np.zeros(size), np.ones(size)
        case spaces.Box():
            return space.low.reshape(-1), space.high.reshape(-1)
        case spaces.Dict() | spaces.Tuple():
            inner = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
            low, high = zip(*map(bounds, inner), strict=True)
            return np.concatenate(low), np.concatenate(high)
    raise ExportError(f"{type(space).__name__} has no entries that a card could list.")


def finite(value: Any) -> float | None:
    """A bound as a plain number; None for none, as infinity or the largest number of a dtype says it."""
    return float(value) if abs(float(value)) < 1e30 else None


def in_words(card: dict[str, Any]) -> str:
    """The card as a page of Markdown."""
    rate = "not known" if card["rate_hz"] is None else f"{card['rate_hz']:g} control steps per second"
    score = card["score"] or {}
    lines = [
        f"# {card['title']}",
        "",
        f"- task: {card['task'] or 'not known'}",
        f"- control rate: {rate}",
        f"- parameters: {card['n_parameters']}",
        f"- memory: {card['memory']['size']} numbers, at an episode's start {card['memory']['initial']}",
        f"- return: {score['return_mean']:.1f} over {score['episodes']} episodes" if score else "- return: not known",
        f"- written by nf-policies {card['nf_policies']}, version {card['export_version']} of exports",
        "",
        *_table("It sees", card["observation"]["entries"], card["visible"], card["normalizer"]),
        *_table("It does", card["action"]["entries"], None, None),
    ]
    return "\n".join(lines)


def _table(title: str, rows: list[dict[str, Any]], visible: list[int] | None, normalizer: Any) -> list[str]:
    names = ["entry", "name", "unit", "low", "high"] + (["mean", "std"] if normalizer else [])
    lines = [f"## {title}", "", f"| {' | '.join(names)} |", f"| {' | '.join('---' for _ in names)} |"]
    for row in rows:
        choices = " or ".join(choice["name"] for choice in row.get("choices", ()))
        cells = [row["index"], choices or row["name"], row["unit"], row["low"], row["high"]]
        if normalizer:
            at = visible.index(row["index"]) if visible and row["index"] in visible else None
            cells += [None if at is None else f"{normalizer[name][at]:.4g}" for name in ("mean", "std")]
        texts = ("" if cell is None else f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in cells)
        lines.append(f"| {' | '.join(texts)} |")
    if visible is not None and len(visible) < len(rows):
        lines += ["", f"The policy reads entries {', '.join(map(str, visible))} only."]
    return [*lines, ""]
