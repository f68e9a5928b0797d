"""Where an evolution plays: on Gymnasium's environments, or on the batched task that equals them."""

import functools
import time
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from gymnasium.vector import VectorEnv

from nf_policies.policies import Policy
from nf_policies.rollouts import Score, rollout
from nf_policies.rollouts.engine import Engine, engine_mode
from nf_policies.rollouts.play import Evaluator, evaluate
from nf_policies.rollouts.score import check_episodes
from nf_policies.tasks.batched import batched_twin, make_batched
from nf_policies.tasks.make import TaskError
from nf_policies.tasks.side_by_side import make_envs

Backend = Literal["auto", "gymnasium", "batched"]
LANES_MAX = 128


class Options(Protocol):
    """What of a command's options says where to play."""

    env: Any
    backend: Any
    device: Any
    engine: Any
    workers: int
    max_episode_steps: int | None
    population: int | None
    episodes: int | None
    steps: int | None
    generations: int | None


@dataclass
class Place:
    """Where to play.

    Attributes:
        env_id: The task that was asked for.
        backend: "gymnasium" or "batched".
        evaluator: Plays a population.
        is_twin: Whether it plays a twin, so that what counts is to be played on the task itself.
        told: One line for people.
    """

    env_id: str
    backend: str
    evaluator: Evaluator
    envs: VectorEnv
    is_twin: bool
    told: str
    max_episode_steps: int | None

    def score(self, policy: Policy, episodes: int, seed: int) -> Score:
        """A policy's score on the task that was asked for: on Gymnasium's own environments where there are such."""
        if self.backend == "gymnasium" or self.is_twin:
            return rollout(policy, self.env_id, episodes=episodes, seed=seed, max_episode_steps=self.max_episode_steps)
        return batched_score(policy, self.evaluator, self.env_id, episodes, seed)

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()


def batched_score(policy: Policy, evaluator: Evaluator, env_id: str, episodes: int, seed: int) -> Score:
    """A policy's score on a batched task; the i-th episode has seed `seed + i`.

    Raises: ValueError if something was not finite, or if there are no episodes.
    """
    check_episodes(episodes, seed)
    began = time.perf_counter()
    returns, played = evaluator(policy, None, range(seed, seed + episodes))
    if played.problem:
        raise ValueError(f"{env_id}: {played.problem}")
    seconds = time.perf_counter() - began
    steps = int(np.sum(played.lengths))
    return Score(env_id, seed, returns[0], policy.n_parameters, steps, seconds)


def needed_twin(env_id: str) -> str:
    """The id of the batched task that equals a task.

    Raises: TaskError if there is none.
    """
    twin = batched_twin(env_id)
    if twin is None:
        raise TaskError(f"There is no batched task that equals {env_id}: use --backend gymnasium.")
    return twin


def place_of(options: Options, *, moments: bool = True) -> Place:
    """Where the options, made definite in place, say to play.

    Args:
        options: Of the command.
        moments: Whether a normaliser needs the moments of what is seen.
    Raises: TaskError if there is no batched task where one is demanded.
    """
    env_id, limit = options.env, options.max_episode_steps
    lanes = (options.population or 1) * (options.episodes or 1)
    wanted = options.backend
    twin = None if wanted == "gymnasium" or options.workers else batched_twin(env_id)
    if wanted == "batched":
        twin = needed_twin(env_id)
    if twin is None:
        if options.device != "cpu":
            raise TaskError(
                f"{env_id} is played by Gymnasium on the CPU: --device {options.device} needs a batched task."
            )
        options.backend = "gymnasium"
        envs = make_envs(env_id, min(lanes, LANES_MAX), workers=options.workers, max_episode_steps=limit)
        told = f"playing {env_id} in {envs.num_envs} Gymnasium environments"
        return Place(env_id, "gymnasium", functools.partial(evaluate, envs), envs, False, told, limit)
    options.backend = "batched"
    envs = make_batched(twin, device=options.device, max_episode_steps=limit)
    if options.engine == "auto":
        ahead = options.steps or (options.generations or 1) * lanes * int(envs.max_episode_steps)  # type: ignore[attr-defined]
        options.engine = engine_mode(ahead, lanes)
    evaluator = Engine(envs, mode=options.engine, moments=moments)
    same = "" if twin == env_id else f", which equals {env_id} step by step"
    how = "compiled, which takes a while the first time" if options.engine == "compiled" else "eager"
    told = f"playing {twin}{same}: {lanes} episodes at once on {options.device}, {how}"
    return Place(env_id, "batched", evaluator, envs, twin != env_id, told, limit)
