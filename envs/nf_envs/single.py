"""A task as a `gymnasium.Env`: one environment, NumPy in and out, with a picture."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Discrete

from nf_envs.base import Task, with_constants
from nf_envs.build import build
from nf_envs.pictures import Painter


class SingleEnv(gym.Env[np.ndarray, Any]):
    """One environment of a task, in float64 as Gymnasium's own are.

    Random numbers come from `np_random` in the order of Gymnasium's tasks, so that a twin of one starts from the same
    states with the same seeds.

    Args:
        task: A `Task`, a class of one, or its import path "module:Class".
        render_mode: "human" or "rgb_array".
        options: What is done to the task, as for `nf_envs.build`.
    Raises: ValueError as `nf_envs.build`.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 50}  # noqa: RUF012

    def __init__(self, task: Any = None, render_mode: str | None = None, **options: Any) -> None:
        self.func_env: Task[Any] = build(task, **options)
        self.observation_space = copy.deepcopy(self.func_env.observation_space)
        self.action_space = copy.deepcopy(self.func_env.action_space)
        self.metadata = {**type(self).metadata, "render_fps": round(1 / self.func_env.dt)}
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
        Raises: ValueError if an option is not known or does not fit.
        """
        super().reset(seed=seed)
        options = dict(options or {})
        name = type(self.func_env.physics).__name__
        self.params = with_constants(name, self.func_env.default_params, options.pop("constants", None) or {})
        physical = options.pop("state", None)
        if options:
            raise ValueError(f"Unknown reset option {next(iter(options))!r}: known are constants, state.")
        rng = self._draw(self.func_env.draws.initial)
        self.state = self.func_env.initial(rng, self.params)
        if physical is not None:
            like = self.func_env.physical(self.state)
            if len(physical) != len(like):
                raise ValueError(f"The state must have {len(like)} entries: {', '.join(like._fields)}.")
            entries = (torch.as_tensor([float(x)]).to(old) for x, old in zip(physical, like, strict=True))
            self.state = self.func_env.begin(type(like)(*entries), rng, self.params)
        self._last_action = None
        if self.render_mode == "human":
            self.render()
        return self._obs(), self._info()

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one step; `gymnasium.make` adds the time limit.

        Raises: ValueError if the action is outside the space, or there is no episode.
        """
        if self.state is None:
            raise ValueError("Reset the environment before the first step.")
        discrete = isinstance(self.action_space, Discrete)
        array = np.asarray(action)
        if not self.action_space.contains(int(array) if discrete and array.shape == () else array.astype(np.float32)):
            raise ValueError(f"The action is {action}, outside {self.action_space}.")
        tensor = torch.as_tensor(array, dtype=torch.int64 if discrete else torch.float64)[None]
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

    def _draw(self, n: int) -> tuple[torch.Tensor, ...]:
        return torch.as_tensor(self.np_random.random(n))[:, None].unbind()

    def _obs(self) -> np.ndarray:
        obs: np.ndarray = self.func_env.observation(self.state, (), self.params)[0].to(torch.float32).numpy()
        return obs

    def _info(self) -> dict[str, Any]:
        return _scalars(self.func_env.state_info(self.state, self.params))


def _scalars(info: dict[str, Any]) -> dict[str, Any]:
    return {k: _scalars(v) if isinstance(v, dict) else v.item() for k, v in info.items()}
