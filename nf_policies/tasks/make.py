"""Gymnasium tasks by id: made with clear errors, in lanes side by side, with the velocities that can be hidden."""

import functools
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

VELOCITIES: dict[str, tuple[int, ...]] = {
    "CartPole": (1, 3),
    "MountainCar": (1,),
    "MountainCarContinuous": (1,),
    "Pendulum": (2,),
    "Acrobot": (4, 5),
    "LunarLander": (2, 3, 5),
    "LunarLanderContinuous": (2, 3, 5),
}
"""Indices of the velocities in the observations of tasks, by the name in their ids, as in RL Baselines3 Zoo."""


@functools.cache
def register_installed() -> None:
    """Register the tasks of installed packages, which Gymnasium 1 no longer does by itself."""
    for entry in entry_points(group="gymnasium.envs"):
        entry.load()()


class TaskError(ValueError):
    """A task that cannot be made or used; the message says which and what would work."""


def make_task(env_id: str, *, max_episode_steps: int | None = None, render_mode: str | None = None) -> gym.Env:
    """One environment of a registered task, `package.module:EnvId` included.

    Args:
        env_id: Gymnasium id.
        max_episode_steps: Time limit in steps, in place of the registered one.
        render_mode: Gymnasium's, "rgb_array" for pictures.
    Raises: TaskError if the id is unknown, a package is missing, or its episodes could last for ever.
    """
    register_installed()
    # A task need not know render_mode, so it is told only where pictures are wanted.
    pictures = {} if render_mode is None else {"render_mode": render_mode}
    try:
        env: gym.Env = gym.make(env_id, max_episode_steps=max_episode_steps, disable_env_checker=True, **pictures)
    except (gym.error.Error, ModuleNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise TaskError(f"The task {env_id} cannot be made: {reason}") from error
    if env.spec is None or env.spec.max_episode_steps is None:
        env.close()
        raise TaskError(f"{env_id} has no time limit, so an episode may never end: give max_episode_steps.")
    return env


def task_name(env_id: str) -> str:
    """An id without module, namespace and version, by which what is known of a task is found."""
    return env_id.rpartition(":")[2].rpartition("/")[2].rpartition("-v")[0]


def velocities_of(env: Any) -> tuple[int, ...]:
    """Indices of the observation's velocities, where a task itself, alone or in a vector environment, knows them."""
    bare = env.unwrapped
    bare = bare.envs[0].unwrapped if isinstance(bare, SyncVectorEnv) else bare
    return tuple(getattr(getattr(bare, "func_env", None), "velocities", ()))


def visible_entries(
    env_id: str, obs_size: int, hide_velocity: bool, hide: Sequence[int] = (), velocities: Sequence[int] = ()
) -> list[int] | None:
    """Indices of the observation's entries that are left when some are hidden; None for all.

    Args:
        env_id: Gymnasium id, by which velocities are known.
        obs_size: Number of entries in an observation.
        hide_velocity: Whether to hide the velocities.
        hide: Further indices to hide.
        velocities: Indices of the velocities, where the task itself knows them.
    Raises: TaskError if the task's velocities are not known, an index does not exist, or nothing is left.
    """
    hidden = set(hide)
    if hide_velocity:
        name = task_name(env_id)
        if not velocities and name not in VELOCITIES:
            raise TaskError(
                f"Which observations of {env_id} are velocities is not known: name their indices with --hide. "
                f"Known are {', '.join(VELOCITIES)}."
            )
        hidden |= set(velocities or VELOCITIES[name])
    if not hidden:
        return None
    wrong = sorted(i for i in hidden if not 0 <= i < obs_size)
    if wrong:
        raise TaskError(f"{env_id} has observation entries 0 to {obs_size - 1}, so {wrong} cannot be hidden.")
    if len(hidden) == obs_size:
        raise TaskError(f"All {obs_size} observation entries of {env_id} would be hidden: leave at least one.")
    return [i for i in range(obs_size) if i not in hidden]


class PausingSyncVectorEnv(SyncVectorEnv):
    """A `SyncVectorEnv` that leaves an environment alone from its episode's end until it is reset.

    Its observations are one array, overwritten by each step.
    """

    def __init__(self, env_fns: Sequence[Callable[[], gym.Env]]) -> None:
        super().__init__(env_fns, copy=False, autoreset_mode=AutoresetMode.DISABLED)

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step the environments whose episodes are running; the others keep their last values, with reward 0."""
        self._rewards[:] = 0.0
        for i in np.flatnonzero(~self._autoreset_envs):
            obs, self._rewards[i], self._terminations[i], self._truncations[i], _ = self.envs[i].step(actions[i])
            self._env_obs[i] = self._observations[i] = obs
        self._autoreset_envs = self._terminations | self._truncations
        return self._observations, self._rewards, self._terminations, self._truncations, {}


def make_envs(env_id: str, lanes: int, *, workers: int = 0, max_episode_steps: int | None = None) -> VectorEnv:
    """Environments of one task side by side, with autoreset disabled, for `play`.

    Args:
        env_id: Gymnasium id.
        lanes: Number of environments in this process, where there are no workers.
        workers: Number of environments in a process each; worth it where a step takes a millisecond or more.
        max_episode_steps: Time limit in steps, in place of the registered one.
    Raises: TaskError as `make_task`.
    """
    make = functools.partial(make_task, env_id, max_episode_steps=max_episode_steps)
    if workers:
        # Forked workers inherit what the user has registered; they must not inherit torch's threads.
        return AsyncVectorEnv(
            [functools.partial(single_threaded, make)] * workers,
            context="fork",
            copy=False,
            autoreset_mode=AutoresetMode.DISABLED,
        )
    return PausingSyncVectorEnv([make] * lanes)


def single_threaded(make: Callable[[], gym.Env]) -> gym.Env:
    """Make an environment in a process that is to use one thread of torch."""
    torch.set_num_threads(1)
    return make()
