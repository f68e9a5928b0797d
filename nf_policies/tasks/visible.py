"""Which entries of an observation a policy sees: all, or those left when velocities and others are hidden."""

import re
from collections.abc import Sequence
from typing import Any

from gymnasium.vector import SyncVectorEnv

from nf_policies.tasks.faults import TaskError

VELOCITY = "velocity"
"""How the names of velocities end."""
NAMES_SHOWN = 12


def velocities_of(env: Any) -> tuple[int, ...]:
    """Indices of the observation's velocities, where a batched task, alone or in a vector environment, knows them."""
    bare = env.unwrapped
    bare = bare.envs[0].unwrapped if isinstance(bare, SyncVectorEnv) else bare
    return tuple(getattr(getattr(bare, "func_env", None), "velocities", ()))


def velocities_among(names: Sequence[str], velocities: Sequence[int] = ()) -> set[int]:
    """Indices of the velocities: those given, or else those of the entries that are named so."""
    return set(velocities) or {i for i, name in enumerate(names) if is_named(VELOCITY, name)}


def is_named(word: str, name: str) -> bool:
    """Whether a word means an entry: its name, its key in a Dict, or the end of either, such as "velocity"."""
    base = re.split(r"[\[=]", name)[0]
    return word in (name, base) or base.startswith(f"{word}.") or base.endswith((f"_{word}", f".{word}"))


def visible_entries(
    task: str, names: Sequence[str], hide_velocity: bool, hide: Sequence[int | str] = (), velocities: Sequence[int] = ()
) -> list[int] | None:
    """Indices of the observation's entries that are left when some are hidden; None for all.

    Args:
        task: What errors call it.
        names: Of all entries.
        hide_velocity: Whether to hide the velocities: those that are named so.
        hide: Further entries to hide, by index or by name; a name means all entries that end in it.
        velocities: Indices of the velocities, where the task itself says so.
    Raises: TaskError if the task's velocities are not known, an entry does not exist, or nothing is left.
    """
    hidden = {entry for entry in hide if isinstance(entry, int)}
    if wrong := sorted(i for i in hidden if not 0 <= i < len(names)):
        raise TaskError(f"{task} has observation entries 0 to {len(names) - 1}, so {wrong} cannot be hidden.")
    for word in (entry for entry in hide if isinstance(entry, str)):
        if not (meant := {i for i, name in enumerate(names) if is_named(word, name)}):
            more = ", …" if len(names) > NAMES_SHOWN else ""
            raise TaskError(
                f"{task} shows nothing that is named {word}, but {', '.join(names[:NAMES_SHOWN])}{more} "
                f"(nf-policies envs {task} lists them)."
            )
        hidden |= meant
    if hide_velocity:
        if not (known := velocities_among(names, velocities)):
            raise TaskError(
                f"Which observations of {task} are velocities is not known: name their indices with --hide, or give "
                "its class observation_names. Known are Gymnasium's own tasks and those named nf/…."
            )
        hidden |= known
    if len(hidden) == len(names):
        raise TaskError(f"All {len(names)} observation entries of {task} would be hidden: leave at least one.")
    return [i for i in range(len(names)) if i not in hidden] if hidden else None
