"""torch.compile, as the engine uses it: one graph for any number of lanes, small or large."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

PARALLEL_FROM = 4096
"""Lanes from which the generated loop is worth more than one thread."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of `Lanes` and coefficients of lanes or groups of them, compiled for any number of lanes.

    Whether a loop runs in parallel is decided when it is compiled, so few lanes and many get functions of their own.
    """
    options: dict[str, Any] = {"fullgraph": True}
    if "isolate_recompiles" in inspect.signature(torch.compile).parameters:
        options["isolate_recompiles"] = True
    few, many = torch.compile(function, **options), torch.compile(function, **options)
    known: set[bool] = set()

    def call(lanes: Any, coefficients: Any, *rest: Any) -> Any:
        is_many = lanes.numbers.shape[1] >= PARALLEL_FROM
        if is_many not in known:
            # Sizes are free, everything else is constant: so numbers of the task's physics stay numbers.
            of_lanes = [*lanes.others, *lanes.memory, lanes.keys]
            rows = [lanes.numbers]
            (rows if isinstance(coefficients, Tensor) else of_lanes).extend(tree_leaves(coefficients))
            for tensors, axis in ((of_lanes, 0), (rows, 1)):
                for tensor in tensors:
                    torch._dynamo.maybe_mark_dynamic(tensor, axis)
            known.add(is_many)
        return (many if is_many else few)(lanes, coefficients, *rest)

    return call
