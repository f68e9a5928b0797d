"""What a policy makes of Gymnasium's spaces: features of observations, and actions of a field's outputs.

Observations are Box, Discrete, MultiDiscrete or MultiBinary, alone or in Dict and Tuple spaces of any depth; integers
of the last three become one-hot features. All features lie side by side, in the order of the space.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import Space, spaces
from torch import Tensor, nn

Keys = tuple[str | int, ...]


class UnsupportedSpaceError(ValueError):
    """A space that a policy cannot use; the message names it."""


def parts_of(space: Space[Any], keys: Keys = ()) -> Iterator[tuple[Keys, Space[Any]]]:
    """The spaces within Dict and Tuple spaces, in order, with the keys that lead there; any other space by itself."""
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        yield keys, space
        return
    inner = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
    for key, part in inner:
        yield from parts_of(part, (*keys, key))


def each(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """Apply a function to observations, or to each entry of Dict and Tuple observations."""
    if isinstance(first, dict):
        return {key: each(function, value, *(other[key] for other in others)) for key, value in first.items()}
    if isinstance(first, tuple):
        return tuple(each(function, *parts) for parts in zip(first, *others, strict=True))
    return function(first, *others)


def alike(a: Space[Any], b: Space[Any]) -> bool:
    """Whether two spaces are of one kind with the same shape, values and bounds, to float32."""
    ours, theirs = dict(parts_of(a)), dict(parts_of(b))
    return ours.keys() == theirs.keys() and all(_alike(part, theirs[keys]) for keys, part in ours.items())


def _alike(a: Space[Any], b: Space[Any]) -> bool:
    kinds = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    if a.shape != b.shape or not any(isinstance(a, kind) and isinstance(b, kind) for kind in kinds):
        return False
    values = ["n"] if isinstance(a, spaces.Discrete) else ["low", "high", "nvec"]
    with np.errstate(over="ignore"):
        pairs = [(np.float32(getattr(a, v)), np.float32(getattr(b, v))) for v in [*values, "start"] if hasattr(a, v)]
    return all(np.array_equal(first, second) for first, second in pairs)


class Part:
    """A Box, Discrete, MultiDiscrete or MultiBinary in an observation, and how it becomes features.

    Args:
        keys: Of the Dict and Tuple spaces that it is in, from the outside.
        space: Of a single environment.
    Raises: UnsupportedSpaceError for another kind of space.
    """

    def __init__(self, keys: Keys, space: Space[Any]) -> None:
        self.keys, self.space, self.shape = keys, space, space.shape or ()
        self._tensors: dict[torch.device, tuple[Tensor, ...]] = {}
        self.digits: tuple[np.ndarray, ...] = ()
        """For each digit, where features are one-hot: number of its values, the first of them, its first feature."""
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            counts = np.reshape(space.n if isinstance(space, spaces.Discrete) else space.nvec, -1)
            start, first = (np.reshape(n, -1).astype(np.int64) for n in (space.start, counts.cumsum() - counts))
            self.digits, self.total = (counts.astype(np.uint64), start, first), int(counts.sum())
        elif isinstance(space, spaces.Box | spaces.MultiBinary):
            self.total = math.prod(space.shape)
        else:
            named = f"gymnasium.wrappers.FilterObservation shows a Dict without {keys[0]!r}" if keys else ""
            raise UnsupportedSpaceError(
                f"{type(space).__name__} observations are not supported ({space}): a policy sees Box, Discrete, "
                "MultiDiscrete and MultiBinary, and these in Dict and Tuple; "
                f"{named or 'a gymnasium.ObservationWrapper of your own can turn it into a Box'}."
            )

    def of(self, obs: Any) -> Any:
        """This part of an observation."""
        for key in self.keys:
            obs = obs[key]
        return obs

    def batched(self, obs: Any) -> bool:
        """Whether a leading batch axis is there; a ValueError for any other shape."""
        shape = np.shape(self.of(obs))
        if shape == self.shape:
            return False
        if shape[1:] == self.shape and len(shape) == len(self.shape) + 1:
            return True
        name = " ".join(["An observation", *map(repr, self.keys)])
        raise ValueError(f"{name} of this policy has shape {self.shape}, or a leading batch axis, not {shape}.")

    def __call__(self, obs: Any) -> np.ndarray:
        """Features of a batch of observations. Shape: (batch, total), float32 or float64."""
        rows = np.asarray(self.of(obs))
        if not self.digits:
            features = rows.reshape(len(rows), -1)
            return features if features.dtype == np.float64 else features.astype(np.float32, copy=False)
        counts, start, first = self.digits
        digits = rows.reshape(len(rows), -1).astype(np.int64) - start
        if (digits.view(np.uint64) >= counts).any():  # a negative one is huge without its sign
            raise ValueError(f"An observation is outside {self.space}.")
        features = np.zeros((len(rows), self.total), dtype=np.float32)
        features[np.arange(len(rows))[:, None], digits + first] = 1
        return features

    def of_tensors(self, obs: Any) -> Tensor:
        """The same for tensors on any device."""
        rows = self.of(obs)
        if not self.digits:
            features = rows.reshape(len(rows), -1)
            return features if features.dtype == torch.float64 else features.float()
        if rows.device not in self._tensors:
            numbers = (torch.as_tensor(n.astype(np.int64), device=rows.device) for n in self.digits)
            self._tensors[rows.device] = tuple(numbers)
        counts, start, first = self._tensors[rows.device]
        digits = rows.reshape(len(rows), -1).long() - start
        checked = rows.device.type == "cpu" and not torch.compiler.is_compiling()
        if checked and ((digits < 0) | (digits >= counts)).any():
            raise ValueError(f"An observation is outside {self.space}.")
        features = torch.zeros(len(rows), self.total, dtype=torch.float32, device=rows.device)
        return features.scatter_(1, digits + first, 1.0)


class ObservationEncoder:
    """Turn observations into the features that the field's normaliser sees.

    Args:
        space: The task's observation space, of a single environment.
        visible: Indices of the flat features that the policy sees, in order; None for all. What is left out here,
            for example velocities, is never read, and a saved policy plays the unmodified task.
    Raises: UnsupportedSpaceError for other kinds of space, ValueError if an index is out of range or given twice.
    """

    def __init__(self, space: Space[Any], visible: Sequence[int] | None = None) -> None:
        self.parts = [Part(keys, part) for keys, part in parts_of(space)]
        self.total = sum(part.total for part in self.parts)
        if not self.total:
            raise UnsupportedSpaceError(f"Observations without entries are not supported ({space}).")
        if visible is not None:
            wrong = [i for i in visible if not 0 <= i < self.total]
            if wrong or len(set(visible)) != len(visible) or not visible:
                raise ValueError(
                    f"visible must list different indices of the {self.total} observation entries, not {[*visible]}."
                )
        self.space, self.visible = space, None if visible is None else tuple(visible)
        self.size = self.total if self.visible is None else len(self.visible)
        self._indices: dict[torch.device, Tensor] = {}

    def batched(self, obs: Any) -> bool:
        """Whether observations carry a leading batch axis; a ValueError for any other shape."""
        if len(axes := {part.batched(obs) for part in self.parts}) > 1:
            raise ValueError("Some entries of this observation have a leading batch axis, and some have none.")
        return axes.pop()

    def __call__(self, obs: Any) -> np.ndarray:
        """Features of a batch of observations (batch, *space.shape). Shape: (batch, size), float32 or float64.

        Raises: ValueError if an integer is outside a Discrete or MultiDiscrete space.
        """
        features = self.whole(obs)
        return features if self.visible is None else features[:, list(self.visible)]

    def whole(self, obs: Any) -> np.ndarray:
        """The same with what the policy does not see. Shape: (batch, total)."""
        features = [part(obs) for part in self.parts]
        return features[0] if len(features) == 1 else np.concatenate(features, axis=1)

    def of_tensors(self, obs: Any) -> Tensor:
        """The same for tensors on any device; a GPU, which would have to be waited for, refuses no integer."""
        features = [part.of_tensors(obs) for part in self.parts]
        together = features[0] if len(features) == 1 else torch.cat(features, dim=1)
        if self.visible is None:
            return together
        if together.device not in self._indices:
            self._indices[together.device] = torch.tensor(self.visible, device=together.device)
        return together.index_select(1, self._indices[together.device])


def first_logit_zero(outputs: Tensor, choices: Sequence[int], dim: int = -1) -> Tensor:
    """Logits of choices side by side, each with the logit 0 in front of its n - 1 outputs (one output if n is 1).

    Shapes: (..., sum of max(n - 1, 1)) -> (..., sum of n), or with this axis at `dim`.
    """
    first = torch.zeros_like(outputs.narrow(dim, 0, 1))
    parts = outputs.split([max(n - 1, 1) for n in choices], dim) if len(choices) > 1 else (outputs,)
    pairs = zip(parts, choices, strict=True)
    return torch.cat([logits for part, n in pairs for logits in (first, part)[:n]], dim)


class Head(nn.Module):
    """The common part of all heads: from a field's outputs to actions."""

    output_size: int
    """Number of outputs that are read."""

    def from_columns(self, outputs: Sequence[Tensor]) -> Tensor:
        """The same as `forward` for outputs in one tensor (n,) each. Shape: (n, *space.shape)."""
        return self(outputs[0].unsqueeze(-1) if len(outputs) == 1 else torch.stack(tuple(outputs), dim=-1))


class DiscreteHead(Head):
    """One choice of n. The first action's logit is 0, so n - 1 outputs decide; two actions need one."""

    def __init__(self, space: spaces.Discrete) -> None:
        super().__init__()
        self.n, self.start = int(space.n), int(space.start)
        self.output_size = max(self.n - 1, 1)

    def forward(self, outputs: Tensor) -> Tensor:
        """The action with the largest logit. Shapes: (..., output_size) -> (...)."""
        if self.n == 2:
            return self.from_columns([outputs[..., 0]])
        return first_logit_zero(outputs, [self.n]).argmax(dim=-1) + self.start

    def from_columns(self, outputs: Sequence[Tensor]) -> Tensor:
        """As that of `Head`, in steps that compile into one loop."""
        if self.n == 2:
            return (outputs[0] > 0).to(torch.int64) + self.start
        greatest, choice = torch.zeros_like(outputs[0]), torch.zeros_like(outputs[0], dtype=torch.int64)
        for i, logit in enumerate(outputs[: self.n - 1], start=1):
            better = logit > greatest
            greatest, choice = torch.where(better, logit, greatest), torch.where(better, i, choice)
        return choice + self.start


class MultiDiscreteHead(Head):
    """Several choices, n_i - 1 outputs each, side by side."""

    def __init__(self, space: spaces.MultiDiscrete) -> None:
        super().__init__()
        self.shape, self.nvec = space.shape, space.nvec.reshape(-1).tolist()
        self.output_size = sum(max(n - 1, 1) for n in self.nvec)
        self.start: Tensor = nn.Buffer(torch.as_tensor(space.start.reshape(-1)), persistent=False)

    def forward(self, outputs: Tensor) -> Tensor:
        """The actions with the largest logits. Shape: (..., *space.shape)."""
        logits = first_logit_zero(outputs, self.nvec).split(self.nvec, dim=-1)
        chosen = torch.stack([part.argmax(dim=-1) for part in logits], dim=-1) + self.start
        return chosen.reshape(*outputs.shape[:-1], *self.shape)


class MultiBinaryHead(Head):
    """Independent switches: on where the output is positive."""

    def __init__(self, space: spaces.MultiBinary) -> None:
        super().__init__()
        self.shape, self.output_size = space.shape, math.prod(space.shape)

    def forward(self, outputs: Tensor) -> Tensor:
        """Zeros and ones. Shape: (..., *space.shape)."""
        return (outputs > 0).to(torch.int8).reshape(*outputs.shape[:-1], *self.shape)


class BoxHead(Head):
    """Numbers within bounds: each output is squashed to [-1, 1], by tanh or by clipping, then scaled to the bounds.

    Of whole numbers each has an equal part of [-1, 1].
    """

    def __init__(self, space: spaces.Box, squash: str = "tanh") -> None:
        super().__init__()
        if squash not in ("tanh", "clip"):
            raise ValueError(f"Unknown squash {squash!r}: choose tanh or clip.")
        self.squash, self.shape, self.output_size = squash, space.shape, math.prod(space.shape)
        self.whole = space.dtype.kind in "iub"
        exact = [torch.as_tensor(bound.reshape(-1).astype(np.float64)) for bound in (space.low, space.high)]
        low, high = (bound.to(torch.get_default_dtype()) for bound in exact)
        # Rounding must not lead out of the space: these are the last numbers within it.
        up = torch.full_like(low, torch.inf)
        lowest = torch.where(low.double() < exact[0], torch.nextafter(low, up), low)
        highest = torch.where(high.double() > exact[1], torch.nextafter(high, -up), high)
        told_apart = (lowest <= highest) & low.isfinite() & high.isfinite()
        if self.whole:
            told_apart &= torch.maximum(low.abs(), high.abs()) < 2 / torch.finfo(low.dtype).eps
            low, high = low - 0.5, high + 0.5
        if not told_apart.all():
            raise UnsupportedSpaceError(
                f"Box actions whose bounds are beyond or between the numbers of {low.dtype} are not supported "
                f"({space}): give the space bounds that {low.dtype} can tell apart."
            )
        bounds = [nn.Buffer(bound, persistent=False) for bound in (low, high, lowest, highest)]
        self.low, self.high, self.lowest, self.highest = bounds

    def forward(self, outputs: Tensor) -> Tensor:
        """Actions within the bounds. Shape: (..., *space.shape)."""
        low, high = self.low / 2, self.high / 2  # before they are added, which might overflow
        actions = (high + low) + (high - low) * (outputs.tanh() if self.squash == "tanh" else outputs.clamp(-1, 1))
        actions = actions.round() if self.whole else actions
        return actions.clamp(self.lowest, self.highest).reshape(*outputs.shape[:-1], *self.shape)
