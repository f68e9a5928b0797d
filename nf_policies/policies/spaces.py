"""What a policy can use of Gymnasium's spaces: observations as feature vectors, heads that make actions of outputs.

Observations may be Box, Discrete, MultiDiscrete or MultiBinary; integers become one-hot features.
"""

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import Space, spaces
from torch import Tensor, nn

from nf_policies.policies.numbers import problem_of, usable


class UnsupportedSpaceError(ValueError):
    """A space that a policy cannot use; the message names it."""


def alike(a: Space[Any], b: Space[Any]) -> bool:
    """Whether two spaces are of one kind with the same shape, values and bounds, to float32."""
    kinds = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    if a.shape != b.shape or not any(isinstance(a, kind) and isinstance(b, kind) for kind in kinds):
        return False
    values = ["n"] if isinstance(a, spaces.Discrete) else ["low", "high", "nvec"]
    with np.errstate(over="ignore"):
        pairs = [(np.float32(getattr(a, v)), np.float32(getattr(b, v))) for v in [*values, "start"] if hasattr(a, v)]
    return all(np.array_equal(first, second) for first, second in pairs)


class ObservationEncoder:
    """Turn observations into the features that the field's normaliser sees.

    Args:
        space: The task's observation space, of a single environment.
        visible: Indices of the flat features that the policy sees, in order; None for all. What is left out here,
            for example velocities, is never read, and a saved policy plays the unmodified task.
    Raises: UnsupportedSpaceError for other kinds of space, ValueError if an index is out of range or given twice.
    """

    def __init__(self, space: Space[Any], visible: Sequence[int] | None = None) -> None:
        self.digits: tuple[np.ndarray, ...] = ()
        """For each digit, where features are one-hot: number of its values, the first of them, its first feature."""
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            counts = np.reshape(space.n if isinstance(space, spaces.Discrete) else space.nvec, -1)
            start, first = (np.reshape(n, -1).astype(np.int64) for n in (space.start, counts.cumsum() - counts))
            self.digits, self.total = (counts.astype(np.uint64), start, first), int(counts.sum())
        elif isinstance(space, spaces.Box | spaces.MultiBinary):
            self.total = math.prod(space.shape)
        else:
            raise UnsupportedSpaceError(
                f"{type(space).__name__} observations are not supported ({space}): a policy sees Box, Discrete, "
                f"MultiDiscrete or MultiBinary; {flattening_advice(space)}."
            )
        if visible is not None:
            wrong = [i for i in visible if not 0 <= i < self.total]
            if wrong or len(set(visible)) != len(visible) or not visible:
                raise ValueError(
                    f"visible must list different indices of the {self.total} observation entries, not {[*visible]}."
                )
        self.space, self.visible = space, None if visible is None else tuple(visible)
        self.size = self.total if self.visible is None else len(self.visible)
        self._constants: dict[torch.device, tuple[Tensor, ...]] = {}

    def batched(self, obs: Any) -> bool:
        """Whether observations carry a leading batch axis; a ValueError for any other shape."""
        shape, single = np.shape(obs), self.space.shape or ()
        if shape == single:
            return False
        if shape[1:] == single and len(shape) == len(single) + 1:
            return True
        raise ValueError(f"An observation of this policy has shape {single}, or a leading batch axis, not {shape}.")

    def __call__(self, obs: Any) -> np.ndarray:
        """Features of a batch of observations (batch, *space.shape). Shape: (batch, size), float32 or float64.

        Raises: ValueError if an integer is outside a Discrete or MultiDiscrete space.
        """
        obs = np.asarray(obs)
        if self.digits:
            counts, start, first = self.digits
            digits = obs.reshape(len(obs), -1).astype(np.int64) - start
            if (digits.view(np.uint64) >= counts).any():  # a negative one is huge without its sign
                raise ValueError(f"An observation is outside {self.space}.")
            features = np.zeros((len(obs), self.total), dtype=np.float32)
            features[np.arange(len(obs))[:, None], digits + first] = 1
        else:
            features = obs.reshape(len(obs), -1)
            if features.dtype != np.float64:
                features = features.astype(np.float32, copy=False)
        return features if self.visible is None else features[:, list(self.visible)]

    def of_tensors(self, obs: Tensor) -> Tensor:
        """The same for a tensor on any device; a GPU, which would have to be waited for, refuses no integer."""
        if self.digits:
            counts, start, first = self._on(obs.device)[1:]
            digits = obs.reshape(len(obs), -1).long() - start
            checked = obs.device.type == "cpu" and not torch.compiler.is_compiling()
            if checked and ((digits < 0) | (digits >= counts)).any():
                raise ValueError(f"An observation is outside {self.space}.")
            features = torch.zeros(len(obs), self.total, dtype=torch.float32, device=obs.device)
            features.scatter_(1, digits + first, 1.0)
        else:
            features = obs.reshape(len(obs), -1)
            features = features if features.dtype == torch.float64 else features.float()
        return features if self.visible is None else features.index_select(1, self._on(obs.device)[0])

    def _on(self, device: torch.device) -> tuple[Tensor, ...]:
        """Visible indices and the `digits`, as tensors."""
        if device not in self._constants:
            numbers = [np.asarray(n, np.int64) for n in (self.visible or (), *self.digits)]
            self._constants[device] = tuple(torch.as_tensor(n, device=device) for n in numbers)
        return self._constants[device]


def flattening_advice(space: Space[Any]) -> str:
    """What would help with an observation space that is not supported."""
    with contextlib.suppress(NotImplementedError):
        if isinstance(spaces.flatten_space(space), spaces.Box):
            return "gymnasium.wrappers.FlattenObservation turns it into a Box"
    return "a gymnasium.ObservationWrapper of your own can turn it into a Box"


def finite_problem(features: np.ndarray, visible: Sequence[int] | None) -> str | None:
    """A sentence naming the first entry of features (batch, size) that cannot be used; None if all can."""
    wrong = np.argwhere(~usable(features))
    if not len(wrong):
        return None
    row, column = wrong[0]
    entry = column if visible is None else visible[column]
    return problem_of(f"Entry {entry} of an observation", float(features[row, column]))


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
    """Continuous actions: each output is squashed to [-1, 1], by tanh or by clipping, then scaled to the bounds."""

    def __init__(self, space: spaces.Box, squash: str = "tanh") -> None:
        super().__init__()
        if squash not in ("tanh", "clip"):
            raise ValueError(f"Unknown squash {squash!r}: choose tanh or clip.")
        self.squash, self.shape, self.output_size = squash, space.shape, math.prod(space.shape)
        exact = [torch.as_tensor(bound.reshape(-1).astype(np.float64)) for bound in (space.low, space.high)]
        low, high = (bound.to(torch.get_default_dtype()) for bound in exact)
        # Rounding must not lead out of the space: these are the last numbers within it.
        up = torch.full_like(low, torch.inf)
        lowest = torch.where(low.double() < exact[0], torch.nextafter(low, up), low)
        highest = torch.where(high.double() > exact[1], torch.nextafter(high, -up), high)
        if not ((lowest <= highest) & low.isfinite() & high.isfinite()).all():
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
        return actions.clamp(self.lowest, self.highest).reshape(*outputs.shape[:-1], *self.shape)


def make_head(space: Space[Any], squash: str = "tanh") -> Head:
    """The head for the action space of a single environment; `squash` as for `Policy`.

    Raises: UnsupportedSpaceError for Dict, Tuple, Text, unbounded or integer Box, naming the space.
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
                f"Unbounded Box actions are not supported ({space}): give the task an action space with finite bounds, "
                "for example with gymnasium.wrappers.TransformAction."
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


def field_sizes(
    observation_space: Space[Any], action_space: Space[Any], visible: Sequence[int] | None = None
) -> tuple[int, int]:
    """The input_size and output_size that a field needs; an UnsupportedSpaceError for a space that cannot be used."""
    return ObservationEncoder(observation_space, visible).size, make_head(action_space).output_size
