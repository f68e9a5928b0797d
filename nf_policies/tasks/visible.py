"""Which entries of an observation a policy sees: all, or those left when velocities and others are hidden."""

import re
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import find_highest_version, get_env_id, parse_env_id
from gymnasium.vector import SyncVectorEnv

from nf_policies.tasks.faults import TaskError

VELOCITIES: dict[str, tuple[int, ...]] = {
    "CartPole": (1, 3),
    "MountainCar": (1,),
    "MountainCarContinuous": (1,),
    "Pendulum": (2,),
    "Acrobot": (4, 5),
    "LunarLander": (2, 3, 5),
    "LunarLanderContinuous": (2, 3, 5),
    "BipedalWalker": (1, 2, 3, 5, 7, 10, 12),
    "BipedalWalkerHardcore": (1, 2, 3, 5, 7, 10, 12),
    "InvertedDoublePendulum": (5, 6, 7),
    "Reacher": (6, 7),
    "Pusher": tuple(range(7, 14)),
}
"""Indices of the velocities in the observations of Gymnasium's own tasks: those of classic control and LunarLander as
in RL Baselines3 Zoo, the others as documented. The other MuJoCo tasks describe their observations themselves."""
DESCRIBED = {"qvel", "cvel", "ten_velocity"}
"""Parts of a MuJoCo task's observation that are velocities: of the joints, the bodies and the tendons."""


def task_name(env_id: str) -> str:
    """An id without module, namespace and version."""
    return re.sub(r"-v\d+$", "", env_id.rpartition(":")[2].rpartition("/")[2])


def is_gymnasiums(env_id: str) -> bool:
    """Whether Gymnasium itself registered a task, so that its name says which task it is."""
    try:
        namespace, name, version = parse_env_id(env_id.rpartition(":")[2])
    except gym.error.Error:
        return False
    version = find_highest_version(namespace, name) if version is None else version
    spec = gym.registry.get(get_env_id(namespace, name, version))
    return spec is not None and str(spec.entry_point or spec.vector_entry_point).startswith("gymnasium.")


def velocities_of(env: Any) -> tuple[int, ...]:
    """Indices of the observation's velocities, where a task itself, alone or in a vector environment, knows them."""
    bare = env.unwrapped
    bare = bare.envs[0].unwrapped if isinstance(bare, SyncVectorEnv) else bare
    structure = getattr(bare, "observation_structure", None)  # Gymnasium's MuJoCo tasks since version 5
    if structure is None:
        return tuple(getattr(getattr(bare, "func_env", None), "velocities", ()))
    kinds = [name for name, size in structure.items() if not name.startswith("skipped") for _ in range(size)]
    return tuple(i for i, name in enumerate(kinds) if name in DESCRIBED)


def visible_entries(
    env_id: str, obs_size: int, hide_velocity: bool, hide: Sequence[int] = (), velocities: Sequence[int] = ()
) -> list[int] | None:
    """Indices of the observation's entries that are left when some are hidden; None for all.

    Args:
        env_id: Gymnasium id; the velocities of Gymnasium's own tasks are known.
        obs_size: Number of entries in an observation.
        hide_velocity: Whether to hide the velocities.
        hide: Further indices to hide.
        velocities: Indices of the velocities, where the task itself knows them.
    Raises: TaskError if the task's velocities are not known, an index does not exist, or nothing is left.
    """
    hidden = set(hide)
    if hide_velocity:
        known = velocities or (VELOCITIES.get(task_name(env_id)) if is_gymnasiums(env_id) else None)
        if not known:
            raise TaskError(
                f"Which observations of {env_id} are velocities is not known: name their indices with --hide. "
                f"Known are Gymnasium's {', '.join(VELOCITIES)} and its MuJoCo tasks of version 5."
            )
        hidden |= set(known)
    if not hidden:
        return None
    wrong = sorted(i for i in hidden if not 0 <= i < obs_size)
    if wrong:
        raise TaskError(f"{env_id} has observation entries 0 to {obs_size - 1}, so {wrong} cannot be hidden.")
    if len(hidden) == obs_size:
        raise TaskError(f"All {obs_size} observation entries of {env_id} would be hidden: leave at least one.")
    return [i for i in range(obs_size) if i not in hidden]
