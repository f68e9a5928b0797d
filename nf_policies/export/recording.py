"""Recorded episodes: what a policy saw and did, with resets in their midst, to hold every target to."""

import copy
from contextlib import closing, suppress
from typing import Any

import numpy as np
from gymnasium import Space

from nf_policies.export.form import Recording
from nf_policies.policies.policy import Policy
from nf_policies.policies.spaces import parts_of
from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.make import make_task
from nf_policies.tasks.of_file import task_of_file


def record(policy: Policy, steps: int, *, seed: int = 0) -> Recording:
    """Let a policy play its task, or where that cannot be made, see what is drawn from its observation space.

    An episode ends where the task says so, and at half of the steps.
    """
    actor: Any = copy.deepcopy(policy)
    env = None
    with suppress(TaskError):
        env = make_task(task_of_file(policy.env_id, policy.env_spec))
    if env is None:
        return drawn(actor, steps, seed)
    rows: list[tuple[np.ndarray, bool, np.ndarray]] = []
    with closing(env):
        obs, over = None, True
        for t in range(steps):
            start = over or t == steps // 2
            if start:
                obs, _ = env.reset(seed=seed + t)
            action = actor.act(obs, episode_start=start)
            rows.append((flat(obs, env.observation_space), start, np.reshape(action, -1)))
            obs, _, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
    return Recording(*map(np.array, zip(*rows, strict=True)))


def drawn(policy: Policy, steps: int, seed: int) -> Recording:
    """Observations from the space, and a new episode every now and then."""
    space = copy.deepcopy(policy.observation_space)
    space.seed(seed)
    starts = np.random.default_rng(seed).random(steps) < 0.02
    starts[[0, steps // 2]] = True
    seen = [space.sample() for _ in range(steps)]
    done = [np.reshape(policy.act(obs, episode_start=bool(start)), -1) for obs, start in zip(seen, starts, strict=True)]
    return Recording(np.array([flat(obs, space) for obs in seen]), starts, np.array(done))


def flat(obs: Any, space: Space[Any]) -> np.ndarray:
    """An observation as a row of numbers; that of a Dict or Tuple space part by part, in the order of the space."""
    rows = []
    for keys, _ in parts_of(space):
        part = obs
        for key in keys:
            part = part[key]
        rows.append(np.asarray(part, np.float64).reshape(-1))
    return np.concatenate(rows)
