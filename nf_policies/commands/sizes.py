"""How large a run is: told before it begins, and refused where it cannot fit into this machine's memory."""

import os
from pathlib import Path
from typing import Any

from nf_policies.commands.task import Shown
from nf_policies.policies.spaces import ObservationEncoder
from nf_policies.runs.directory import RunError

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""The limit of a container, on Linux."""


def memory() -> int | None:
    """Bytes of memory that this machine or container has; None where that cannot be found out."""
    found = []
    if hasattr(os, "sysconf") and {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= os.sysconf_names.keys():
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    if CGROUP_LIMIT.exists() and (limit := CGROUP_LIMIT.read_text().strip()).isdigit():
        found.append(int(limit))
    return min(found, default=None)


def rollout_bytes(options: Any, num_envs: int, task: Shown) -> int:
    """Bytes of a rollout of `Train`, about: features, memories of actor and critic, and some numbers of each step.

    Raises: RunError if there are not so many.
    """
    n_features = ObservationEncoder(task.observation_space).total
    needed = 4 * num_envs * options.n_steps * (n_features + 2 * (options.hidden_size or 0) + 16)
    if (there := memory()) is not None and needed > there:
        raise RunError(
            f"A rollout of {num_envs:,} environments × {options.n_steps:,} steps of {n_features:,} features needs "
            f"{bytes_in_words(needed)} of memory, and there are {bytes_in_words(there)}: lower --num-envs or "
            "--n-steps, or shrink the observation."
        )
    return needed


def bytes_in_words(n_bytes: float) -> str:
    """A number of bytes for people."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while n_bytes >= 1000 and len(units) > 1:
        n_bytes /= 1000
        del units[0]
    return f"{n_bytes:.3g} {units[0]}"
