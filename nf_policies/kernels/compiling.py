"""torch.compile as this package uses it: one graph for any number of environments, with few guards."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nf_policies.kernels.cache import keep_torchs_to_ourselves
from nf_policies.memory import out_of_memory
from nf_policies.wording import in_short

PARALLEL_FROM = 4096
"""Environments from which the generated loop is worth more than one thread."""
GUARDS = ("TENSOR_MATCH", "SHAPE_ENV", "DUPLICATE_INPUT", "GLOBAL_STATE", "DEFAULT_DEVICE")
"""Guards that are kept, for each costs time in every call: shapes and dtypes of tensors, whether two arguments are one
tensor, grad mode, default dtype and device. What is compiled belongs to one owner, whose policy does not change."""
VALUES = ("CONSTANT_MATCH", "EQUALS_MATCH")
ISOLATES = "isolate_recompiles" in inspect.signature(torch.compile).parameters


def watched(guard: Any) -> bool:
    """Whether a guard is kept: one of `GUARDS`, or on a constant or the time limit of the task."""
    of_task = ".params." in guard.name or guard.name.endswith(".max_episode_steps")
    return guard.guard_type in GUARDS or (guard.guard_type in VALUES and of_task)


def compile_torch(function: Callable[..., Any], **how: Any) -> Callable[..., Any]:
    """`torch.compile`, which reads code only from a folder that is the user's alone."""
    keep_torchs_to_ourselves()
    return torch.compile(function, **how)


def options(num_envs: int) -> dict[str, Any]:
    """Of torch.compile, for a function of so many environments: all in one loop, on a CPU by one thread or by all."""
    inductor: dict[str, Any] = {
        "max_fusion_size": 1000,
        "cpp.threads": -1 if num_envs >= PARALLEL_FROM else 1,
        "size_asserts": False,  # the guards have looked at both
        "alignment_asserts": False,
    }
    if not ISOLATES:
        return {"fullgraph": True, "options": inductor}
    inductor["guard_filter_fn"] = lambda guards: [watched(guard) for guard in guards]
    return {"fullgraph": True, "isolate_recompiles": True, "options": inductor}


def where_possible(
    fast: Callable[..., Any], slow: Callable[..., Any], otherwise: Callable[[], None] = lambda: None
) -> Callable[..., Any]:
    """A compiled function; or the plain one, after a warning and `otherwise()`, if the first call of it fails.

    Running out of memory is no failure to compile: it is raised.
    """
    works: list[bool] = []

    def call(*arguments: Any) -> Any:
        if not works:
            try:
                result = fast(*arguments)
            except Exception as error:
                if out_of_memory(error):
                    raise
                works.append(False)
                otherwise()
                reason = in_short(error, 200)
                warnings.warn(f"Compiling is not possible here, so steps run one by one: {reason}", stacklevel=2)
            else:
                works.append(True)
                return result
        return (fast if works[0] else slow)(*arguments)

    return call


STEPS_MAX, OPERATIONS_MAX = 20, 2000
"""Bounds of what goes into one compiled call: more steps are faster, and take longer to compile."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`Fused.advance` with a fixed number of steps, compiled for any number of episodes.

    Few episodes run in one thread and many in several, which is fixed by compiling; what serves many also serves fewer.
    """
    known: dict[tuple[bool, bool], Callable[..., Any]] = {}

    def call(episodes: Any, coefficients: Any, normal: Any, t: Any) -> Any:
        n = episodes.numbers.shape[1]
        many = n >= PARALLEL_FROM or (True, normal is None) in known
        kind = many, normal is None
        if kind not in known:
            known[kind] = compile_torch(function, **options(n))
            # Sizes are free, everything else is constant: so numbers of the task's physics stay numbers.
            first_axis = [*episodes.others, *episodes.memory, episodes.keys]
            rows = [episodes.numbers]
            (rows if isinstance(coefficients, Tensor) else first_axis).extend(tree_leaves(coefficients))
            for tensors, axis in ((first_axis, 0), (rows, 1)):
                for tensor in tensors:
                    if tensor is not None:
                        torch._dynamo.maybe_mark_dynamic(tensor, axis)
        return known[kind](episodes, coefficients, normal, t)

    return call


def steps_per_call(operations: int) -> int:
    """How many steps go into one compiled call, from the operations of one."""
    return min(max(OPERATIONS_MAX // operations, 1), STEPS_MAX)


class Operations(TorchDispatchMode):
    """Counts the operations on tensors that run inside a `with`."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))
