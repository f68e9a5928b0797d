"""Tasks that have only a vector environment: one lane of it as a single environment."""

import dataclasses
import functools
from typing import Any

import gymnasium as gym
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import concatenate, create_empty_array, iterate
from torch import Tensor


class OneLane(gym.Env):
    """A vector environment of one lane as a single environment, in any mode of autoreset.

    Args:
        spec: Of a task that has only a vector environment.
        kwargs: Of the task.
    """

    def __init__(self, spec: EnvSpec, **kwargs: Any) -> None:
        self._lanes = gym.make_vec(spec, 1, vectorization_mode="vector_entry_point", **kwargs)
        self.observation_space = self._lanes.single_observation_space
        self.action_space = self._lanes.single_action_space
        self._begins_within = self._lanes.metadata.get("autoreset_mode") == AutoresetMode.SAME_STEP

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        obs, _ = self._lanes.reset(seed=seed, options=options)
        self._device = obs.device if isinstance(obs, Tensor) else None
        return self._row(obs), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step the lane; an episode's last observation is its own, not the next one's first."""
        sent: Any = concatenate(self.action_space, [action], create_empty_array(self.action_space, 1))  # type: ignore[arg-type]
        if self._device is not None:
            sent = torch.as_tensor(sent, device=self._device)
        obs, reward, terminated, truncated, infos = self._lanes.step(sent)
        over = bool(terminated[0]), bool(truncated[0])
        final = infos["final_obs"][0] if self._begins_within and any(over) else None
        return self._row(obs) if final is None else _array(final), float(reward[0]), *over, {}

    def close(self) -> None:
        """Close the lane."""
        self._lanes.close()

    def _row(self, obs: Any) -> Any:
        return _array(next(iter(iterate(self._lanes.observation_space, obs))))


def _array(obs: Any) -> Any:
    return obs.cpu().numpy() if isinstance(obs, Tensor) else obs


def as_single(what: str | EnvSpec, max_episode_steps: int | None = None) -> str | EnvSpec:
    """What `gymnasium.make` takes for a task, one lane of it where there is only a vector environment.

    Args:
        what: As `found` returns it.
        max_episode_steps: Time limit in steps, in place of the task's own.
    """
    spec = gym.registry.get(what) if isinstance(what, str) else what
    if spec is None or spec.entry_point is not None or spec.vector_entry_point is None:
        return what
    spec = dataclasses.replace(spec, max_episode_steps=max_episode_steps or spec.max_episode_steps)
    return dataclasses.replace(spec, entry_point=functools.partial(OneLane, spec))
