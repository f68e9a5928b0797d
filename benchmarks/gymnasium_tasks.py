"""How fast is evolution on a plain Gymnasium task? Against what a user would write with pycma and neuralfields.

    python benchmarks/gymnasium_tasks.py [--json results.json]

Both evolve a one-neuron-per-output field on the same task with the same population and episodes, through Gymnasium's
own environments: ours all side by side, the peer's one candidate and one step after the other. Rounds alternate; the
table has medians. Only environment steps that count are counted.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cma
import gymnasium as gym
import neuralfields
import numpy as np
import torch
import tyro

from nf_policies import Policy, SimpleNeuralField, field_sizes
from nf_policies.evolution import Evolution
from nf_policies.tasks.side_by_side import make_envs

POP_SIZE, EPISODES, GENERATIONS = 16, 8, 3


@dataclass
class Options:
    """Options of the benchmark."""

    rounds: int = 5
    """How often each is measured."""
    threads: int = 2
    """Threads of torch."""
    json: Path | None = None
    """Where to write the figures."""


def ours(env_id: str) -> float:
    """Environment steps per second of `Evolution`, duels of the incumbent included."""
    env = gym.make(env_id)
    field = SimpleNeuralField(
        *field_sizes(env.observation_space, env.action_space), generator=torch.Generator().manual_seed(0)
    )
    envs = make_envs(env_id, POP_SIZE * EPISODES)
    evolution = Evolution(Policy(field, env.observation_space, env.action_space), envs, pop_size=POP_SIZE)
    evolution.step()  # the first generation warms up
    before, began = evolution.env_steps, time.perf_counter()
    for _ in range(GENERATIONS):
        evolution.step()
    seconds = time.perf_counter() - began
    envs.close()
    return (evolution.env_steps - before) / seconds


def rate(played: tuple[int, float]) -> float:
    return played[0] / played[1]


def peer(env_id: str) -> tuple[int, float]:
    """Environment steps and seconds of a generation with pycma, neuralfields 0.5.2 and a loop."""
    env = gym.make(env_id)
    discrete = isinstance(env.action_space, gym.spaces.Discrete)
    (input_size,) = env.observation_space.shape or (0,)
    field = neuralfields.SimpleNeuralField(input_size, 1, neuralfields.pd_linear, activation_nonlin=torch.tanh)
    strategy = cma.CMAEvolutionStrategy(
        field.param_values.detach().double().numpy(), 1.0, {"popsize": POP_SIZE, "verbose": -9, "seed": 1}
    )
    steps, began = 0, time.perf_counter()
    candidates = strategy.ask()
    fitness = []
    for candidate in candidates:
        field.param_values = torch.as_tensor(candidate, dtype=torch.float32)
        total = 0.0
        for seed in range(EPISODES):
            obs, _ = env.reset(seed=seed)
            hidden, over = field.init_hidden(1), False
            while not over:
                with torch.no_grad():
                    output, hidden = field(torch.as_tensor(obs, dtype=torch.float32)[None, None], hidden)
                    hidden = hidden[:, -1]
                value = output.item()
                action = int(value > 0) if discrete else np.array([np.clip(value, -2, 2)], np.float32)
                obs, reward, terminated, truncated, _ = env.step(action)
                total, over, steps = total + float(reward), terminated or truncated, steps + 1
        fitness.append(-total)
    strategy.tell(candidates, fitness)
    return steps, time.perf_counter() - began


def main(options: Options) -> None:
    """Measure, print a table, write JSON."""
    torch.set_num_threads(options.threads)
    results = {}
    print(f"{'task':<26}{'nf-policies':>14}{'pycma + neuralfields + loop':>30}{'ratio':>8}")
    for env_id in ("CartPole-v1", "Pendulum-v1", "MountainCarContinuous-v0"):
        measured = [(ours(env_id), rate(peer(env_id))) for _ in range(options.rounds)]
        own, other = (median(column) for column in zip(*measured, strict=True))
        results[env_id] = {"nf_policies": own, "plain_loop": other, "ratio": median(a / b for a, b in measured)}
        print(f"{env_id:<26}{own:>12,.0f}/s{other:>28,.0f}/s{results[env_id]['ratio']:>8.1f}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
