"""How long and how many steps until tasks without velocities are solved, from a cold start, by the command itself.

    python benchmarks/solve.py [--only CartPole-v1] [--seeds 100:105] [--results FOLDER]

Runs are those of `nf-policies sweep -- evolve ID --hide-velocity`, with no further option, one after the other with one
thread: a process of its own each. Seconds are those of its result.json, which has any compiling but neither Python's
start nor the final score, about three seconds. The policy is then played on fresh episodes of Gymnasium's own task. A
sweep that was stopped goes on when the command is repeated. Double pole has a benchmark of its own, `double_pole.py`.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import tyro

RESULTS = Path(__file__).parent / "results"


class Goal(NamedTuple):
    """What is to be reached."""

    env_id: str
    wanted: float
    episodes: int
    published: str


GOALS = (
    Goal("CartPole-v1", 495.0, 100, "500 (LSTM PPO, 100k steps, 22,210 parameters)"),
    Goal("Pendulum-v1", -208.0, 1000, "-217.9 (LSTM PPO, 100k steps, 21,889 parameters)"),
    Goal("MountainCarContinuous-v0", 92.0, 1000, "91.47 (LSTM PPO, 300k steps, 6,785 parameters)"),
)


@dataclass
class Options:
    """Options of the benchmark."""

    only: str | None = None
    """A Gymnasium id; by default all three tasks."""
    seeds: str = "100:105"
    """FIRST:END, which is left out. Presets were chosen on seeds below 100."""
    results: Path = RESULTS
    """Folder of solve_TASK.json."""
    runs: Path = Path("runs/solve")
    """Folder of the sweeps."""


def command(*words: str) -> dict[str, Any]:
    """Run nf-policies in a process of its own and read its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "nf_policies", words[0], "--json", *words[1:]], stdout=subprocess.PIPE, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def solve(goal: Goal, options: Options) -> list[dict[str, Any]]:
    """One row per seed: its evolution, and its policy on fresh episodes of Gymnasium's task."""
    folder = options.runs / goal.env_id
    if (folder / "config.json").exists():
        swept = command("sweep", "--resume", str(folder), "--seeds", options.seeds)
    else:
        words = ["--", "evolve", goal.env_id, "--hide-velocity"]
        swept = command("sweep", "--seeds", options.seeds, "--workers", "1", "--out", str(folder), *words)
    rows = []
    for seed in swept["settings"][0]["seeds"]:
        run = folder / f"seed-{seed}"
        found = json.loads((run / "result.json").read_text())
        episodes = ["--episodes", str(goal.episodes), "--seed", str(10**7 + seed)]
        played = command("rollout", str(run / "best.safetensors"), *episodes)
        kept = {name: found[name] for name in ("wall_seconds", "env_steps", "evaluations", "stop_reason")}
        rows.append({"seed": seed, **kept, **{name: played[name] for name in ("return_mean", "n_parameters")}})
    return rows


def main(options: Options) -> None:
    """Solve, say what came out, write JSON."""
    for goal in GOALS:
        if options.only not in (None, goal.env_id):
            continue
        rows = solve(goal, options)
        returns, seconds, steps = ([row[name] for row in rows] for name in ("return_mean", "wall_seconds", "env_steps"))
        print(
            f"{goal.env_id}: {sum(mean >= goal.wanted for mean in returns)} of {len(rows)} seeds reach {goal.wanted}; "
            f"return median {median(returns):.1f}, worst {min(returns):.1f}; seconds median {median(seconds):.1f}, "
            f"worst {max(seconds):.1f}; steps median {median(steps):,.0f}; {rows[0]['n_parameters']} parameters; "
            f"published {goal.published}",
            flush=True,
        )
        name = goal.env_id.partition("-")[0].lower()
        (options.results / f"solve_{name}.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
