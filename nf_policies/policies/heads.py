"""Action heads: from a field's outputs to the action of a Gymnasium space, deterministically.

Every head is a module from outputs (..., output_size) to actions (..., *space.shape).
"""

from typing import Any

import numpy as np
import torch
from gymnasium import Space, spaces
from torch import Tensor, nn

from nf_policies.policies.spaces import UnsupportedSpaceError

SQUASHES = ("tanh", "clip")


class Head(nn.Module):
    """The common part of all heads: how many outputs they read."""

    output_size: int


class DiscreteHead(Head):
    """One choice of n. The first action's logit is 0, so n - 1 outputs decide; two actions need one."""

    def __init__(self, space: spaces.Discrete) -> None:
        super().__init__()
        self.n, self.start = int(space.n), int(space.start)
        self.output_size = max(self.n - 1, 1)

    def forward(self, outputs: Tensor) -> Tensor:
        """The action with the largest logit. Shape: (...)."""
        return choose(outputs, self.n) + self.start


class MultiDiscreteHead(Head):
    """Several choices, n_i - 1 outputs each, side by side."""

    def __init__(self, space: spaces.MultiDiscrete) -> None:
        super().__init__()
        self.nvec = [int(n) for n in space.nvec.reshape(-1)]
        self.sizes = [max(n - 1, 1) for n in self.nvec]
        self.shape = space.shape
        self.output_size = sum(self.sizes)
        self.start: Tensor
        self.register_buffer("start", torch.as_tensor(space.start.reshape(-1)), persistent=False)

    def forward(self, outputs: Tensor) -> Tensor:
        """The actions with the largest logits. Shape: (..., *space.shape)."""
        parts = zip(outputs.split(self.sizes, dim=-1), self.nvec, strict=True)
        chosen = torch.stack([choose(logits, n) for logits, n in parts], dim=-1) + self.start
        return chosen.reshape(*outputs.shape[:-1], *self.shape)


class MultiBinaryHead(Head):
    """Independent switches: on where the output is positive."""

    def __init__(self, space: spaces.MultiBinary) -> None:
        super().__init__()
        self.shape = space.shape
        self.output_size = int(np.prod(space.shape))

    def forward(self, outputs: Tensor) -> Tensor:
        """Zeros and ones. Shape: (..., *space.shape)."""
        return (outputs > 0).to(torch.int8).reshape(*outputs.shape[:-1], *self.shape)


class BoxHead(Head):
    """Continuous actions: each output is squashed to [-1, 1], by tanh or by clipping, then scaled to the bounds."""

    def __init__(self, space: spaces.Box, squash: str = "tanh") -> None:
        super().__init__()
        if squash not in SQUASHES:
            raise ValueError(f"Unknown squash {squash!r}: choose {' or '.join(SQUASHES)}.")
        self.squash = squash
        self.shape = space.shape
        self.output_size = int(np.prod(space.shape))
        self.low: Tensor
        self.high: Tensor
        for name, bound in (("low", space.low), ("high", space.high)):
            value = torch.as_tensor(bound.reshape(-1).astype(np.float64)).to(torch.get_default_dtype())
            self.register_buffer(name, value, persistent=False)

    def forward(self, outputs: Tensor) -> Tensor:
        """Actions within the bounds. Shape: (..., *space.shape)."""
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2
        actions = middle + half * (outputs.tanh() if self.squash == "tanh" else outputs.clamp(-1, 1))
        # Rounding may pass a bound by one unit in the last place.
        return actions.clamp(self.low, self.high).reshape(*outputs.shape[:-1], *self.shape)


def choose(logits: Tensor, n: int) -> Tensor:
    """Index of the largest of n logits, the first of which is 0. Shapes: (..., n - 1) -> (...)."""
    first = torch.zeros_like(logits[..., :1])
    return torch.cat((first, logits), dim=-1)[..., :n].argmax(dim=-1)


def make_head(space: Space[Any], squash: str = "tanh") -> Head:
    """The head for an action space.

    Args:
        space: Of a single environment.
        squash: How Box actions stay within bounds, "tanh" or "clip".
    Raises:
        UnsupportedSpaceError: For Dict, Tuple, Text, unbounded or integer Box, naming the space.
    """
    if isinstance(space, spaces.Discrete):
        return DiscreteHead(space)
    if isinstance(space, spaces.MultiDiscrete):
        return MultiDiscreteHead(space)
    if isinstance(space, spaces.MultiBinary):
        return MultiBinaryHead(space)
    if isinstance(space, spaces.Box):
        if not space.is_bounded("both"):
            raise UnsupportedSpaceError(
                f"Unbounded Box actions are not supported ({space}): give the space finite bounds, for example with "
                "gymnasium.wrappers.RescaleAction or ClipAction."
            )
        if not np.issubdtype(np.dtype(str(space.dtype)), np.floating):
            raise UnsupportedSpaceError(
                f"Box actions of {space.dtype} are not supported ({space}): use MultiDiscrete for whole numbers."
            )
        return BoxHead(space, squash)
    raise UnsupportedSpaceError(
        f"{type(space).__name__} actions are not supported ({space}): a policy acts in Discrete, MultiDiscrete, "
        "MultiBinary or bounded Box spaces."
    )
