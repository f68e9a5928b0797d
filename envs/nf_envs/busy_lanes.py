"""`lanes` for a task whose physics costs more than a look at the flags: no lane is stepped or started in vain.

Functions of the same names and results, for tasks that are not `compilable`.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from nf_envs.base import Task
from nf_envs.lanes import Lanes, Outcome, advance, start


def some(tree: Any, index: Tensor) -> Any:
    """Some lanes of a nested tuple of tensors, or of constants."""
    if isinstance(tree, Tensor):
        return tree[index] if tree.dim() else tree
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        values = {field.name: getattr(tree, field.name) for field in dataclasses.fields(tree)}
        return dataclasses.replace(tree, **{k: some(v, index) for k, v in values.items() if isinstance(v, Tensor)})
    if not isinstance(tree, tuple):
        return tree
    parts = [some(part, index) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


def put(tree: Any, index: Tensor, values: Any) -> Any:
    """The tree with other values in some lanes."""
    if isinstance(tree, Tensor):
        changed = tree.clone()
        changed[index] = values.to(changed.dtype)
        return changed
    parts = [put(part, index, value) for part, value in zip(tree, values, strict=True)]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


def begin(
    task: Task[Any], lanes: Lanes, which: Tensor, keys: Tensor, episodes: Tensor, params: Any, dtype: Any, physical: Any
) -> Lanes:
    """As `lanes.begin`."""
    index = which.nonzero().squeeze(1)
    physical = some(physical, index)
    fresh, _ = start(task, keys[index], episodes[index], some(params, index), dtype, physical)
    return put(lanes, index, fresh)


def restart(
    task: Task[Any], lanes: Lanes, obs: Tensor, which: Tensor, params: Any, dtype: torch.dtype
) -> tuple[Lanes, Tensor]:
    """As `lanes.restart`."""
    index = which.nonzero().squeeze(1)
    if not len(index):
        return lanes, obs
    fresh, fresh_obs = start(task, lanes.keys[index], lanes.episodes[index] + 1, some(params, index), dtype)
    return put(lanes, index, fresh), put(obs, index, fresh_obs)


def step_same(task: Task[Any], lanes: Lanes, action: Tensor, params: Any, limit: int, dtype: torch.dtype) -> Outcome:
    """As `lanes.step_same`."""
    out = advance(task, lanes, action, params, limit, dtype)
    after, obs = restart(task, out.lanes, out.obs, out.lanes.over, params, dtype)
    return out._replace(lanes=after, obs=obs, info=task.state_info(after.state, params))


def step_paused(task: Task[Any], lanes: Lanes, action: Tensor, params: Any, limit: int, dtype: torch.dtype) -> Outcome:
    """As `lanes.step_paused`."""
    index = (~lanes.over).nonzero().squeeze(1)
    if len(index) == len(action):
        return advance(task, lanes, action, params, limit, dtype)
    after, reward = lanes, torch.zeros(len(action), dtype=dtype)
    if len(index):
        part = advance(task, some(lanes, index), action[index], some(params, index), limit, dtype)
        after, reward = put(lanes, index, part.lanes), put(reward, index, part.reward)
    obs, info = task.observation(after.state, (), params), task.state_info(after.state, params)
    terminated, truncated = task.terminal(after.state, (), params), after.steps >= limit
    return Outcome(after, obs, reward, terminated, truncated, obs, info, info)


def step_next(task: Task[Any], lanes: Lanes, action: Tensor, params: Any, limit: int, dtype: torch.dtype) -> Outcome:
    """As `lanes.step_next`."""
    out = step_paused(task, lanes, action, params, limit, dtype)
    after, obs = restart(task, out.lanes, out.obs, lanes.over, params, dtype)
    terminated, truncated = out.terminated & ~lanes.over, out.truncated & ~lanes.over
    info = task.state_info(after.state, params)
    return out._replace(lanes=after, obs=obs, terminated=terminated, truncated=truncated, info=info)
