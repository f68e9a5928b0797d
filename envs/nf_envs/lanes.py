"""The vector view as pure functions: start episodes, step, start the next ones.

`Lanes` is all the memory between steps. Each function is one graph for `torch.compile`.
Results are not made by `_replace`, because torch 2.11 cannot return them from a graph.
"""

import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nf_envs.base import Task
from nf_envs.randomness import uniforms, uniforms_at_once

_ENVS_FOR_THREADS = 4096
"""Number of environments from which several threads speed up a compiled step on a CPU."""
_STORES_BYTES = torch.__version__ >= "2.13"
"""Torch 2.11 cannot compile what sees bytes as bool."""


class Lanes(NamedTuple):
    """Environments side by side; all tensors (num_envs,)."""

    state: Any
    keys: Tensor
    """Key of the lane's random numbers, int32."""
    episodes: Tensor
    """Number of the lane's episode, int32."""
    steps: Tensor
    """Steps taken in the episode, int32."""
    over: Tensor
    """Whether the episode is over and the next has not begun."""


class Outcome(NamedTuple):
    """The result of a step of all lanes."""

    lanes: Lanes
    obs: Tensor
    """(num_envs, observation_size); of the new episode where a lane has just begun one."""
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final_obs: Tensor
    """Before any new episode. (num_envs, observation_size)"""
    info: dict[str, Any]
    final_info: dict[str, Any]


def where(mask: Tensor, yes: Any, no: Any) -> Any:
    """The lanes of `yes` where the mask (num_envs,) is true, else those of `no`."""
    if isinstance(no, Tensor):
        return torch.where(mask.reshape(mask.shape + (1,) * (no.dim() - mask.dim())), yes, no)
    parts = [where(mask, a, b) for a, b in zip(yes, no, strict=True)]
    return type(no)(*parts) if hasattr(no, "_fields") else tuple(parts)


def start(
    task: Task[Any], keys: Tensor, episodes: Tensor, params: Any, dtype: torch.dtype, physical: Any = None
) -> tuple[Lanes, Tensor]:
    """Begin an episode in every lane.

    Args:
        task: The functional core.
        keys: int32 (num_envs,), from `randomness.lane_keys`.
        episodes: Number of each lane's episode; int32 (num_envs,).
        params: Constants.
        dtype: Of the state.
        physical: A state of `task.physics` to start from, instead of a random one.
    Returns: Lanes, and observations (num_envs, observation_size).
    """
    zeros = torch.zeros_like(episodes)
    drawn = uniforms if task.compilable else uniforms_at_once
    rng = drawn(keys, episodes, zeros, task.draws.initial, dtype)
    state = task.initial(rng, params) if physical is None else task.begin(physical, rng, params)
    lanes = Lanes(state, keys, episodes, zeros, torch.zeros_like(episodes, dtype=torch.bool))
    return lanes, task.observation(state, (), params)


def begin(
    task: Task[Any], lanes: Lanes, which: Tensor, keys: Tensor, episodes: Tensor, params: Any, dtype: Any, physical: Any
) -> Lanes:
    """Begin an episode, as `start` does, in the lanes `which` (num_envs,); the others keep their state."""
    return where(which, start(task, keys, episodes, params, dtype, physical)[0], lanes)


def restart(
    task: Task[Any], lanes: Lanes, obs: Tensor, which: Tensor, params: Any, dtype: torch.dtype
) -> tuple[Lanes, Tensor]:
    """Begin the next episode in the lanes `which` (num_envs,); the others keep their state and observation."""
    fresh, fresh_obs = start(task, lanes.keys, lanes.episodes + 1, params, dtype)
    return where(which, fresh, lanes), where(which, fresh_obs, obs)


def advance(task: Task[Any], lanes: Lanes, action: Tensor, params: Any, limit: int, dtype: torch.dtype) -> Outcome:
    """Step every lane and begin no episode. The time limit truncates."""
    used = task.draws.initial + lanes.steps * task.draws.transition
    drawn = uniforms if task.compilable else uniforms_at_once
    rng = drawn(lanes.keys, lanes.episodes, used, task.draws.transition, dtype) if task.draws.transition else ()
    state = task.transition(lanes.state, action, rng, params)
    reward = task.reward(lanes.state, action, state, rng, params)
    terminated = task.terminal(state, (), params)
    steps = lanes.steps + 1
    truncated = steps >= limit
    obs = task.observation(state, (), params)
    info = task.state_info(state, params)
    next_lanes = Lanes(state, lanes.keys, lanes.episodes, steps, terminated | truncated)
    return Outcome(next_lanes, obs, reward, terminated, truncated, obs, info, info)


def step_same(task: Task[Any], lanes: Lanes, action: Tensor, params: Any, limit: int, dtype: torch.dtype) -> Outcome:
    """Step, and begin the next episode within the same step (Gymnasium's SAME_STEP)."""
    out = advance(task, lanes, action, params, limit, dtype)
    lanes, obs = restart(task, out.lanes, out.obs, out.lanes.over, params, dtype)
    info = task.state_info(lanes.state, params)
    return Outcome(lanes, obs, out.reward, out.terminated, out.truncated, out.final_obs, info, out.final_info)


def step_next(task: Task[Any], lanes: Lanes, action: Tensor, params: Any, limit: int, dtype: torch.dtype) -> Outcome:
    """Step; a finished lane begins its next episode instead (Gymnasium's NEXT_STEP)."""
    out = advance(task, lanes, action, params, limit, dtype)
    begun, obs = restart(task, lanes, out.obs, lanes.over, params, dtype)
    after = where(lanes.over, begun, out.lanes)
    reward = torch.where(lanes.over, 0.0, out.reward)
    terminated, truncated = out.terminated & ~lanes.over, out.truncated & ~lanes.over
    info = task.state_info(after.state, params)
    return Outcome(after, obs, reward, terminated, truncated, out.final_obs, info, out.final_info)


def step_paused(task: Task[Any], lanes: Lanes, action: Tensor, params: Any, limit: int, dtype: torch.dtype) -> Outcome:
    """Step; a finished lane earns 0 until it is reset (Gymnasium's DISABLED)."""
    out = advance(task, lanes, action, params, limit, dtype)
    held = where(lanes.over, lanes, out.lanes)
    obs, info = task.observation(held.state, (), params), task.state_info(held.state, params)
    reward = torch.where(lanes.over, 0.0, out.reward)
    # A waiting lane keeps the flags with which its episode ended.
    terminated, truncated = task.terminal(held.state, (), params), held.steps >= limit
    return Outcome(held, obs, reward, terminated, truncated, out.final_obs, info, out.final_info)


def lane(state: Any, i: int) -> Any:
    """The state of one environment, shape (1,) each."""
    if isinstance(state, Tensor):
        return state[i : i + 1]
    parts = [lane(part, i) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def compiled(step: Any, num_envs: int) -> Any:
    """A step compiled into one graph; each view has its own cache where torch allows it."""
    known = inspect.signature(torch.compile).parameters
    # On a CPU everything is one loop; -1 stands for as many threads as torch has.
    loop = {"max_fusion_size": 1000, "cpp.threads": -1 if num_envs >= _ENVS_FOR_THREADS else 1}
    options: dict[str, Any] = {"fullgraph": True, "dynamic": False, "options": loop}
    if "isolate_recompiles" in known:
        options["isolate_recompiles"] = True
    return torch.compile(step, **options)


def compiled_step(step: Any, num_envs: int, device: torch.device) -> Any:
    """One of this module's steps, compiled.

    Torch stores vectors of bool on a CPU one entry at a time, but bytes at once: its flags are stored as bytes there.
    """
    return compiled(_storing_bytes(step) if device.type == "cpu" and _STORES_BYTES else step, num_envs)


def _storing_bytes(step: Any) -> Any:
    def flags(mask: Tensor) -> Tensor:
        return as_bytes(mask).view(torch.bool)  # nothing more can be computed from these in the same graph

    def stepped(*arguments: Any) -> Outcome:
        now, obs, reward, terminated, truncated, *rest = step(*arguments)
        stored = Lanes(now.state, now.keys, now.episodes, now.steps, flags(now.over))
        return Outcome(stored, obs, reward, flags(terminated), flags(truncated), *rest)

    return stepped


def as_bytes(mask: Tensor) -> Tensor:
    """1 where the mask is true, uint8."""
    return torch.where(mask, 1.0, 0.0).to(torch.uint8)
