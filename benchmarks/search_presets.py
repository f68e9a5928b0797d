r"""Try settings of an evolution on a batched task: how much work until the mean of the search reaches a target?

    python benchmarks/search_presets.py CartPole-v1 --hide-velocity --target 495 --seeds 5 \
        --grid '{"population": [8, 16], "episodes": [2, 4, 8], "hidden_size": [1, 2]}'

A run counts as solved in the first generation in which the incumbent confirms the target on 100 fresh episodes; a run
that spends `--steps` counts with these. The table is sorted by the seconds that a run took on average.
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np

from nf_policies.evolution import Evolution
from nf_policies.evolution.presets import Preset, new_field, preset_of
from nf_policies.policies import Policy
from nf_policies.rollouts.engine import Engine, engine_mode
from nf_policies.tasks.batched import batched_twin, make_batched
from nf_policies.tasks.visible import visible_entries


def run(
    env_id: str, engine: Engine, preset: Preset, seed: int, target: float, steps: int, hide_velocity: bool
) -> tuple[bool, int, float, float]:
    """Whether a seed was solved, after how many steps and seconds, and its policy's mean return in 1,000 episodes."""
    envs = engine.envs
    spaces = envs.single_observation_space, envs.single_action_space
    visible = visible_entries(env_id, int(np.prod(spaces[0].shape or ())), hide_velocity)
    policy = Policy(new_field(*spaces, preset, visible=visible, seed=seed), *spaces, visible=visible)
    evolution = Evolution(
        policy,
        engine,
        seed=seed,
        episodes=preset.episodes,
        episodes_max=preset.episodes_max,
        sigma=preset.sigma,
        sigma_min=preset.sigma_min,
        pop_size=preset.population,
        restart_after=preset.restart_after,
        normalise=preset.normalise,
        scales=preset.scales,
    )
    began = time.perf_counter()
    solved = False
    while not solved and evolution.env_steps < steps:
        evolution.step()
        solved = evolution.reached(target)
    seconds = time.perf_counter() - began
    score = float(engine(evolution.best(), None, range(2_000_000, 2_001_000))[0].mean())
    return solved, evolution.env_steps, seconds, score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("env_id")
    parser.add_argument("--hide-velocity", action="store_true")
    parser.add_argument("--target", type=float, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2_000_000)
    parser.add_argument("--grid", type=json.loads, default={})
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    base = preset_of(options.env_id, hide_velocity=options.hide_velocity)
    twin = batched_twin(options.env_id)
    assert twin is not None
    mode = engine_mode(options.steps * options.seeds, base.population * base.episodes)
    engine = Engine(make_batched(twin), mode=mode)
    rows = []
    for values in itertools.product(*options.grid.values()):
        changes = dict(zip(options.grid, values, strict=True))
        preset = base._replace(**changes)
        preset = preset._replace(episodes_max=max(preset.episodes, preset.episodes_max))
        results = [
            run(options.env_id, engine, preset, seed, options.target, options.steps, options.hide_velocity)
            for seed in range(options.seeds)
        ]
        solved, steps, seconds, scores = (np.array(column) for column in zip(*results, strict=True))
        row = {"solved": int(solved.sum()), "steps": float(steps.mean()), "worst_steps": float(steps.max())}
        row |= {"seconds": float(seconds.mean()), "worst_seconds": float(seconds.max())}
        row |= {"score": float(np.median(scores)), "worst_score": float(scores.min())}
        rows.append(changes | row)
        print(
            f"{json.dumps(changes)}: {row['solved']} of {options.seeds}, {row['steps']:,.0f} steps "
            f"(worst {row['worst_steps']:,.0f}), {row['seconds']:.1f} s (worst {row['worst_seconds']:.1f}), "
            f"score {row['score']:.1f} (worst {row['worst_score']:.1f})",
            flush=True,
        )
    rows.sort(key=lambda row: (-row["solved"], row["seconds"]))
    print("best:", rows[0])
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
