"""Training steps per second on HalfCheetah-v5: through EnvPool, one by one, in mjbatch's lanes, and SB3 with EnvPool.

    python benchmarks/envpool_speed.py --num-envs 16 --rollouts 3

All learn with the same sizes of rollout and minibatch; SB3's PPO with two layers of 64 that remember nothing. Every way
runs once to warm up, then the ways take turns; the median counts.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
import tyro
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from nf_policies.ppo import FieldPPO
from nf_policies.tasks.side_by_side import training_envs

TASK = "HalfCheetah-v5"


@dataclass
class Options:
    """Options of the benchmark."""

    num_envs: int = 16
    n_steps: int = 128
    n_epochs: int = 4
    rollouts: int = 3  # Measured of each way.
    threads: int = 1  # Of EnvPool and of torch.


class PoolForSB3(VecEnv):
    """EnvPool as SB3 takes environments: ended episodes are reset at once."""

    def __init__(self, num_envs: int, threads: int) -> None:
        import envpool

        self.lanes = envpool.make(TASK, env_type="gymnasium", num_envs=num_envs, num_threads=threads)
        super().__init__(num_envs, self.lanes.observation_space, self.lanes.action_space)

    def reset(self) -> np.ndarray:
        """First observations."""
        return self.lanes.reset()[0]

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions."""
        self.actions = actions.astype(np.float64)

    def step_wait(self) -> Any:
        """SB3's step."""
        obs, rewards, terminated, truncated, _ = self.lanes.step(self.actions)
        dones = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if len(ended := np.flatnonzero(dones)):
            for i in ended:
                infos[i] = {"terminal_observation": obs[i].copy(), "TimeLimit.truncated": bool(truncated[i])}
            obs[ended] = self.lanes.reset(ended)[0]
        return obs, rewards, dones, infos

    def close(self) -> None:
        """End the threads."""
        self.lanes.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """None of what is asked for."""
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not needed."""

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Not needed."""
        return [None] * self.num_envs

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """They are not."""
        return [False] * self.num_envs


def one_by_one(num_envs: int) -> Any:
    """Gymnasium's environments in one process, which the lanes of a simulator would replace."""
    from nf_policies.tasks.in_turn import SideBySide
    from nf_policies.tasks.make import make_task

    return SideBySide([make_task(TASK, cap=None) for _ in range(num_envs)])


def ways(options: Options) -> dict[str, Callable[[], Any]]:
    """Models by what they are called."""
    sizes: dict[str, Any] = {"n_steps": options.n_steps, "batch_size": options.num_envs * options.n_steps // 4}
    sizes |= {"n_epochs": options.n_epochs, "seed": 0, "device": "cpu"}
    field: dict[str, Any] = {"seq_len": 32, "policy_kwargs": {"field": "simple", "hidden_size": 24}}

    def of_field(envs: Callable[[], Any]) -> Callable[[], FieldPPO]:
        return lambda: FieldPPO("NeuralFieldPolicy", envs(), **sizes, **field)

    pool = training_envs_of_pool(options)
    return {
        "FieldPPO, EnvPool": of_field(pool),
        "FieldPPO, one by one": of_field(lambda: one_by_one(options.num_envs)),
        "FieldPPO, mjbatch": of_field(lambda: training_envs(TASK, options.num_envs)),
        "SB3's PPO, EnvPool": lambda: PPO("MlpPolicy", PoolForSB3(options.num_envs, options.threads), **sizes),
    }


def training_envs_of_pool(options: Options) -> Callable[[], Any]:
    """What makes the environments of `envpool:HalfCheetah-v5`."""
    from nf_policies.tasks.description import Task

    return lambda: training_envs(Task(f"envpool:{TASK}", {"num_threads": options.threads}), options.num_envs)


def main(options: Options) -> None:
    """Print steps per second of each way as JSON."""
    torch.set_num_threads(options.threads)
    models = {name: make() for name, make in ways(options).items()}
    steps = options.num_envs * options.n_steps
    for model in models.values():
        model.learn(2 * steps)
    rates: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(options.rollouts):
        for name, model in models.items():
            before, began = model.num_timesteps, time.perf_counter()
            model.learn(steps, reset_num_timesteps=False)
            rates[name].append((model.num_timesteps - before) / (time.perf_counter() - began))
    print(json.dumps({name: round(median(rate)) for name, rate in rates.items()}, indent=2))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
