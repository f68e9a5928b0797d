"""torch.compile, as the engine uses it: one graph for any number of lanes, small or large."""

import inspect
from collections.abc import Callable
from typing import Any

import torch

PARALLEL_FROM = 4096
"""Lanes from which the generated loop is worth more than one thread."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of `Lanes` and more, compiled for any number of lanes.

    Whether a loop runs in parallel is decided when it is compiled, so few lanes and many get functions of their own.
    """
    options: dict[str, Any] = {"fullgraph": True, "dynamic": True}
    if "isolate_recompiles" in inspect.signature(torch.compile).parameters:
        options["isolate_recompiles"] = True
    few, many = torch.compile(function, **options), torch.compile(function, **options)

    def call(lanes: Any, *rest: Any) -> Any:
        return (many if lanes.numbers.shape[1] >= PARALLEL_FROM else few)(lanes, *rest)

    return call
