"""What a policy, its task, or a file of the user's says about the robot: names and units of entries, control rate."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nf_policies.export.needs import ExportError
from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.make import make_task
from nf_policies.tasks.names import names_of
from nf_policies.tasks.of_file import task_of_file

KEYS = {"rate_hz": "rate_hz", "observation_names": "observation", "action_names": "action"}
"""Of a file of facts, and what of `Facts` they are."""


@dataclass(frozen=True)
class Facts:
    """What is known; nothing where nobody says it.

    Attributes:
        rate_hz: Control steps per second.
        observation: "name [unit]" of each number of an observation, or of each value of its choices.
        action: The same for actions.
    """

    rate_hz: float | None = None
    observation: Sequence[str] = ()
    action: Sequence[str] = ()


def facts_of(env_id: str | None, env_spec: dict[str, Any] | None, names: Mapping[str, Sequence[str]]) -> Facts:
    """What a policy's file and its task say: the names in the file, or those of the task, and the task's time step.

    The rate is an attribute `rate_hz` of the task, or that of its `dt` or `tau` in seconds, as tasks of Gymnasium and
    of nf_envs have it.
    """
    known = Facts(None, names.get("observation", ()), names.get("action", ()))
    with suppress(TaskError), closing(make_task(task_of_file(env_id, env_spec))) as env:
        bare: Any = env.unwrapped
        places = (bare, getattr(bare, "func_env", None))
        steps = (getattr(place, name, None) for place in places for name in ("dt", "tau"))
        dt = next((step for step in steps if isinstance(step, int | float) and step > 0), None)
        rate = getattr(bare, "rate_hz", None) or (None if dt is None else 1 / dt)
        return together(known, Facts(rate, *names_of(env)))
    return known


def read_facts(path: Path) -> Facts:
    """The facts in a JSON file: {"rate_hz": 50, "observation_names": ["angle [rad]", …], "action_names": […]}."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path} cannot be read as JSON: {error}.") from error
    return of_mapping(found, str(path))


def of_mapping(found: Any, source: str) -> Facts:
    """Facts from JSON values. Raises: ExportError naming the source, and what in it does not fit."""
    if not isinstance(found, Mapping) or (unknown := [name for name in found if name not in KEYS]):
        what = f"{unknown[0]!r}" if isinstance(found, Mapping) else type(found).__name__
        raise ExportError(f"The facts of {source} are a dictionary of {', '.join(KEYS)}, not {what}.")
    rate = found.get("rate_hz")
    if rate is not None and not (isinstance(rate, int | float) and 0 < rate < float("inf")):
        raise ExportError(f"{source}: rate_hz must be above 0, not {rate!r}.")
    for key in ("observation_names", "action_names"):
        rows = found.get(key, ())
        if not isinstance(rows, list | tuple) or not all(isinstance(row, str) and row for row in rows):
            raise ExportError(f'{source}: {key} is a list of names with units, "angle [rad]".')
    return Facts(**{KEYS[key]: value for key, value in found.items()})


def together(*known: Facts) -> Facts:
    """Facts of several sources; the first that says something counts."""
    first = Facts()
    for facts in reversed(known):
        first = replace(first, **{name: value for name, value in vars(facts).items() if value})
    return first
