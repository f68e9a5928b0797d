"""The task of a run as its options and its learner need it: spaces, what the policy sees, facts, and remarks."""

import copy
import itertools
import math
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box, Space
from torch import Tensor

from nf_policies.policies.kinds import field_sizes, is_image
from nf_policies.policies.names import entries_of
from nf_policies.policies.policy import Policy
from nf_policies.policies.spaces import ObservationEncoder, each, parts_of
from nf_policies.runs.presets import Facts
from nf_policies.tasks.batched import batched_twin, is_compilable, twin_to_play
from nf_policies.tasks.description import Task, described, keywords_of, task_of, wrappers_of
from nf_policies.tasks.faults import errors_of
from nf_policies.tasks.make import CAP, Limit, limit_of, make_task
from nf_policies.tasks.names import Names, names_of
from nf_policies.tasks.visible import velocities_among, velocities_of, visible_entries

SLOW = 1e-3
"""Seconds of a step from which a process for each environment pays."""


class Shown(NamedTuple):
    """What a task shows to a policy."""

    observation_space: Space[Any]
    action_space: Space[Any]
    visible: list[int] | None
    """Entries of the observation that the policy sees; None for all."""
    limit: Limit
    """Of an episode; the cap where the task has none."""
    names: Names
    env_spec: dict[str, Any] | None
    """Gymnasium's, in JSON values."""
    change_gains: Tensor | None = None
    """Of all features, for a field that feels changes."""

    @property
    def sizes(self) -> tuple[int, int]:
        """The input_size and output_size of a field."""
        return field_sizes(self.observation_space, self.action_space, self.visible)

    @property
    def discrete(self) -> bool:
        """Whether every action is a choice, none a number."""
        return not isinstance(self.action_space, Box)


def asked(options: Any) -> Task:
    """The task that options name, with its arguments, wrappers and time limit."""
    return Task(options.env, keywords_of(options.env_kwargs), wrappers_of(options.wrapper), options.max_episode_steps)


def shown(options: Any) -> Shown:
    """Look at the task of `RunOptions`.

    Raises: TaskError or UnsupportedSpaceError, if it cannot be made, seen or acted in.
    """
    task = asked(options)
    with closing(make_task(task)) as env:
        seen = _look_at(env, task, options)
        felt = options.start or "changes=true" in options.field_option
        return seen._replace(change_gains=torch.from_numpy(change_gains(env))) if felt else seen


def _look_at(env: Any, task: Task, options: Any) -> Shown:
    visible = visible_of(env, task, options.hide_velocity, options.hide)
    env_spec = None if env.spec is None else described(env.spec, task)
    return Shown(env.observation_space, env.action_space, visible, Limit.of(limit_of(env)), names_of(env), env_spec)


def visible_of(env: Any, task: Task | str, hide_velocity: bool, hide: Sequence[int | str] = ()) -> list[int] | None:
    """Indices of the entries that are left when some are hidden; arguments and errors as of `visible_entries`."""
    task = task_of(task)
    ObservationEncoder(env.observation_space)  # refuses what cannot be seen
    if not (hide_velocity or hide):
        return None
    names, velocities = what_is_named(env, task)
    return visible_entries(str(task), names, hide_velocity, hide, velocities)


def what_is_named(env: Any, task: Task) -> tuple[list[str], Sequence[int]]:
    """Names of a task's entries, and the indices of its velocities where it tells them itself."""
    names = [entry.name for entry in entries_of(env.observation_space, names_of(env).observation)]
    return names, () if task.wrappers else velocities_of(env)  # not those of what a wrapper shows


def check_file(policy: Policy, task: Shown) -> None:
    """Write a policy to a file and read it back, before a search begins.

    Raises: ValueError if the file would not be a policy for the task.
    """
    with tempfile.TemporaryDirectory() as folder:
        policy.save(path := Path(folder) / "policy.safetensors")
        Policy.load(path).check_task(task.observation_space, task.action_space)


def facts_of(options: Any) -> Facts:
    """What the general settings for the task of `RunOptions` follow from."""
    task = asked(options)
    twin = twin_to_play(task, getattr(options, "backend", "auto"), options.workers or 0)
    lanes = twin is not None and not is_compilable(twin)
    in_batches = twin is not None and not lanes and (options.command == "evolve" or twin == options.env)
    with errors_of(options.env), closing(make_task(task)) as env:
        seen = _look_at(env, task, options)
        slow = twin is None and seconds_of(env) > SLOW
        changes = lacks_velocities(env, task, seen.visible)
    budget = options.steps or (math.inf if options.minutes else None)
    workers = cores() if slow else 0
    return Facts(*seen.sizes, seen.limit.steps, seen.discrete, in_batches, lanes, workers, budget, changes)


def lacks_velocities(env: gym.Env, task: Task, visible: Sequence[int] | None) -> bool:
    """Whether a policy sees numbers, and not all of a task's velocities, or none that is known."""
    parts = [part for _, part in parts_of(env.observation_space)]
    if not all(isinstance(part, Box) and not is_image(part) for part in parts):
        return False
    velocities = velocities_among(*what_is_named(env, task))
    return not velocities or (visible is not None and not velocities <= set(visible))


def remarks_on(options: Any) -> list[str]:
    """What a user should know of the task before a run, in sentences."""
    task = asked(options)
    if batched_twin(task):  # which is as it says
        return []
    found = []
    with errors_of(options.env), closing(make_task(task)) as env:
        if limit_of(env) is None:
            found.append(
                f"{task} has no time limit: where whole episodes are played, they are cut after {CAP:,} steps, or as "
                "--max-episode-steps says."
            )
        if not follows_its_seed(env):
            found.append(
                f"{task} does not follow its seed: scores cannot be repeated, and candidates do not play the same "
                "episodes."
            )
    return found


def follows_its_seed(env: gym.Env, steps: int = 5) -> bool:
    """Whether an environment shows and rewards the same twice, from the same seed with the same actions."""

    def played() -> list[Any]:
        env.action_space.seed(0)
        seen: list[Any] = [env.reset(seed=0)[0]]
        while len(seen) <= steps:
            obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            seen.append((obs, np.asarray(reward), terminated, truncated))
            if terminated or truncated:
                break
        return copy.deepcopy(seen)

    return repeats(played(), played())


def repeats(first: Any, second: Any) -> bool:
    """Whether two nested values are equal, NaN and NaN included."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(repeats(first[key], second[key]) for key in first)
    if isinstance(first, tuple | list):
        return len(first) == len(second) and all(map(repeats, first, second))
    return bool(np.array_equal(first, second, equal_nan=np.asarray(first).dtype.kind == "f"))


def seed_globally(seed: int) -> None:
    """Seed Python's and NumPy's shared generators, which some tasks use in place of their own."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002


def seconds_of(env: gym.Env, steps: int = 9) -> float:
    """How long a step of an environment takes, with random actions: the median of a few."""
    play, took = random_play(env), []
    next(play)
    for _ in range(steps):
        began = time.perf_counter()
        next(play)
        took.append(time.perf_counter() - began)
    return median(took)


def change_gains(env: gym.Env, steps: int = 1000) -> np.ndarray:
    """Of each feature of a task, how far it spreads in units of its changes from step to step, with random actions."""
    encode = ObservationEncoder(env.observation_space)
    seen: list[np.ndarray] = []
    changes = [np.zeros(encode.total)]
    with suppress(Exception), np.errstate(all="ignore"):  # what fails here fails in the run, which says more
        for obs, begins in itertools.islice(random_play(env), steps):
            seen.append(encode(each(lambda entry: np.asarray(entry)[None], obs))[0].astype(np.float64))
            changes += [] if begins else [seen[-1] - seen[-2]]
        spread, change = np.std(seen, 0), np.sqrt(np.sum(np.square(changes), 0) / max(len(changes) - 1, 1))
        return np.divide(spread, change, out=np.ones_like(spread), where=(change > 1e-6 * spread) & np.isfinite(change))
    return np.ones(encode.total)


def random_play(env: gym.Env) -> Iterator[tuple[Any, bool]]:
    """Observations of one episode after the other with random actions, and whether an episode begins with them."""
    env.action_space.seed(0)
    over = True
    for n in itertools.count():
        begins = over
        if begins:
            obs, over = env.reset(seed=n)[0], False
        else:
            obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
            over = bool(terminated or truncated)
        yield obs, begins


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
