"""What the engine compiles: one graph for any number of lanes, small or large."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PARALLEL_FROM = 4096
"""Lanes from which the generated loop is worth more than one thread."""
LOOKED_AT = ("TENSOR_MATCH", "SHAPE_ENV", "DUPLICATE_INPUT")
"""Guards that are kept: what is compiled belongs to one owner, whose task and policy do not change. The last one tells
whether arguments are one and the same tensor, as the zeros of a start may be."""
ISOLATES = "isolate_recompiles" in inspect.signature(torch.compile).parameters


def options(lanes: int) -> dict[str, Any]:
    """Of torch.compile, for a function of so many lanes: everything in one loop, on a CPU by one thread or by all."""
    inductor: dict[str, Any] = {
        "max_fusion_size": 1000,
        "cpp.threads": -1 if lanes >= PARALLEL_FROM else 1,
        "size_asserts": False,  # which the guards have looked at
        "alignment_asserts": False,
    }
    if not ISOLATES:
        return {"fullgraph": True, "options": inductor}
    return {
        "fullgraph": True,
        "isolate_recompiles": True,
        "options": inductor | {"guard_filter_fn": lambda guards: [g.guard_type in LOOKED_AT for g in guards]},
    }


def where_possible(
    fast: Callable[..., Any], slow: Callable[..., Any], otherwise: Callable[[], None] = lambda: None
) -> Callable[..., Any]:
    """A compiled function, or after a warning the plain one if the first call of the compiled one fails.

    Args:
        fast: Compiled.
        slow: The same, plain.
        otherwise: Called once if it is to be the plain one.
    """
    works: list[bool] = []

    def call(*arguments: Any) -> Any:
        if not works:
            try:
                result = fast(*arguments)
            except Exception as error:
                works.append(False)
                otherwise()
                reason = " ".join(str(error).split())[:200]
                warnings.warn(f"Compiling is not possible here, so steps run one by one: {reason}", stacklevel=2)
            else:
                works.append(True)
                return result
        return (fast if works[0] else slow)(*arguments)

    return call


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
