"""A batched task for the page: its functions in JavaScript, and what the page has to know about it."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, get_type_hints

import torch
from gymnasium.spaces import Discrete
from torch import Tensor
from torch.utils import _pytree as pytree

from nf_policies.playground.javascript import function
from nf_policies.tasks.batched import batched_twin, is_compilable, make_batched
from nf_policies.tasks.description import Task, task_of
from nf_policies.tasks.faults import TaskError

DOUBLE = torch.float64


class Part(NamedTuple):
    """Something of the page: what it is, as JSON values, and its functions."""

    about: dict[str, Any]
    script: str


def find_task(task: Task | str, max_episode_steps: int | None = None) -> Any:
    """A batched task, or that which equals a Gymnasium task, as a vector environment of one.

    Raises: TaskError if there is none, or if its physics is not made of functions of tensors.
    """
    task = task_of(task, max_episode_steps)
    batched = batched_twin(task)
    if batched is None or not is_compilable(batched):
        raise TaskError(
            f"The physics of {task} cannot be put on a page: that takes a batched task made of functions of tensors, "
            "and nf-policies envs lists those there are."
        )
    return make_batched(dataclasses.replace(task, env_id=batched))


def task_part(env_id: str, envs: Any) -> Part:
    """A task for the page, as `find_task` found it."""
    task = envs.func_env
    about = {
        "id": env_id,
        "asks": envs.metadata.get("asks", ""),
        "limit": envs.spec.max_episode_steps,
        "stepsPerSecond": task.pictures_per_second,
        "draws": task.draws._asdict(),
        "action": action_of(task.action_space),
        "kind": type(task.physics).__name__,
        "state": physical_entries(task),
        "constants": constants_of(task),
        "constantsSay": " ".join((task.constants.__doc__ or "").replace("`", "").split()),
    }
    return Part(about, script_of(task))


def script_of(task: Any) -> str:
    """The functions initial(r, c), transition(s, a, r, c), features(s, c), reward(s, a, z, r, c) and terminal(s, c).

    Arrays of numbers: s is a state and z the next, a an action, r random numbers, c the constants of `constants_of`.
    """
    params = task.default_params
    c = {entry["name"]: torch.tensor(entry["value"], dtype=DOUBLE) for entry in constants_of(task)}

    def given(constants: Mapping[str, Tensor]) -> Any:
        return dataclasses.replace(params, **constants)

    first, later = (tuple(torch.full((n, 1), 0.5, dtype=DOUBLE).unbind()) for n in task.draws)
    s = task.initial(first, given(c))
    a = an_action(task.action_space)
    texts = (
        function("initial", lambda r, c: task.initial(r, given(c)), r=first, c=c),
        function("transition", lambda s, a, r, c: task.transition(s, a, r, given(c)), s=s, a=a, r=later, c=c),
        function("features", lambda s, c: task.features(s, (), given(c)), s=s, c=c),
        function("reward", lambda s, a, z, r, c: task.reward(s, a, z, r, given(c)), s=s, a=a, z=s, r=later, c=c),
        function("terminal", lambda s, c: task.terminal(s, (), given(c)), s=s, c=c),
    )
    return "\n".join(texts)


def an_action(space: Any) -> Tensor:
    """An action of one lane."""
    if isinstance(space, Discrete):
        return torch.zeros(1, dtype=torch.int64)
    return torch.zeros(1, *space.shape, dtype=DOUBLE)


def action_of(space: Any) -> dict[str, Any]:
    """What the page has to know about an action space."""
    if isinstance(space, Discrete):
        return {"n": int(space.n), "start": int(space.start)}
    return {"low": space.low.flatten().tolist(), "high": space.high.flatten().tolist()}


def physical_entries(task: Any) -> dict[str, int]:
    """Where in a state, all numbers in a row, each entry of the physics begins."""
    draws = tuple(torch.full((task.draws.initial, 1), 0.5, dtype=DOUBLE).unbind())
    leaves, tree = pytree.tree_flatten(task.initial(draws, task.default_params))
    sizes = [leaf.numel() for leaf in leaves]
    places = [torch.full((1,), sum(sizes[:i])) for i in range(len(sizes))]
    physical = task.physical(pytree.tree_unflatten(places, tree))
    named = zip(physical._fields, physical, strict=True)
    return {name: int(pytree.tree_leaves(place)[0]) for name, place in named}


def constants_of(task: Any) -> list[dict[str, Any]]:
    """The constants that are numbers: name, value, the least that is allowed, and whether it is whole."""
    hints = get_type_hints(task.constants, include_extras=True)
    found = []
    for field in dataclasses.fields(task.default_params):
        value = getattr(task.default_params, field.name)
        if isinstance(value, float | int):
            (bounds,) = getattr(hints[field.name], "__metadata__", (None,))
            least = getattr(bounds, "least", -math.inf)
            found.append(
                {
                    "name": field.name,
                    "value": float(value),
                    "least": least if math.isfinite(least) else None,
                    "whole": bool(getattr(bounds, "whole", False)),
                }
            )
    return found
