"""Which numbers of a task a policy and its learner can use: the one check of evolution, training and rollouts."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

LARGEST = 1e15
"""Of observations and rewards: sums of squares over a million steps still fit into float32."""
DEMAND = f"a task must return finite numbers, at most {LARGEST:g} in size"

ACTION_PROBLEM = "An action of the policy is not finite: its parameters are too large."


def usable(values: Any) -> Any:
    """Where an array or a tensor is finite and not too large; a bool for each entry."""
    return abs(values) <= LARGEST


def problem_of(what: str, value: float) -> str:
    """A sentence about a number that cannot be used."""
    return f"{what} is {value:g}: {DEMAND}."


def check_numbers(
    what: str, values: Tensor | Mapping[str, Tensor], step: int | None = None, rows: Sequence[Tensor] = ()
) -> None:
    """Refuse what cannot be used in a rollout, or of some of its steps.

    Args:
        what: Name of the values.
        values: Shape: (n_steps, num_envs, ·); (num_envs, ·) of a `step`; or (n, ·) of `rows`.
        step: Of the rollout, if all are of one.
        rows: Indices of step and environment of each row, each (n,).
    Raises: ValueError naming the first number.
    """
    if isinstance(values, Mapping):
        for key, value in values.items():
            check_numbers(f"{what} {key!r}", value, step, rows)
    elif values.is_floating_point() and not torch.linalg.vector_norm(values, torch.inf) <= LARGEST:  # fast
        bad = tuple((~usable(values)).nonzero()[0].tolist())
        place = [int(index[bad[0]]) for index in rows] or [*(() if step is None else (step,)), *bad[:2]]
        raise ValueError(
            problem_of(f"The {what} of environment {place[1]} at step {place[0]} of the rollout", float(values[bad]))
        )


def check_returns(returns: Tensor) -> None:
    """Refuse, with a TypeError, what are not the returns (n,) of at least one episode."""
    if (
        returns.dim() != 1
        or returns.dtype != torch.float64
        or not len(returns)
        or not (returns.abs() <= LARGEST**2).all()
    ):
        raise TypeError("its returns are no sums of rewards")
