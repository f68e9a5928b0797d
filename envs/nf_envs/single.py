"""A task as a `gymnasium.Env`: one environment, NumPy in and out, with a picture."""

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Discrete

from nf_envs.base import Task, filled
from nf_envs.building import about_task, build, changed_constants, given_state
from nf_envs.pictures import Painter


class SingleEnv(gym.Env[np.ndarray, Any]):
    """One environment of a task, in float64 like Gymnasium's own.

    Random numbers come from `np_random` in the order of Gymnasium's tasks, so that a twin starts from the same states
    with the same seeds.

    Args:
        task: A `Task`, a class of one, or its import path "module:Class".
        render_mode: "human" or "rgb_array".
        about: Further entries of `metadata`: what the task asks, and its reference.
        options: Constants and sensors, as for `nf_envs.build`.
    Raises: ValueError as `nf_envs.build`.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 50}  # noqa: RUF012

    def __init__(
        self,
        task: Any = None,
        render_mode: str | None = None,
        about: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.func_env: Task[Any] = build(task, **options)
        self.observation_space = copy.deepcopy(self.func_env.observation_space)
        self.action_space = copy.deepcopy(self.func_env.action_space)
        self.observation_names = self.func_env.observation_names
        self.action_names = filled(self.func_env.action_names, self.func_env.default_params)
        self.metadata = about_task(self.func_env, about, render_mode, ["human", "rgb_array"])
        self.render_mode = render_mode
        self.params = self.func_env.default_params
        self.state: Any = None
        self._last_action: Any = None
        self._painter: Painter | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: Of all random numbers from now on.
            options: `constants`, a dict of physical constants for this episode; `state`, a state of the physics to
                start from, as numbers.
        Raises: ValueError if an option is unknown or does not fit.
        """
        super().reset(seed=seed)
        options = dict(options or {})
        changes = options.pop("constants", None) or {}
        physical = options.pop("state", None)
        if options:
            raise ValueError(f"Unknown reset option {next(iter(options))!r}: known are constants, state.")
        self.params = changed_constants(self.func_env, self.func_env.default_params, changes)
        rng = self._draw(self.func_env.draws.initial)
        self.state = self.func_env.initial(rng, self.params)
        if physical is not None:
            given = given_state(self.func_env, self.state, physical, self._one_number)
            self.state = self.func_env.begin(given, rng, self.params)
        self._last_action = None
        if self.render_mode == "human":
            self.render()
        return self._obs(), self._info()

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one step; `gymnasium.make` adds the time limit.

        Raises: ValueError if the action is outside the space, or no episode has begun.
        """
        if self.state is None:
            raise ValueError("Reset the environment before the first step.")
        discrete = isinstance(self.action_space, Discrete)
        array = np.asarray(action)
        numbers = array.dtype.kind in ("iu" if discrete else "iuf")
        if not numbers or not self.action_space.contains(array if discrete else array.astype(np.float32)):
            raise ValueError(f"The action is {action}, outside {self.action_space}.")
        tensor = torch.as_tensor(array.astype(np.int64 if discrete else np.float64))[None]
        rng = self._draw(self.func_env.draws.transition)
        with torch.no_grad():
            state = self.func_env.transition(self.state, tensor, rng, self.params)
            reward = self.func_env.reward(self.state, tensor, state, rng, self.params).item()
            terminated = bool(self.func_env.terminal(state, (), self.params).item())
        self.state, self._last_action = state, array
        if self.render_mode == "human":
            self.render()
        return self._obs(), reward, terminated, False, self._info()

    def render(self) -> np.ndarray | None:
        """A picture (height, width, 3), or a window."""
        if self.render_mode is None or self.state is None:
            return None
        self._painter = self._painter or Painter(self.func_env, self.render_mode)
        return self._painter.show(self.state, self._last_action)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._painter is not None:
            self._painter.close()
            self._painter = None

    def _one_number(self, name: str, value: Any) -> torch.Tensor:
        array = np.asarray(value, dtype=np.float64)
        if array.size != 1 or not np.isfinite(array).all():
            raise ValueError(f"The entry {name} of a state must be one finite number, not {value}.")
        return torch.as_tensor(array.reshape(1))

    def _draw(self, n: int) -> tuple[torch.Tensor, ...]:
        return torch.as_tensor(self.np_random.random(n))[:, None].unbind()

    def _obs(self) -> np.ndarray:
        seen = self.func_env.observation(self.state, (), self.params)[0].numpy()
        obs: np.ndarray = seen.astype(self.observation_space.dtype, copy=False)
        return obs

    def _info(self) -> dict[str, Any]:
        return _scalars(self.func_env.state_info(self.state, self.params))


def _scalars(info: dict[str, Any]) -> dict[str, Any]:
    return {k: _scalars(v) if isinstance(v, dict) else v.item() for k, v in info.items()}
