"""torch.compile, as this package uses it: whole functions of tensors, and a plain one where compiling is impossible."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import torch

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
