"""How long and how many steps until tasks without velocities are solved, from a cold start, by the command itself.

    python benchmarks/solve.py [--only CartPole-v1] [--seeds 5] [--json solve.json]

Each run is a process of its own, `nf-policies evolve ID --hide-velocity` with no further option but the seed, timed
whole: imports, any compiling, evolution, and the final episodes on Gymnasium's own task. The policy is then played on
1,000 (CartPole: 100) fresh episodes of that task. Double pole has a benchmark of its own, `double_pole.py`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Goal(NamedTuple):
    """What is to be reached."""

    env_id: str
    wanted: float
    episodes: int
    published: str
    seconds: float | None = None


GOALS = (
    Goal("CartPole-v1", 495.0, 100, "500 (LSTM PPO, 100k steps, 22,210 parameters)", 15.0),
    Goal("Pendulum-v1", -208.0, 1000, "-217.9 (LSTM PPO, 100k steps, 21,889 parameters)"),
    Goal("MountainCarContinuous-v0", 92.0, 1000, "91.47 (LSTM PPO, 300k steps, 6,785 parameters)"),
)


def command(*words: str) -> dict[str, Any]:
    """Run nf-policies in a process of its own and read its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "nf_policies.cli", *words, "--json"], capture_output=True, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def solve(goal: Goal, seed: int, steps: int | None) -> dict[str, Any]:
    """Evolve with one seed, then play fresh episodes of Gymnasium's task."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        limit = ["--steps", str(steps)] if steps else []
        words = [goal.env_id, "--hide-velocity", "--seed", str(seed), "--out", f"{folder}/run", *limit]
        run = command("evolve", *words)
        seconds = time.perf_counter() - began
        played = command("rollout", run["policy"], "--episodes", str(goal.episodes), "--seed", str(10**7 + seed))
    return {
        "seed": seed,
        "seconds": seconds,
        "env_steps": run["env_steps"],
        "evaluations": run["evaluations"],
        "stop_reason": run["stop_reason"],
        "return_mean": played["return_mean"],
        "n_parameters": played["n_parameters"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="a Gymnasium id; by default all tasks")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=100, help="presets were chosen on smaller ones")
    parser.add_argument("--steps", type=int, help="stop a run after this many steps, in place of the preset's")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = {}
    for goal in GOALS:
        if options.only not in (None, goal.env_id):
            continue
        runs = []
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            runs.append(solve(goal, seed, options.steps))
            print(goal.env_id, runs[-1], flush=True)
        results[goal.env_id] = runs
        returns, seconds, steps = (np.array([r[k] for r in runs]) for k in ("return_mean", "seconds", "env_steps"))
        good = returns >= goal.wanted
        if goal.seconds:
            good &= seconds <= goal.seconds
        print(
            f"{goal.env_id}: {good.sum()} of {len(runs)} seeds reach {goal.wanted}"
            + (f" within {goal.seconds} s" if goal.seconds else "")
            + f"; return median {np.median(returns):.1f}, worst {returns.min():.1f}; seconds median "
            f"{np.median(seconds):.1f}, worst {seconds.max():.1f}; steps median {np.median(steps):,.0f}; "
            f"{runs[0]['n_parameters']} parameters; published {goal.published}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
