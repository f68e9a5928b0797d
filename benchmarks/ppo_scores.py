"""What does recurrent PPO reach without seeing velocities, and what does memory have to do with it?

    python benchmarks/ppo_scores.py                      # the table of the runs done so far
    python benchmarks/ppo_scores.py --run --seeds 0 1 2 3 4

Each method trains on the real Gymnasium task with the velocities hidden, evaluates its policy on episodes of their own
from time to time (not counted as training), and plays the best one, deterministic, on 100 fresh episodes. Runs are
kept in a file of JSON lines and are not repeated, so a table can be made in pieces.

Methods: `neural` and `simple` are the two fields, `one_step` the preset's field with gradients through a single step
(what upstream's fields do), `gru` a GRU of 16 and `memoryless` two layers of 16 with the same settings, `two_frames` a
linear policy that sees this and the last observation, `lstm` RecurrentPPO of sb3-contrib with the settings of RL
Baselines3 Zoo, which masks velocities to zero.
"""

import itertools
import json
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from stable_baselines3.common.callbacks import BaseCallback
from torch import nn

from nf_policies.commands.task import shown, visible_of
from nf_policies.commands.train import Train, final_score, new_model
from nf_policies.ppo.training import Training
from nf_policies.tasks.side_by_side import make_envs, training_envs
from suite.plan import TUNED
from suite.rows import append, read

METHODS = ("neural", "simple", "one_step", "gru", "memoryless", "two_frames", "lstm")
RESULTS = Path(__file__).parent / "results" / "ppo_scores.jsonl"
EVALUATION_EPISODES, FINAL_EPISODES = 50, 100


@dataclass
class Options:
    """Options of the benchmark."""

    run: bool = False
    """Train what is not in the results yet; otherwise only the table."""
    tasks: tuple[str, ...] = tuple(TUNED)
    """Gymnasium ids."""
    methods: tuple[str, ...] = METHODS
    """Names of methods."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """One run each."""
    results: Path = RESULTS
    """The file of JSON lines."""
    json: Path | None = None
    """Where to write the table."""


class TwoFrames(gym.ObservationWrapper):
    """Show the visible entries of this observation and of the one before."""

    def __init__(self, env: gym.Env, entries: list[int]) -> None:
        super().__init__(env)
        self.entries = entries
        space = env.observation_space
        assert isinstance(space, gym.spaces.Box)
        low, high = (np.tile(side[entries], 2) for side in (space.low, space.high))
        self.observation_space = gym.spaces.Box(low, high, dtype=np.float32)
        self.last: np.ndarray | None = None

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, whose first observation is shown twice."""
        self.last = None
        return super().reset(**options)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The two frames."""
        now = observation[self.entries]
        both = np.concatenate((now, now if self.last is None else self.last)).astype(np.float32)
        self.last = now
        return both


def entries_of(env_id: str) -> list[int]:
    with closing(gym.make(env_id)) as env:
        entries = visible_of(env, env_id, hide_velocity=True)
    assert entries is not None
    return entries


def two_frames_id(env_id: str) -> str:
    """Register the task with two frames."""
    own = f"two_frames/{env_id}"
    if own not in gym.registry:
        gym.register(
            own,
            lambda **options: TwoFrames(gym.make(env_id, **options).unwrapped, entries_of(env_id)),
            max_episode_steps=gym.spec(env_id).max_episode_steps,
        )
    return own


def train_ours(env_id: str, method: str, seed: int) -> dict[str, Any]:
    """One run of FieldPPO."""
    options: Any = Train(env=env_id, hide_velocity=True, seed=seed).resolved()
    policy_kwargs: dict[str, Any] = {}
    if method == "one_step":
        options = replace(options, seq_len=1)
    elif method in ("gru", "memoryless"):
        options = replace(options, field=method, hidden_size=16, field_option=())
    elif method == "simple":
        options = replace(options, field="simple", hidden_size=24, field_option=("dynamics=linear",))
    elif method == "neural":
        options = replace(options, field="neural", hidden_size=16 if env_id != "Pendulum-v1" else 64, field_option=())
    elif method == "two_frames":
        layers = {"field": "memoryless", "field_option": ("layers=0",)}
        options = replace(options, env=two_frames_id(env_id), hide_velocity=False, **layers)
        policy_kwargs = {"critic": "memoryless"}
    began = time.perf_counter()
    with (
        closing(training_envs(options.env, options.num_envs)) as envs,
        closing(make_envs(options.env, EVALUATION_EPISODES)) as evaluation_envs,
    ):
        training = Training(
            new_model(options, envs, shown(options), **policy_kwargs),
            evaluation_envs,
            seed,
            episodes=EVALUATION_EPISODES,
            share=np.inf,
        )
        training.most = EVALUATION_EPISODES
        while training.env_steps < options.steps:
            training.step(training.env_steps / options.steps)
        training.conclude()
    policies = {"best": training.best(), "last": training.last()}
    return {
        "scores": {name: final_score(policy, options).returns.tolist() for name, policy in policies.items()},
        "n_parameters": policies["last"].n_parameters,
        "env_steps": training.env_steps,
        "evaluation_steps": training.evaluation_steps,
        "seconds": time.perf_counter() - began,
    }


ZOO: dict[str, dict[str, Any]] = {
    "CartPole-v1": {
        "num_envs": 8,
        "n_steps": 32,
        "batch_size": 256,
        "gae_lambda": 0.8,
        "gamma": 0.98,
        "n_epochs": 20,
        "learning_rate": lambda remaining: 1e-3 * remaining,
        "clip_range": lambda remaining: 0.2 * remaining,
        "policy_kwargs": {"lstm_hidden_size": 64, "activation_fn": nn.ReLU},
    },
    "Pendulum-v1": {
        "num_envs": 4,
        "n_steps": 1024,
        "gae_lambda": 0.95,
        "gamma": 0.9,
        "n_epochs": 10,
        "learning_rate": 1e-3,
        "use_sde": True,
        "sde_sample_freq": 4,
        "policy_kwargs": {"lstm_hidden_size": 64, "activation_fn": nn.ReLU},
    },
    "MountainCarContinuous-v0": {
        "num_envs": 8,
        "n_steps": 1024,
        "batch_size": 256,
        "gae_lambda": 0.9,
        "gamma": 0.9999,
        "n_epochs": 10,
        "learning_rate": 7.77e-5,
        "clip_range": 0.1,
        "ent_coef": 0.00429,
        "max_grad_norm": 5,
        "vf_coef": 0.19,
        "use_sde": True,
        "sde_sample_freq": 8,
        "policy_kwargs": {"lstm_hidden_size": 32, "log_std_init": 0.0},
    },
}
"""Tuned settings of RL Baselines3 Zoo (hyperparams/ppo_lstm.yml at c94924e), where observations and rewards are
normalised, actor and critic have an LSTM and a layer of 64 each, and no weights are orthogonal."""


class KeepStatistics(BaseCallback):
    """Keep those of VecNormalize beside the best model."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def _on_step(self) -> bool:
        normalization = self.model.get_vec_normalize_env()
        assert normalization is not None
        normalization.save(str(self.path))
        return True


def train_contrib(env_id: str, seed: int) -> dict[str, Any]:
    """One run of sb3-contrib's RecurrentPPO."""
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.callbacks import EvalCallback
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    from peers.environments import Masked
    from peers.sb3 import actor_parameters, fresh_returns

    settings = dict(ZOO[env_id])
    num_envs = settings.pop("num_envs")
    settings["policy_kwargs"] = settings["policy_kwargs"] | {"ortho_init": False, "net_arch": {"pi": [64], "vf": [64]}}
    entries = entries_of(env_id)

    def make() -> gym.Env:
        return Monitor(Masked(gym.make(env_id), entries))

    def final(model: Any, statistics: Path) -> list[float]:
        return fresh_returns(model, statistics, make, episodes=FINAL_EPISODES, seed=seed + 1_000_000)

    began = time.perf_counter()
    steps: Any = Train(env=env_id).resolved().steps
    with TemporaryDirectory() as folder:
        best, last = Path(folder) / "best.pkl", Path(folder) / "last.pkl"
        envs = VecNormalize(DummyVecEnv([make] * num_envs), gamma=settings["gamma"])
        model = RecurrentPPO("MlpLstmPolicy", envs, seed=seed, device="cpu", **settings)
        judging = VecNormalize(DummyVecEnv([make] * EVALUATION_EPISODES), training=False, norm_reward=False)
        judging.seed(seed + 2_000_000)
        callback = EvalCallback(
            judging,
            best_model_save_path=folder,
            eval_freq=max(steps // 25 // num_envs, 1),
            n_eval_episodes=EVALUATION_EPISODES,
            callback_on_new_best=KeepStatistics(best),
            verbose=0,
        )
        model.learn(steps, callback=callback)
        envs.save(str(last))
        scores = {"last": final(model, last), "best": final(RecurrentPPO.load(Path(folder) / "best_model.zip"), best)}
    return {
        "scores": scores,
        "n_parameters": actor_parameters(model.policy),
        "env_steps": model.num_timesteps,
        "evaluation_steps": None,
        "seconds": time.perf_counter() - began,
    }


def wanted(options: Options, done: Iterable[dict[str, Any]]) -> Iterable[tuple[str, str, int]]:
    finished = {(r["task"], r["method"], r["seed"]) for r in done}
    for seed, method, task in itertools.product(options.seeds, options.methods, options.tasks):
        if (task, method, seed) not in finished:
            yield task, method, seed


def table(results: list[dict[str, Any]], options: Options) -> list[dict[str, Any]]:
    """Print and return one row per task and method."""
    rows = []
    print(f"{'task':<26}{'method':<12}{'parameters':>10}{'seeds':>7}{'median':>9}{'worst':>9}{'last':>9}{'goal in':>9}")
    for task in options.tasks:
        for method in options.methods:
            runs = [r for r in results if (r["task"], r["method"]) == (task, method)]
            if not runs:
                continue
            means = [float(np.mean(r["scores"]["best"])) for r in runs]
            last = float(np.median([np.mean(r["scores"]["last"]) for r in runs]))
            row = {
                "task": task,
                "method": method,
                "n_parameters": runs[0]["n_parameters"],
                "seeds": len(runs),
                "median": float(np.median(means)),
                "worst": min(means),
                "median_of_last": last,
                "reached": sum(mean > TUNED[task] for mean in means),
                "env_steps": max(r["env_steps"] for r in runs),
            }
            rows.append(row)
            print(
                f"{task:<26}{method:<12}{row['n_parameters']:>10,}{len(runs):>7}{row['median']:>9.1f}{row['worst']:>9.1f}"
                f"{last:>9.1f}{row['reached']:>6} of {len(runs)}"
            )
    return rows


def main(options: Options) -> None:
    """Train what is missing, print the table, write JSON."""
    torch.set_num_threads(1)
    results = read(options.results)
    for task, method, seed in list(wanted(options, results)) if options.run else []:
        run = train_contrib(task, seed) if method == "lstm" else train_ours(task, method, seed)
        results.append({"task": task, "method": method, "seed": seed, **run})
        append(options.results, results[-1])
        print(task, method, seed, f"{np.mean(run['scores']['best']):.1f}", f"{run['seconds']:.0f} s", file=sys.stderr)
    rows = table(results, options)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
