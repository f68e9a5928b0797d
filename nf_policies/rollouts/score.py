"""What a policy reaches: the returns of whole episodes, and their summary."""

import functools
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from nf_policies.policies.policy import Policy
from nf_policies.rollouts.play import Evaluator, Step, evaluate
from nf_policies.tasks.description import Task, task_of
from nf_policies.tasks.make import Limit
from nf_policies.tasks.of_file import task_of_file
from nf_policies.tasks.side_by_side import limit_in, make_envs

ENVS_MAX = 64


@dataclass(frozen=True)
class Score:
    """The undiscounted returns (episodes,) of a policy on a task; the i-th episode was reset with seed `seed + i`.

    `steps` are those of all episodes, `seconds` of wall clock for playing them. `cut` episodes lasted as long as the
    `limit` allows.
    """

    env_id: str
    seed: int
    returns: np.ndarray
    n_parameters: int
    steps: int
    seconds: float
    limit: Limit
    cut: int

    def summary(self) -> dict[str, Any]:
        """The figures by name, as plain numbers for JSON."""
        return {
            "env_id": self.env_id,
            "episodes": len(self.returns),
            "seed": self.seed,
            "return_mean": float(self.returns.mean()),
            "return_std": float(self.returns.std()),
            "return_median": float(np.median(self.returns)),
            "return_min": float(self.returns.min()),
            "returns": self.returns.tolist(),
            "n_parameters": self.n_parameters,
            "steps": self.steps,
            "steps_per_second": self.steps / self.seconds,
            "max_episode_steps": self.limit.steps,
        } | ({"max_episode_steps_is_a_cap": True, "episodes_capped": self.cut} if self.limit.is_cap else {})

    def __str__(self) -> str:
        return (
            f"return {self.returns.mean():.1f} ± {self.returns.std():.1f} over {len(self.returns)} episodes of "
            f"{self.env_id} (median {np.median(self.returns):.1f}, worst {self.returns.min():.1f}), "
            f"{self.n_parameters} parameters, {self.steps / self.seconds:,.0f} steps per second"
        ) + (f"; {self.cut} episodes met the cap of {self.limit.steps:,} steps" if self.limit.is_cap else "")


def rollout(
    policy: Policy,
    task: Task | str,
    *,
    episodes: int = 100,
    seed: int = 0,
    max_episode_steps: int | None = None,
    workers: int = 0,
    step_timeout: float | None = None,
    watch: Callable[[Step], None] | None = None,
) -> Score:
    """Play whole episodes on a Gymnasium task.

    Args:
        policy: Not changed.
        task: A `Task` or a Gymnasium id, as for `make_task`. The id of the policy's own task means that task, with its
            arguments, wrappers and time limit. Where there is no limit, episodes are cut at a cap.
        episodes: Number of episodes.
        seed: Of the first episode; the next have the seeds after it.
        max_episode_steps: Time limit in steps, in place of the task's own.
        workers: Number of processes, with an environment each; by default all environments are in this one.
        step_timeout: As for `make_envs`.
        watch: Called after every step, for a recording.
    Raises:
        TaskError: If the task cannot be made.
        ValueError: If there are no episodes, the spaces do not fit, or an observation or reward is not finite.
    """
    if isinstance(task, str):
        task = task_of_file(policy.env_id, policy.env_spec, env=task)
    task = task_of(task, max_episode_steps)
    lanes = min(max(episodes, 1), ENVS_MAX)
    with closing(make_envs(task, lanes, workers=min(workers, lanes), step_timeout=step_timeout)) as envs:
        evaluator, limit = functools.partial(evaluate, envs, watch=watch), limit_in(envs)
        return score_of(policy, evaluator, task.env_id, episodes=episodes, seed=seed, limit=limit)


def score_of(policy: Policy, evaluator: Evaluator, env_id: str, *, episodes: int, seed: int, limit: Limit) -> Score:
    """A policy's score where an evaluator plays, in environments with a limit; the i-th episode has seed `seed + i`.

    Raises: ValueError if there are no episodes, the seed is negative, or an observation or reward is not finite.
    """
    if episodes < 1:
        raise ValueError(f"A rollout needs at least one episode, not {episodes}.")
    if seed < 0:
        raise ValueError(f"The seed must be 0 or greater, not {seed}.")
    began = time.perf_counter()
    returns, played = evaluator(policy, None, range(seed, seed + episodes))
    seconds = time.perf_counter() - began
    if played.problem:
        raise ValueError(f"{env_id}: {played.problem}")
    steps, cut = int(np.sum(played.lengths)), int(np.sum(np.asarray(played.lengths) >= limit.steps))
    return Score(env_id, seed, returns[0], policy.n_parameters, steps, seconds, limit, cut)
