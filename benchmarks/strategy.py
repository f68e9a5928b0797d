"""Does pycma keep up? Seconds of ask and tell beside those of playing the population once on CartPole.

    python benchmarks/strategy.py [--json strategy.json]

Each candidate plays 16 episodes of 200 steps with random parameters on the compiled engine, lanes that are over
included; one generation of each kind in turn, medians.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median

import numpy as np

from nf_policies import NeuralField, Policy, SimpleNeuralField
from nf_policies.evolution.strategy import Strategy
from nf_policies.rollouts.engine import Engine
from nf_policies.tasks.batched import make_batched

EPISODES, STEPS = 16, 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    # An episode never ends before its limit in Pendulum, so that every lane is played to the end.
    envs = make_batched("nf/Pendulum-v1", max_episode_steps=STEPS)
    spaces = envs.single_observation_space, envs.single_action_space
    fields = SimpleNeuralField(3, 1, 2, activation="tanh", dynamics="linear"), NeuralField(3, 128, 1)
    rows = []
    for field, pop_sizes in zip(fields, ((16, 256, 4096), (16, 256, 4096)), strict=True):
        policy = Policy(field, *spaces)
        engine = Engine(envs, mode="compiled", moments=False)
        for pop_size in pop_sizes:
            strategy = Strategy(np.zeros(policy.n_parameters), np.ones(policy.n_parameters), pop_size=pop_size)
            times = []
            for _ in range(options.rounds + 1):
                start = time.perf_counter()
                population = np.asarray(strategy.ask())
                asked = time.perf_counter()
                returns = engine(policy, population, range(EPISODES))[0].mean(1)
                played = time.perf_counter()
                strategy.tell(returns)
                times.append((asked - start, time.perf_counter() - played, played - asked))
            ask, tell, play = (median(column) for column in zip(*times[1:], strict=True))
            rows.append({"n_parameters": policy.n_parameters, "population": pop_size, "ask": ask, "tell": tell})
            rows[-1] |= {"play": play, "share": (ask + tell) / (ask + tell + play)}
            print(
                f"{policy.n_parameters:>5} parameters, population {pop_size:>5}: ask {1e3 * ask:7.1f} ms, tell "
                f"{1e3 * tell:7.1f} ms, play {1e3 * play:8.1f} ms: {rows[-1]['share']:.0%} of a generation is pycma's",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
