"""A list of all tasks, for commands and documentation."""

from typing import Any, NamedTuple

from gymnasium import Space

from nf_envs.building import build
from nf_envs.registration import ENTRIES, Entry, installed


class Listed(NamedTuple):
    """An entry of the list."""

    id: str
    """With the namespace."""
    observation_space: Space[Any]
    action_space: Space[Any]
    max_episode_steps: int
    dt: float
    """Seconds per step; 1 where there is no clock."""
    asks: str
    reference: str
    twin: str | None
    """Id of the same task in Gymnasium."""


def catalog() -> tuple[Listed, ...]:
    """All tasks whose packages are installed, in order."""
    return tuple(_listed(entry) for entry in ENTRIES if installed(entry))


def _listed(entry: Entry) -> Listed:
    task = build(f"nf_envs.{entry.task}", **entry.options)
    return Listed(
        f"nf/{entry.id}",
        task.observation_space,
        task.action_space,
        entry.limit,
        task.dt,
        entry.asks,
        entry.reference,
        task.twin,
    )
