"""A task as a `gymnasium.vector.VectorEnv` on tensors of one device."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from nf_envs import busy_lanes, lanes
from nf_envs.base import Task, with_constants
from nf_envs.building import about_task, build, changed_constants, given_state
from nf_envs.checks import autoreset_mode_of, check_actions, check_compilable, device_of
from nf_envs.pictures import Painter
from nf_envs.randomness import lane_keys, uniforms

_STEPS = {
    AutoresetMode.SAME_STEP: "step_same",
    AutoresetMode.NEXT_STEP: "step_next",
    AutoresetMode.DISABLED: "step_paused",
}
"""Names of functions of `lanes`, and of `busy_lanes`."""
_NO_LIMIT = 2**31 - 1


class TensorVectorEnv(VectorEnv[Tensor, Tensor, Tensor]):
    """Environments of one task side by side; observations, actions, rewards and flags are tensors of a device.

    A step copies nothing to another device, except one flag if actions are checked. `info` holds the task's own
    entries as tensors (num_envs,). In the autoreset mode SAME_STEP it also holds `final_obs` and `final_info` of all
    lanes; `_final_obs` and `_final_info` (num_envs,) are true where an episode ended in this step. In the mode
    DISABLED a finished lane ignores its action and earns 0 until it is reset. `metadata["autoreset_mode"]` states the
    mode.

    Args:
        num_envs: Number of environments.
        task: A `Task`, a class of one, or its import path "module:Class".
        max_episode_steps: Steps after which an episode is truncated; None for no limit.
        device: Device of all tensors, as torch names it.
        dtype: Of the physics; by default that of observations and rewards, which the observation space decides.
        autoreset_mode: When the next episode follows a finished one.
        compile: Compile the step with `torch.compile`; the first step then takes seconds.
        check_actions: Refuse actions outside the space. On a GPU this waits for the device in each step.
        render_mode: "rgb_array" for pictures.
        about: Further entries of `metadata`: what the task asks, and its reference.
        options: Constants and sensors, as for `nf_envs.build`.
    Raises: ValueError if this machine has no such device, if a task of another library is to be compiled or leave the
        CPU, or as `nf_envs.build`.
    """

    metadata = {"render_modes": ["rgb_array"], "autoreset_mode": AutoresetMode.SAME_STEP, "torch": True}  # noqa: RUF012
    # With these two, a loop of your own can play `func_env` through the same episodes as this view.
    lane_keys = staticmethod(lane_keys)
    uniforms = staticmethod(uniforms)

    def __init__(
        self,
        num_envs: int = 1,
        task: Any = None,
        max_episode_steps: int | None = None,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
        compile: bool = False,
        check_actions: bool = True,
        render_mode: str | None = None,
        about: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, not {num_envs}.")
        self.func_env: Task[Any] = build(task, **options)
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self.device = device_of(device)
        check_compilable(self.func_env, compile, self.device)
        self.numbers = torch.float64 if self.func_env.observation_space.dtype == np.float64 else torch.float32
        self.dtype = self.numbers if dtype is None else dtype
        self.check_actions = check_actions
        self.render_mode = render_mode
        mode = autoreset_mode_of(autoreset_mode)
        shown = about_task(self.func_env, about, render_mode, ["rgb_array"])
        self.metadata = {**shown, "autoreset_mode": mode, "torch": True}
        self.single_observation_space = copy.deepcopy(self.func_env.observation_space)
        self.single_action_space = copy.deepcopy(self.func_env.action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.params = self.func_env.default_params
        self.lanes: lanes.Lanes | None = None
        self._how: Any = lanes if self.func_env.compilable else busy_lanes
        self._plain_step = getattr(self._how, _STEPS[mode])
        self._step = lanes.compiled_step(self._plain_step, num_envs, self.device) if compile else self._plain_step
        self._compiled = compile
        self._same_step = mode is AutoresetMode.SAME_STEP
        self._painter: Painter | None = None

    @torch.no_grad()
    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """Begin an episode in all lanes or in some of them.

        Args:
            seed: One number, which gives lane i the seed `seed + i`, or one per lane. A lane's episodes follow from
                its seed alone; a lane without a seed goes on to its next episode.
            options: `reset_mask` (num_envs,) bool, the lanes to reset; `constants`, a dict of physical constants,
                each a number or (num_envs,), kept until the next reset of all lanes; `state`, a state of the physics
                to start from, each entry a number or (num_envs,).
        Returns: Observations (num_envs, observation_size) of all lanes, and info.
        Raises: ValueError if an option is unknown or does not fit.
        """
        options = dict(options or {})
        mask = self._mask(options.pop("reset_mask", None))
        changes = options.pop("constants", None)
        physical = options.pop("state", None)
        if options:
            raise ValueError(f"Unknown reset option {next(iter(options))!r}: known are reset_mask, constants, state.")
        if mask is not None and self.lanes is None:
            raise ValueError("reset_mask needs running environments: reset all of them first.")
        self._set_constants(mask, changes or {})
        keys, episodes = self._next_episodes(seed)
        given = None if physical is None else self._state(physical)
        if mask is not None and self.lanes is not None:
            old = self.lanes
            fresh = self._how.begin(self.func_env, old, mask, keys, episodes, self.params, self.dtype, given)
            obs = self.func_env.observation(fresh.state, (), self.params)
        else:
            fresh, obs = lanes.start(self.func_env, keys, episodes, self.params, self.dtype, given)
        self.lanes = fresh
        return obs.to(self.numbers), dict(self.func_env.state_info(fresh.state, self.params))

    @torch.no_grad()
    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]:
        """Step every lane.

        Args:
            actions: Integers (num_envs,) for a Discrete space, else (num_envs, action_size).
        Returns: Observations (num_envs, observation_size) and rewards (num_envs,), terminated and truncated
            (num_envs,), info.
        Raises: ValueError if an action is outside the space or not finite.
        """
        if self.lanes is None:
            raise ValueError("Reset the environments before the first step.")
        actions = torch.as_tensor(actions, device=self.device)
        if self.check_actions:
            check_actions(actions, self.single_action_space, self.num_envs)
        self.lanes, *answer = self._taken(self._step, self.lanes, actions)
        return tuple(answer)

    def pure_step(self, lanes: lanes.Lanes, actions: Tensor) -> tuple[Any, ...]:
        """`step` as a pure function of tensors, for loops of your own to compile: no checks, no memory.

        A subclass that overrides `step` should override this too.

        Args:
            lanes: `self.lanes`, made by a reset; the caller may set it.
            actions: As for `step`.
        Returns: The lanes after the step, followed by the results of `step`.
        """
        return self._taken(self._plain_step, lanes, actions)

    def _taken(self, step: Any, before: lanes.Lanes, actions: Tensor) -> tuple[Any, ...]:
        limit = self.max_episode_steps or _NO_LIMIT
        out = step(self.func_env, before, actions, self.params, limit, self.dtype)
        info = dict(out.info)
        if self._same_step:
            ended = out.terminated | out.truncated
            info |= {"final_obs": out.final_obs.to(self.numbers), "_final_obs": ended}
            info |= {"final_info": dict(out.final_info), "_final_info": ended}
        obs, reward = out.obs.to(self.numbers), out.reward.to(self.numbers)
        return out.lanes, obs, reward, out.terminated, out.truncated, info

    def stagger(self) -> Tensor:
        """Let running episodes meet the time limit in turn: of it, i / num_envs counts as taken in lane i.

        Where all begin at once, the few steps between two updates of a learner are the same part of every episode. This
        is for after a reset of all lanes.

        Returns: Whether an episode is shorter for it (num_envs,).
        Reference: Bharthulwar, Tao and Su (2025), Staggered Environment Resets Improve Massively Parallel On-Policy
        Reinforcement Learning.
        """
        if self.lanes is None:
            raise ValueError("Reset the environments before their episodes are staggered.")
        taken = torch.arange(self.num_envs, device=self.device) * (self.max_episode_steps or 0) // self.num_envs
        self.lanes = self.lanes._replace(steps=taken.to(self.lanes.steps.dtype))
        return taken > 0

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A picture (height, width, 3) of every environment."""
        if self.render_mode is None or self.lanes is None:
            return None
        self._painter = self._painter or Painter(self.func_env, "rgb_array")
        frames = (self._painter.show(lanes.lane(self.lanes.state, i)) for i in range(self.num_envs))
        return tuple(frame for frame in frames if frame is not None)

    def close_extras(self, **kwargs: Any) -> None:
        """Close the painter of the pictures."""
        if self._painter is not None:
            self._painter.close()

    def _next_episodes(self, seed: int | Sequence[int | None] | None) -> tuple[Tensor, Tensor]:
        if isinstance(seed, int | np.integer):
            super().reset(seed=int(seed))
        if seed is None and self.lanes is not None:
            return self.lanes.keys, self.lanes.episodes + 1
        if seed is None:
            seed = int(self.np_random.integers(2**31))
        seeds = [int(seed) + i for i in range(self.num_envs)] if isinstance(seed, int | np.integer) else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments need {self.num_envs} seeds, not {len(seeds)}.")
        given = torch.tensor([s is not None for s in seeds], device=self.device)
        keys = lane_keys([0 if s is None else s for s in seeds], self.device)
        episodes = torch.zeros(self.num_envs, dtype=torch.int32, device=self.device)
        if self.lanes is None:
            if not given.all():
                raise ValueError("Before the first reset every environment needs a seed, or none.")
            return keys, episodes
        return torch.where(given, keys, self.lanes.keys), torch.where(given, episodes, self.lanes.episodes + 1)

    def _mask(self, mask: Any) -> Tensor | None:
        if mask is None:
            return None
        mask = torch.as_tensor(mask, device=self.device)
        if mask.shape != (self.num_envs,) or mask.dtype != torch.bool:
            raise ValueError(f"reset_mask must be {self.num_envs} booleans, not {mask.dtype} of shape {[*mask.shape]}.")
        return mask

    def _lane_values(self, name: str, value: Any) -> Tensor:
        value = torch.as_tensor(value, dtype=self.dtype, device=self.device)
        if value.shape not in ((), (self.num_envs,)):
            raise ValueError(f"{name} must be one number or {self.num_envs}, not an array of shape {[*value.shape]}.")
        return value.expand(self.num_envs).contiguous()

    def _set_constants(self, mask: Tensor | None, changes: dict[str, Any]) -> None:
        base = self.func_env.default_params if mask is None else self.params
        if not changes:
            self.params = base
            return
        # A compiled step contains its numbers and is compiled again when one changes; tensors are passed in.
        keep = () if self._compiled else (int, float)
        values = {
            k: v if hasattr(v, "low") or isinstance(v, keep) else self._lane_values(k, v) for k, v in changes.items()
        }
        params = changed_constants(self.func_env, base, values)
        if mask is not None:
            old = {k: getattr(base, k) for k in changes}
            if any(hasattr(v, "low") for v in [*old.values(), *values.values()]):
                raise ValueError("Random constants can be set in all lanes, not under a reset_mask.")
            both = {k: (self._lane_values(k, values[k]), self._lane_values(k, old[k])) for k in changes}
            name = type(self.func_env.physics).__name__
            params = with_constants(name, base, {k: torch.where(mask, new, was) for k, (new, was) in both.items()})
        self.params = params

    def _state(self, physical: Any) -> Any:
        rng = (torch.zeros(self.num_envs, dtype=self.dtype, device=self.device),) * self.func_env.draws.initial
        like = self.func_env.initial(rng, self.params)
        return given_state(self.func_env, like, physical, self._entry)

    def _entry(self, name: str, value: Any) -> Tensor:
        values = self._lane_values(f"The entry {name} of a state", value)
        if not torch.isfinite(values).all():
            raise ValueError(f"The entry {name} of a state must be finite, not {value}.")
        return values
