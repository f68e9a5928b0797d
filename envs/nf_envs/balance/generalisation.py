"""How many of 625 starts does a policy survive with two poles?

A solution of the damping task counts if it balances for 1,000 steps from at least 200 of them.

Reference: Gruau, Whitley and Pyeatt (1996), Genetic Programming 1996.
"""

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nf_envs.balance.double_pole import DoublePole, State

GRID = (0.05, 0.25, 0.5, 0.75, 0.95)
RANGES = (2.16, 1.35, 0.06283152, 0.15009752)
"""Greatest |x|, |x'|, |theta_1|, |theta_1'| of the starts, which are a grid over them."""


def generalisation_starts(dtype: torch.dtype = torch.float64, device: str | torch.device = "cpu") -> State:
    """The 625 starts; the short pole is upright and at rest. Entries (625,)."""
    grid = torch.tensor(list(itertools.product(GRID, repeat=4)), dtype=dtype, device=device)
    x, v, theta, omega = ((2 * grid - 1) * torch.tensor(RANGES, dtype=dtype, device=device)).unbind(-1)
    return State(x, v, theta, omega, torch.zeros_like(x), torch.zeros_like(x))


@torch.no_grad()
def generalisation(
    policy: Callable[[Tensor, Any], tuple[Tensor, Any]],
    memory: Any,
    *,
    observed: tuple[int, ...] = (0, 2, 4),
    steps: int = 1000,
    starts: State | None = None,
) -> Tensor:
    """Play from every start at once.

    Args:
        policy: From observations (625, observed) and its memory to actions (625, 1) within ±1 and its memory.
        memory: The policy's memory at the start of 625 episodes.
        observed: Entries of `DoublePole`'s observation that the policy sees; by default those without velocities.
        steps: Number of steps to survive.
        starts: Starts to use instead of the usual ones.
    Returns: Whether the poles stayed up to the end. Shape: (625,), bool.
    """
    task, state = DoublePole(), generalisation_starts() if starts is None else starts
    up = torch.ones_like(state.x, dtype=torch.bool)
    for _ in range(steps):
        action, memory = policy(task.observation(state)[:, list(observed)], memory)
        state = task.transition(state, action.to(state.x))
        up &= ~task.terminal(state)
        # A failed lane may overflow, which does no harm.
        state = State(*(torch.where(up, entry, 0.0) for entry in state))
    return up
