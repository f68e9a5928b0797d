"""Gymnasium tasks by id, made with clear errors."""

import functools
import inspect
import warnings
from importlib.metadata import entry_points

import gymnasium as gym

from nf_policies.tasks.checked import Checked
from nf_policies.tasks.errors import TaskError


@functools.cache
def register_installed() -> None:
    """Register the tasks of installed packages, which Gymnasium 1 no longer does by itself; a broken one is skipped."""
    for entry in entry_points(group="gymnasium.envs"):
        try:
            entry.load()()
        except Exception as error:  # whatever another package does wrong
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            message = f"The tasks of the installed package {entry.value} are skipped, for it fails with {reason}."
            warnings.warn(message, RuntimeWarning, stacklevel=2)


def make_task(env_id: str, *, max_episode_steps: int | None = None, render_mode: str | None = None) -> gym.Env:
    """One environment of a task, whose answers are checked.

    Args:
        env_id: Gymnasium id, `package.module:EnvId` included.
        max_episode_steps: Time limit in steps, in place of the registered one.
        render_mode: Gymnasium's, "rgb_array" for pictures.
    Raises: TaskError if the id is unknown, a package is missing, its episodes could last for ever, or its reset takes
        no seed.
    """
    register_installed()
    pictures = {} if render_mode is None else {"render_mode": render_mode}  # a task need not know render_mode
    try:
        env: gym.Env = gym.make(env_id, max_episode_steps=max_episode_steps, disable_env_checker=True, **pictures)
    except (gym.error.Error, ModuleNotFoundError) as error:
        raise TaskError(f"The task {env_id} cannot be made: {' '.join(str(error).split())}") from error
    if env.spec is None or env.spec.max_episode_steps is None:
        env.close()
        raise TaskError(f"{env_id} has no time limit, so an episode may never end: give max_episode_steps.")
    layers = [env]
    while isinstance(layers[-1], gym.Wrapper):
        layers.append(layers[-1].env)
    for layer in layers:
        try:
            inspect.signature(layer.reset).bind(seed=0, options=None)
        except TypeError as error:
            env.close()
            raise TaskError(
                f"{env_id} cannot be reset with a seed: {type(layer).__name__} must have Gymnasium's reset(self, *, "
                "seed=None, options=None)."
            ) from error
    return Checked(env, env_id)
