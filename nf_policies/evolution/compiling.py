"""What the engine compiles: one graph for any number of lanes, small or large."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nf_policies.compiling import PARALLEL_FROM, options

STEPS_MAX, OPERATIONS_MAX = 20, 2000
"""Bounds of what goes into one compiled call: more steps are faster, and take longer to compile."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`Fused.advance` with a fixed number of steps, compiled for any number of lanes.

    Few lanes run in one thread and many in several, which is fixed when a function is compiled; it is part of the
    options, so that the compiler's cache on disk tells both apart. What is there for many serves few as well.
    """
    known: dict[tuple[bool, bool], Callable[..., Any]] = {}

    def call(lanes: Any, coefficients: Any, normal: Any, t: Any) -> Any:
        n = lanes.numbers.shape[1]
        many = n >= PARALLEL_FROM or (True, normal is None) in known
        kind = many, normal is None
        if kind not in known:
            known[kind] = torch.compile(function, **options(n))
            # Sizes are free, everything else is constant: so numbers of the task's physics stay numbers.
            of_lanes = [*lanes.others, *lanes.memory, lanes.keys]
            rows = [lanes.numbers]
            (rows if isinstance(coefficients, Tensor) else of_lanes).extend(tree_leaves(coefficients))
            for tensors, axis in ((of_lanes, 0), (rows, 1)):
                for tensor in tensors:
                    torch._dynamo.maybe_mark_dynamic(tensor, axis)
        return known[kind](lanes, coefficients, normal, t)

    return call


def steps_per_call(one_step: Callable[[], Any]) -> int:
    """How many steps of a task and a policy go into one compiled call, from the operations of one."""
    with Operations() as operations:
        one_step()
    return min(max(OPERATIONS_MAX // operations.count, 1), STEPS_MAX)


class Operations(TorchDispatchMode):
    """Counts the operations on tensors that run inside a `with`."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))
