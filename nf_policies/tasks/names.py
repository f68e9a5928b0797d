"""Names and units of what a task shows and takes, as far as they are known.

A task of your own, or a wrapper, gives them by attributes of its class or object:

    observation_names = ("cart_position [m]", "cart_velocity [m/s]")
    action_names = ("force [N]",)

The unit is what a value of 1 stands for. Entries whose names end in "velocity" are those that --hide-velocity hides.
"""

import math
from typing import Any, NamedTuple

import gymnasium as gym

from nf_policies.tasks.known_names import KNOWN
from nf_policies.tasks.mujoco_names import mujoco_names


class Names(NamedTuple):
    """For each number that a task shows and takes, or for each choice, "name [unit]"; empty if they are not known."""

    observation: tuple[str, ...] = ()
    action: tuple[str, ...] = ()


def names_of(env: gym.Env) -> Names:
    """The names of one environment's observations and actions, its wrappers included.

    What is known of Gymnasium's own tasks holds for their classes, not for their ids, and not behind a wrapper that may
    change what it passes on.
    """
    return Names(_names(env, "observation", gym.ObservationWrapper), _names(env, "action", gym.ActionWrapper))


def _names(env: Any, what: str, changes: type) -> tuple[str, ...]:
    while True:
        if given := getattr(env, f"{what}_names", None):
            return tuple(given)
        if not isinstance(env, gym.Wrapper):
            return getattr(_known(env), what)
        unchanged = getattr(env, f"_{what}_space") is None and not isinstance(env, changes)
        made_by = type(env).reset.__module__, type(env).step.__module__
        if not (unchanged and all(str(module).startswith(("gymnasium.", "nf_policies.")) for module in made_by)):
            return ()
        env = env.env


def _known(bare: Any) -> Names:
    """What is known of an environment without wrappers."""
    structure = getattr(bare, "observation_structure", None)
    if structure is not None or type(bare).__module__.startswith("gymnasium."):
        if hasattr(bare, "model") and hasattr(bare.model, "jnt_type"):
            size = math.prod(bare.observation_space.shape)
            return Names(*mujoco_names(bare.model, type(bare).__name__, structure, size))
        if known := KNOWN.get(type(bare).__name__.removesuffix("Env").removesuffix("Jax")):
            n = getattr(bare.action_space, "n", math.prod(bare.action_space.shape))
            return Names(known.observation, next((names for names in known.actions if len(names) == n), ()))
    return Names()
