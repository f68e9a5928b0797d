"""EvoTorch's CMA-ES on its GymNE problem: a linear policy or a small recurrent one, observations normalised.

One episode for each candidate and a first standard deviation of 1; all else is EvoTorch's. The centre of the last
distribution plays the final episodes.
"""

import time
from pathlib import Path
from typing import Any

import gymnasium as gym
from evotorch.algorithms import CMAES
from evotorch.neuroevolution import GymNE

from peers.environments import make_view

NETWORKS = {
    "evotorch_linear": "Linear(obs_length, act_length)",
    "evotorch_rnn": "RNN(obs_length, 4) >> Linear(4, act_length)",
}


def learn(
    method: str, task: str, view: str, *, steps: int, minutes: float, seed: int, episodes: int, folder: Path
) -> dict[str, Any]:
    """Evolve with one seed, play fresh episodes, and tell what came of it."""

    def make(**_: Any) -> gym.Env:
        env = make_view(task, view)
        env.reset(seed=seed)  # EvoTorch resets without a seed
        return env

    problem = GymNE(make, NETWORKS[method], observation_normalization=True)
    problem.manual_seed(seed)
    searcher, end = CMAES(problem, stdev_init=1.0), time.monotonic() + 60 * minutes
    while problem.interaction_count < steps and time.monotonic() < end:
        searcher.step()
    centre = problem.make_net(searcher.status["center"])
    evolved_on = problem.interaction_count
    return {
        "returns": [float(problem.run(centre)["cumulative_reward"]) for _ in range(episodes)],
        "n_parameters": problem.solution_length,
        "env_steps": evolved_on,
        "stop_reason": "steps" if evolved_on >= steps else "minutes",
    }
