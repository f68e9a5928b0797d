"""Every registered task, its two views, and random actions for all lanes."""

from typing import Any

import gymnasium as gym
import torch
from gymnasium.spaces import Discrete

import nf_envs
from nf_envs.building import build
from nf_envs.registration import ENTRIES
from nf_envs.sensing import (
    ActionDelay,
    ActionNoise,
    ActionRepeat,
    FilterVelocities,
    FrameDropout,
    ObservationDelay,
    ObservationNoise,
)

IDS = [f"nf/{entry.id}" for entry in ENTRIES if entry.needs is None]
"""Those that are all tensors; tests/envs/test_mujoco.py has the others."""
BARE = [f"nf/{entry.id}" for entry in ENTRIES if entry.needs is None and not entry.options]

EVERYTHING = [
    ActionNoise(0.1),
    ActionDelay(0, 2),
    ObservationNoise(0.01),
    ObservationDelay(1, 3),
    FrameDropout(0.3),
    FilterVelocities(30.0),
    ActionRepeat(2),
]
"""Sensors and actuators that fit a task with velocities and continuous actions."""


def core(env_id: str, **options: Any) -> nf_envs.Task:
    (entry,) = (e for e in ENTRIES if f"nf/{e.id}" == env_id)
    return build(f"nf_envs.{entry.task}", **{**entry.options, **options})


def vector(env_id: str, num_envs: int = 4, **options: Any) -> nf_envs.TensorVectorEnv:
    return gym.make_vec(env_id, num_envs=num_envs, vectorization_mode="vector_entry_point", **options)  # type: ignore[return-value]


def actions(space: gym.Space, num_envs: int, generator: torch.Generator) -> torch.Tensor:
    if isinstance(space, Discrete):
        return torch.randint(int(space.n), (num_envs,), generator=generator)
    low, high = torch.as_tensor(space.low), torch.as_tensor(space.high)
    return low + (high - low) * torch.rand(num_envs, *space.shape, generator=generator)


def play(env: nf_envs.TensorVectorEnv, steps: int, *, seed: Any = 0, action_seed: int = 1) -> list[Any]:
    """Observations, rewards and flags of random actions, which are those of the lane whatever its neighbours."""
    generators = [torch.Generator().manual_seed(action_seed + i) for i in range(env.num_envs)]
    out: list[Any] = [(env.reset(seed=seed)[0],)]
    for _ in range(steps):
        chosen = torch.cat([actions(env.single_action_space, 1, generator) for generator in generators])
        out.append(env.step(chosen)[:4])
    return out
