"""What a space is to a policy: which head acts in it, how large a field it needs, where its images are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import Space, spaces

from nf_policies.policies.numbers import problem_of, usable
from nf_policies.policies.spaces import (
    BoxHead,
    DiscreteHead,
    Head,
    MultiBinaryHead,
    MultiDiscreteHead,
    ObservationEncoder,
    UnsupportedSpaceError,
)


def make_head(space: Space[Any], squash: str = "tanh") -> Head:
    """The head for the action space of a single environment; `squash` as for `Policy`.

    Raises: UnsupportedSpaceError for Dict, Tuple, Text or unbounded Box, naming the space.
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


def is_image(space: Space[Any]) -> bool:
    """Whether a space is of bytes in two or more dimensions, such as (height, width) or (height, width, channels)."""
    bytes_ = isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) >= 2
    return bool(bytes_ and (space.low == 0).all() and (space.high == 255).all())  # type: ignore[attr-defined]


def images_of(encode: ObservationEncoder) -> list[np.ndarray]:
    """For each image of an observation, which of the features that the policy sees are its pixels."""
    seen = np.arange(encode.total) if encode.visible is None else np.array(encode.visible)
    found, first = [], 0
    for part in encode.parts:
        if is_image(part.space):
            found.append(np.flatnonzero((seen >= first) & (seen < first + part.total)))
        first += part.total
    return found


def single(actions: np.ndarray, space: Space[Any]) -> Any:
    """The only action of a batch (1, *space.shape), as the space has it: an array, or the number of a Discrete."""
    return actions[0, ...] if isinstance(space, spaces.Box) else actions[0]


def finite_problem(features: np.ndarray, visible: Sequence[int] | None) -> str | None:
    """A sentence naming the first entry of features (batch, size) that cannot be used; None if all can."""
    wrong = np.argwhere(~usable(features))
    if not len(wrong):
        return None
    row, column = wrong[0]
    entry = column if visible is None else visible[column]
    return problem_of(f"Entry {entry} of an observation", float(features[row, column]))
