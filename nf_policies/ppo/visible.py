"""Which features the actor sees."""

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from torch import Tensor


def visible_features(
    space: spaces.Space[Any], n_features: int, observed: Sequence[int] | Sequence[str] | None, extractor_learns: bool
) -> Tensor:
    """Indices of the features that the actor sees.

    Args:
        space: The observation space.
        n_features: Number of features of an observation.
        observed: Indices of features or keys of a Dict space; None for everything.
        extractor_learns: Whether the features are learned, and so do not belong to entries of the observation.
    Returns: Shape: (n,), integer.
    Raises: ValueError if there is no such feature or key.
    """
    if observed is None:
        return torch.arange(n_features)
    if extractor_learns:
        raise ValueError(
            "observed selects entries of the observation, and a features extractor that learns mixes them."
        )
    if isinstance(space, spaces.Dict) and any(isinstance(entry, str) for entry in observed):
        ranges, begin = {}, 0
        for key, subspace in space.spaces.items():
            end = begin + get_flattened_obs_dim(subspace)
            ranges[key], begin = range(begin, end), end
        unknown = [key for key in observed if key not in ranges]
        if unknown or not observed:
            raise ValueError(f"observed must name keys of {list(ranges)}, not {list(observed)}.")
        return torch.tensor([i for key in ranges if key in observed for i in ranges[key]])
    wrong = [i for i in observed if not (isinstance(i, int) and 0 <= i < n_features)]
    if wrong or len(set(observed)) != len(observed) or not observed:
        raise ValueError(
            f"observed must list different indices of the {n_features} observation entries, not {list(observed)}."
        )
    return torch.tensor(sorted(observed))
