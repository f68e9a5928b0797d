"""Learners of Stable-Baselines3 and sb3-contrib with their own defaults, on normalised observations.

PPO and RecurrentPPO have one environment, as their defaults of 2,048 and 128 steps a rollout are made for, and
VecNormalize of observations and rewards; ARS has VecNormalize of observations, as in RL Baselines3 Zoo. What plays the
final episodes is the last policy, deterministic, with the statistics of the training.
"""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
from sb3_contrib import ARS, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from peers.environments import make_view

MODELS: dict[str, tuple[Any, str]] = {
    "ppo": (PPO, "MlpPolicy"),
    "recurrent_ppo": (RecurrentPPO, "MlpLstmPolicy"),
    "ars_linear": (ARS, "LinearPolicy"),
    "ars_mlp": (ARS, "MlpPolicy"),
}
SIDE_BY_SIDE = 20


class TimeOverError(Exception):
    """Training took as long as it may."""


class Clock(BaseCallback):
    """End training after some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.end = time.monotonic() + seconds

    def _on_step(self) -> bool:
        if time.monotonic() > self.end:
            raise TimeOverError  # ARS goes on where a callback says False
        return True


def monitored(task: str, view: str) -> gym.Env:
    return Monitor(make_view(task, view))


def actor_parameters(policy: Any) -> int:
    """Parameters of what acts, without the critic and the spread of actions."""
    actor = [policy.mlp_extractor.policy_net, policy.action_net] if hasattr(policy, "mlp_extractor") else [policy]
    actor += [policy.lstm_actor] if hasattr(policy, "lstm_actor") else []
    return sum(p.numel() for module in actor for p in module.parameters())


def fresh_returns(
    model: Any, statistics: Path, make: Callable[[], gym.Env], *, episodes: int, seed: int
) -> list[float]:
    """Returns of a model's deterministic policy, with the saved statistics of VecNormalize."""
    envs = VecNormalize.load(str(statistics), DummyVecEnv([make] * SIDE_BY_SIDE))
    envs.training, envs.norm_reward = False, False
    envs.seed(seed)
    returns, _ = evaluate_policy(model, envs, n_eval_episodes=episodes, return_episode_rewards=True)
    return list(map(float, returns))  # type: ignore[arg-type]  # one per episode, as asked for


def learn(
    method: str, task: str, view: str, *, steps: int, minutes: float, seed: int, episodes: int, folder: Path
) -> dict[str, Any]:
    """Train with one seed, play fresh episodes, and tell what came of it."""
    cls, policy = MODELS[method]
    make = functools.partial(monitored, task, view)
    normalised = VecNormalize(DummyVecEnv([make]), norm_reward=cls is not ARS)
    model = cls(policy, normalised, seed=seed, device="cpu")
    stop_reason = "steps"
    try:
        model.learn(steps, callback=Clock(60 * minutes))
    except TimeOverError:
        stop_reason = "minutes"
    normalised.save(str(folder / "statistics.pkl"))
    returns = fresh_returns(model, folder / "statistics.pkl", make, episodes=episodes, seed=seed + 1_000_000)
    return {
        "returns": returns,
        "n_parameters": actor_parameters(model.policy),
        "env_steps": model.num_timesteps,
        "stop_reason": stop_reason,
    }
