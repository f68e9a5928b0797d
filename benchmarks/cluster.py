"""What a Ray cluster costs and brings: the share of a generation outside playing, and the gain of a second worker.

    python benchmarks/cluster.py     # a few minutes; writes results/cluster.json

On this machine, with 1 and 2 workers: CartPole-v1 on Gymnasium, whose steps take microseconds, and a task that waits
5 ms in each step. Efficiencies at 8 and 64 workers, for episodes of 200 such steps, are a model of the measured cost of
a piece, not measurements.
"""

import functools
import json
import math
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from nf_policies import Policy, SimpleNeuralField, field_sizes
from nf_policies.cluster.on_ray import PER_WORKER, RayPool
from nf_policies.evolution.evolution import Evolution
from nf_policies.rollouts.play import Evaluator, evaluate
from nf_policies.rollouts.spread import Piece, Spread
from nf_policies.tasks.side_by_side import make_envs

RESULTS = Path(__file__).parent / "results" / "cluster.json"
POPULATION, EPISODES, STEPS, GENERATIONS = 15, 4, 20, 3


class Waiting(gym.Env):
    """A task whose step takes 5 ms without using a core, as hardware or a simulator elsewhere does."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float64)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Begin an episode."""
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Wait."""
        time.sleep(0.005)
        return self.np_random.uniform(-1, 1, 2), -float(action[0] ** 2), False, False, {}


def envs_of(task: str, lanes: int) -> gym.vector.VectorEnv:
    if task == "Waiting":
        gym.registry.pop("bench/Waiting-v0", None)
        gym.register("bench/Waiting-v0", lambda **_: Waiting(), max_episode_steps=STEPS)
        return make_envs("bench/Waiting-v0", lanes)
    return make_envs(task, lanes)


def evaluator_on(task: str, lanes: int) -> Evaluator:
    return functools.partial(evaluate, envs_of(task, lanes))


def watched_on(task: str, lanes: int) -> tuple[Evaluator, bool]:
    return evaluator_on(task, lanes), True


def evolution_of(task: str, evaluator: Evaluator) -> Evolution:
    envs = envs_of(task, 1)
    spaces = envs.single_observation_space, envs.single_action_space
    generator = torch.Generator().manual_seed(0)  # the same generations wherever they are played
    policy = Policy(SimpleNeuralField(*field_sizes(*spaces), 2, activation="tanh", generator=generator), *spaces)
    return Evolution(policy, evaluator, pop_size=POPULATION, episodes=EPISODES)


def measured(task: str, workers: int) -> dict[str, float]:
    """Of all generations but the first: seconds, the share of the workers' time outside playing, and steps."""
    with closing(RayPool("", functools.partial(watched_on, task), name=task, workers=workers)) as pool:
        evolution = evolution_of(task, Spread(pool))
        evolution.step()
        began, playing, steps = time.perf_counter(), pool.seconds_playing, evolution.env_steps
        for _ in range(GENERATIONS):
            evolution.step()
        seconds = time.perf_counter() - began
        outside = 1 - (pool.seconds_playing - playing) / workers / seconds
        played = (evolution.env_steps - steps) / GENERATIONS
        row = {"workers": workers, "seconds": seconds / GENERATIONS, "outside": outside, "env_steps": played}
        return row if task == "Waiting" else row | {"of_piece": of_piece(pool, evolution.policy)}


def of_piece(pool: RayPool, policy: Policy, pieces: int = 200) -> float:
    """Seconds to hand out a piece and to take its answer, beside playing: of many pieces of one episode."""
    began, playing = time.perf_counter(), pool.seconds_playing
    for _ in pool.play(policy, [Piece(None, [seed]) for seed in range(pieces)]):
        pass
    return (time.perf_counter() - began - (pool.seconds_playing - playing) / pool.workers) / pieces


def on_this_machine(task: str) -> float:
    """Seconds of a generation without Ray, the first left out."""
    evolution = evolution_of(task, evaluator_on(task, POPULATION * EPISODES))
    evolution.step()
    began = time.perf_counter()
    for _ in range(GENERATIONS):
        evolution.step()
    return (time.perf_counter() - began) / GENERATIONS


def modelled(workers: int, episodes: int, of_episode: float, of_piece: float) -> float:
    """Efficiency where pieces are handed out one by one and the last one is waited for: a model."""
    pieces = min(PER_WORKER * workers, episodes)
    playing = math.ceil(pieces / workers) * math.ceil(episodes / pieces) * of_episode
    return episodes * of_episode / workers / (playing + pieces * of_piece)


def main() -> None:
    found: dict[str, Any] = {}
    for task in ("CartPole-v1", "Waiting"):
        found[task] = {"alone": on_this_machine(task), "ray": [measured(task, workers) for workers in (1, 2)]}
        one, two = found[task]["ray"]
        found[task]["gain"] = one["seconds"] / two["seconds"]
        print(task, json.dumps(found[task]))
    of_one = found["CartPole-v1"]["ray"][1]["of_piece"]
    found["model"] = [
        {"workers": n, "episodes": e, "efficiency": modelled(n, e, 200 * 0.005, of_one)}
        for n in (2, 8, 64)
        for e in (64, 1024)
    ]
    print(json.dumps(found["model"], indent=1))
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
