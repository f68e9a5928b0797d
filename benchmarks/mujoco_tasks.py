"""MuJoCo tasks: environment steps per second of the batched view and of `gym.make`, in the same run.

    python benchmarks/mujoco_tasks.py --lanes 256 --rounds 9

Random actions, episodes begun anew where they end. The two take turns; figures are medians over the rounds, and the
ratio is the median of the rounds' ratios. Both use what the process may: the view as many threads as there are cores.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
import tyro

import nf_envs  # noqa: F401  # registers the tasks

TASKS = (
    "InvertedPendulum-v5",
    "InvertedDoublePendulum-v5",
    "Reacher-v5",
    "Hopper-v5",
    "Walker2d-v5",
    "HalfCheetah-v5",
    "Swimmer-v5",
    "Pusher-v5",
)
HERE = Path(__file__).parent


@dataclass
class Options:
    """Options of the benchmark."""

    tasks: tuple[str, ...] = TASKS
    """Ids of Gymnasium."""
    lanes: int = 256
    """Environments side by side in the batched view."""
    rounds: int = 9
    """Turns that each takes."""
    seconds: float = 0.5
    """Length of a turn, about."""
    out: Path = HERE / "results" / "mujoco_tasks.json"
    """File of the figures."""


def single(env_id: str) -> Callable[[int], None]:
    """Steps of `gym.make`."""
    env = gym.make(env_id)
    env.reset(seed=0)
    env.action_space.seed(0)

    def steps(n: int) -> None:
        for _ in range(n):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()

    return steps


def batched(env_id: str, lanes: int) -> Callable[[int], None]:
    """Steps of the vector view."""
    envs: Any = gym.make_vec(f"nf/{env_id}", num_envs=lanes, vectorization_mode="vector_entry_point")
    envs.reset(seed=0)
    low, high = (torch.as_tensor(side) for side in (envs.single_action_space.low, envs.single_action_space.high))
    random = torch.Generator().manual_seed(0)

    def steps(n: int) -> None:
        for _ in range(max(1, n // lanes)):
            envs.step(low + (high - low) * torch.rand(lanes, len(low), generator=random))

    return steps


def rate(steps: Callable[[int], None], n: int) -> float:
    """Environment steps per second."""
    began = time.perf_counter()
    steps(n)
    return n / (time.perf_counter() - began)


def measure(env_id: str, options: Options) -> dict[str, Any]:
    """The figures of a task."""
    ways = {"gym.make": single(env_id), "view": batched(env_id, options.lanes)}
    sizes = {}
    for name, way in ways.items():
        way(options.lanes)  # warm
        n = int(rate(way, 4 * options.lanes) * options.seconds)
        sizes[name] = max(1, n // options.lanes) * options.lanes
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            rates[name].append(rate(way, sizes[name]))
    ratios = [view / one for one, view in zip(*rates.values(), strict=True)]
    figures = {name: round(statistics.median(values)) for name, values in rates.items()}
    return {**figures, "ratio": round(statistics.median(ratios), 2), "least_ratio": round(min(ratios), 2)}


def main(options: Options) -> None:
    """Measure every task and write the file."""
    cores = len(os.sched_getaffinity(0))
    results: dict[str, Any] = {"lanes": options.lanes, "cores": cores, "threads": torch.get_num_threads(), "tasks": {}}
    for env_id in options.tasks:
        results["tasks"][env_id] = figures = measure(env_id, options)
        print(env_id, figures, flush=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
