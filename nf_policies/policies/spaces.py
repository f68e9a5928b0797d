"""What of Gymnasium's spaces a policy can use: observations as feature vectors, spaces as JSON.

Observations may be Box, Discrete, MultiDiscrete or MultiBinary; integers become one-hot features.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import Space, spaces

OBSERVATIONS = "Box, Discrete, MultiDiscrete or MultiBinary"


class UnsupportedSpaceError(ValueError):
    """A space that a policy cannot use; the message names it."""


class ObservationEncoder:
    """Turn observations into the features that the field's normaliser sees.

    Args:
        space: The task's observation space, of a single environment.
        observed: Indices of the flat features that the policy sees, in order; None for all. Hiding velocities is
            leaving them out here, so a saved policy plays the unmodified task and provably never reads them.
    Raises:
        UnsupportedSpaceError: If the space is not one of Box, Discrete, MultiDiscrete, MultiBinary.
        ValueError: If an index is out of range or given twice.
    """

    def __init__(self, space: Space[Any], observed: Sequence[int] | None = None) -> None:
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
        if observed is not None:
            wrong = [i for i in observed if not 0 <= i < self.total]
            if wrong or len(set(observed)) != len(observed) or not observed:
                raise ValueError(
                    f"observed must list different indices of the {self.total} observation entries, not {[*observed]}."
                )
        self.space = space
        self.observed = None if observed is None else tuple(observed)
        self.size = self.total if observed is None else len(self.observed or ())

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
        return features if self.observed is None else features[:, list(self.observed)]


def finite_problem(features: np.ndarray, observed: Sequence[int] | None) -> str | None:
    """A sentence naming the first entry of features (batch, size) that is NaN or infinite; None if all are finite."""
    wrong = np.argwhere(~np.isfinite(features))
    if not len(wrong):
        return None
    row, column = wrong[0]
    entry = column if observed is None else observed[column]
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
