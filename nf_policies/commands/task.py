"""The task of a run as its options and its learner need it: spaces, what the policy sees, and facts."""

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium import Space

from nf_policies.policies.kinds import field_sizes
from nf_policies.policies.names import entries_of
from nf_policies.policies.policy import Policy
from nf_policies.policies.spaces import ObservationEncoder
from nf_policies.runs.presets import Facts
from nf_policies.tasks.batched import batched_twin, is_compilable
from nf_policies.tasks.make import make_task
from nf_policies.tasks.names import Names, names_of
from nf_policies.tasks.visible import velocities_of, visible_entries

SLOW = 1e-3
"""Seconds of a step from which a process for each environment pays."""


class Shown(NamedTuple):
    """What a task shows to a policy."""

    observation_space: Space[Any]
    action_space: Space[Any]
    visible: list[int] | None
    """Entries of the observation that the policy sees; None for all."""
    steps: int
    """Time limit of an episode."""
    names: Names

    @property
    def sizes(self) -> tuple[int, int]:
        """The input_size and output_size of a field."""
        return field_sizes(self.observation_space, self.action_space, self.visible)


def shown(options: Any) -> Shown:
    """Look at the task of `RunOptions`.

    Raises: TaskError or UnsupportedSpaceError, if it cannot be made, seen or acted in.
    """
    with closing(make_task(options.env, max_episode_steps=options.max_episode_steps)) as env:
        return _look_at(env, options)


def _look_at(env: Any, options: Any) -> Shown:
    visible = visible_of(env, options.env, options.hide_velocity, options.hide)
    return Shown(env.observation_space, env.action_space, visible, int(env.spec.max_episode_steps), names_of(env))


def visible_of(env: Any, task: str, hide_velocity: bool, hide: Sequence[int | str] = ()) -> list[int] | None:
    """Indices of the entries that are left when some are hidden; arguments and errors as of `visible_entries`."""
    ObservationEncoder(env.observation_space)  # refuses what cannot be seen
    if not (hide_velocity or hide):
        return None
    names = [entry.name for entry in entries_of(env.observation_space, names_of(env).observation)]
    return visible_entries(task, names, hide_velocity, hide, velocities_of(env))


def check_file(policy: Policy, task: Shown) -> None:
    """Write a policy to a file and read it back, before a search begins.

    Raises: ValueError if the file would not be a policy for the task.
    """
    with tempfile.TemporaryDirectory() as folder:
        policy.save(path := Path(folder) / "policy.safetensors")
        Policy.load(path).check_task(task.observation_space, task.action_space)


def facts_of(options: Any) -> Facts:
    """What the general settings for the task of `RunOptions` follow from."""
    twin = batched_twin(options.env)
    in_batches = twin is not None and is_compilable(twin) and (options.command == "evolve" or twin == options.env)
    with closing(make_task(options.env, max_episode_steps=options.max_episode_steps)) as env:
        task = _look_at(env, options)
        slow = twin is None and seconds_of(env) > SLOW
    return Facts(*task.sizes, task.steps, in_batches, cores() if slow else 0)


def seconds_of(env: gym.Env, steps: int = 9) -> float:
    """How long a step of an environment takes, with random actions: the median of a few."""
    env.action_space.seed(0)
    env.reset(seed=0)
    took: list[float] = []
    over = False
    while len(took) < steps and not over:
        began = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        took.append(time.perf_counter() - began)
        over = bool(terminated or truncated)
    return median(took)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
