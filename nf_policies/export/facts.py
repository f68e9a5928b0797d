"""What a task, or a file of the user's, says about the robot: names and units of entries, and the control rate."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nf_policies.export.needs import ExportError
from nf_policies.tasks.make import TaskError, make_task

Entry = Mapping[str, Any]
"""{"name": …, "unit": …} of an entry of observations or actions."""


@dataclass(frozen=True)
class Facts:
    """What is known; None where nobody says it.

    Attributes:
        rate_hz: Control steps per second.
        observation: One `Entry` for each entry of an observation, in order.
        action: The same for actions.
    """

    rate_hz: float | None = None
    observation: Sequence[Entry] | None = None
    action: Sequence[Entry] | None = None


def facts_of(env_id: str | None) -> Facts:
    """What a task says, by an attribute `robot_card` with the keys of `Facts`, and by its time step.

    The time step is `dt` or `tau` in seconds, as Gymnasium's own tasks and those of nf_envs have it.
    """
    if env_id is None:
        return Facts()
    with suppress(TaskError), closing(make_task(env_id)) as env:
        bare: Any = env.unwrapped
        told = of_mapping(getattr(bare, "robot_card", {}), env_id)
        steps = (
            getattr(place, name, None) for place in (bare, getattr(bare, "func_env", None)) for name in ("dt", "tau")
        )
        dt = next((step for step in steps if isinstance(step, int | float) and step > 0), None)
        return replace(told, rate_hz=1 / dt) if told.rate_hz is None and dt is not None else told
    return Facts()


def read_facts(path: Path) -> Facts:
    """The facts in a JSON file: {"rate_hz": 50, "observation": [{"name": "angle", "unit": "rad"}, …]}."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path} cannot be read as JSON: {error}.") from error
    return of_mapping(found, str(path))


def of_mapping(found: Any, source: str) -> Facts:
    """Facts from JSON values. Raises: ExportError naming the source, and what in it does not fit."""
    names = ("rate_hz", "observation", "action")
    if not isinstance(found, Mapping) or (unknown := [name for name in found if name not in names]):
        what = f"{unknown[0]!r}" if isinstance(found, Mapping) else type(found).__name__
        raise ExportError(f"The facts of {source} are a dictionary of {', '.join(names)}, not {what}.")
    rate = found.get("rate_hz")
    if rate is not None and not (isinstance(rate, int | float) and 0 < rate < float("inf")):
        raise ExportError(f"{source}: rate_hz must be above 0, not {rate!r}.")
    for side in names[1:]:
        rows = found.get(side) or []
        if not all(isinstance(row, Mapping) and isinstance(row.get("name"), str) for row in rows):
            raise ExportError(f'{source}: {side} is a list of {{"name": …, "unit": …}}.')
    return Facts(**found)


def together(*known: Facts) -> Facts:
    """Facts of several sources; the first that says something counts."""
    first = {}
    for name in ("rate_hz", "observation", "action"):
        first[name] = next((value for facts in known if (value := getattr(facts, name)) is not None), None)
    return Facts(**first)
