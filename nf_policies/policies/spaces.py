"""What of Gymnasium's spaces a policy can use: observations as feature vectors, spaces as JSON.

Observations may be Box, Discrete, MultiDiscrete or MultiBinary; integers become one-hot features.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import Space, spaces
from torch import Tensor, nn

OBSERVATIONS = "Box, Discrete, MultiDiscrete or MultiBinary"


class UnsupportedSpaceError(ValueError):
    """A space that a policy cannot use; the message names it."""


class ObservationEncoder:
    """Turn observations into the features that the field's normaliser sees.

    Args:
        space: The task's observation space, of a single environment.
        visible: Indices of the flat features that the policy sees, in order; None for all. Hiding velocities is
            leaving them out here, so a saved policy plays the unmodified task and provably never reads them.
    Raises:
        UnsupportedSpaceError: If the space is not one of Box, Discrete, MultiDiscrete, MultiBinary.
        ValueError: If an index is out of range or given twice.
    """

    def __init__(self, space: Space[Any], visible: Sequence[int] | None = None) -> None:
        # Gymnasium's flatten would take nested spaces too, but slowly and one observation at a time.
        if isinstance(space, spaces.Box | spaces.MultiBinary):
            self.total = int(np.prod(space.shape))
        elif isinstance(space, spaces.Discrete):
            self.total = int(space.n)
        elif isinstance(space, spaces.MultiDiscrete):
            self.total = int(space.nvec.sum())
        else:
            raise UnsupportedSpaceError(
                f"{type(space).__name__} observations are not supported ({space}): a policy sees {OBSERVATIONS}; "
                "gymnasium.wrappers.FlattenObservation turns Dict and Tuple into a Box."
            )
        if visible is not None:
            wrong = [i for i in visible if not 0 <= i < self.total]
            if wrong or len(set(visible)) != len(visible) or not visible:
                raise ValueError(
                    f"visible must list different indices of the {self.total} observation entries, not {[*visible]}."
                )
        self.space = space
        self.visible = None if visible is None else tuple(visible)
        self.size = self.total if visible is None else len(self.visible or ())

    def batched(self, obs: Any) -> bool:
        """Whether observations carry a leading batch axis.

        Raises:
            ValueError: If the shape is neither the space's nor a batch of it.
        """
        shape, single = np.shape(obs), self.space.shape or ()
        if shape == single:
            return False
        if shape[1:] == single and len(shape) == len(single) + 1:
            return True
        raise ValueError(f"An observation of this policy has shape {single}, or a leading batch axis, not {shape}.")

    def __call__(self, obs: Any) -> np.ndarray:
        """Features of a batch of observations (batch, *space.shape). Shape: (batch, size), float."""
        obs = np.asarray(obs)
        if isinstance(self.space, spaces.Discrete):
            features = np.eye(self.total, dtype=np.float32)[obs.astype(np.int64) - int(self.space.start)]
        elif isinstance(self.space, spaces.MultiDiscrete):
            digits = (obs - self.space.start).reshape(len(obs), -1).astype(np.int64)
            columns = zip(digits.T, self.space.nvec.reshape(-1), strict=True)
            features = np.concatenate([np.eye(n, dtype=np.float32)[d] for d, n in columns], axis=1)
        else:
            features = obs.reshape(len(obs), -1)
            if features.dtype != np.float64:
                features = features.astype(np.float32, copy=False)
        return features if self.visible is None else features[:, list(self.visible)]


def finite_problem(features: np.ndarray, visible: Sequence[int] | None) -> str | None:
    """A sentence naming the first entry of features (batch, size) that is NaN or infinite; None if all are finite."""
    wrong = np.argwhere(~np.isfinite(features))
    if not len(wrong):
        return None
    row, column = wrong[0]
    entry = column if visible is None else visible[column]
    return f"Entry {entry} of an observation is {features[row, column]}: a policy needs finite numbers."


def space_to_json(space: Space[Any]) -> dict[str, Any]:
    """A space as plain JSON values; infinite bounds become strings."""
    if isinstance(space, spaces.Box):
        return {
            "kind": "Box",
            "low": [repr(float(x)) for x in space.low.reshape(-1)],
            "high": [repr(float(x)) for x in space.high.reshape(-1)],
            "shape": list(space.shape),
            "dtype": str(space.dtype),
        }
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": list(space.shape)}
    raise UnsupportedSpaceError(f"{type(space).__name__} cannot be stored in a policy file.")


def space_from_json(data: dict[str, Any]) -> Space[Any]:
    """The space that `space_to_json` described.

    Raises:
        KeyError, ValueError: If the description is not complete or not known.
    """
    kind = data["kind"]
    if kind == "Box":
        shape, dtype = tuple(data["shape"]), np.dtype(data["dtype"])
        low, high = (np.array(list(map(float, data[side]))).reshape(shape).astype(dtype) for side in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)
    if kind == "Discrete":
        return spaces.Discrete(data["n"], start=data["start"])
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(data["nvec"], start=data["start"])
    if kind == "MultiBinary":
        return spaces.MultiBinary(data["n"])
    raise ValueError(f"unknown space {kind!r}")


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
