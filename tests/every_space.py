"""Every kind of space that a policy can see or act in: one list for all tests."""

from typing import Any

import numpy as np
from gymnasium import Space, spaces
from gymnasium.vector.utils import batch_space

LIMIT = 10**15
"""The largest that a task may return."""

OBSERVATIONS: dict[str, Space[Any]] = {
    "vector": spaces.Box(-1, 1, (3,)),
    "unbounded": spaces.Box(-np.inf, np.inf, (2, 3), np.float64),
    "one_sided": spaces.Box(np.float32([0, -np.inf]), np.float32([np.inf, 1])),
    "scalar": spaces.Box(-1, 1, ()),
    "float64": spaces.Box(-1 / 3, 1 / 3, (3,), np.float64),
    "float16": spaces.Box(-1, 1, (3,), np.float16),
    "integers": spaces.Box(-5, 5, (2,), np.int64),
    "wide_integers": spaces.Box(-LIMIT, LIMIT, (2,), np.int64),
    "bytes": spaces.Box(0, 255, (4,), np.uint8),
    "booleans": spaces.Box(0, 1, (3,), np.bool_),
    "image": spaces.Box(0, 255, (8, 8, 3), np.uint8),
    "image_channels_first": spaces.Box(0, 255, (3, 8, 8), np.uint8),
    "grey_image": spaces.Box(0, 255, (5, 4), np.uint8),
    "discrete": spaces.Discrete(5, start=1),
    "discrete_int32": spaces.Discrete(3, start=-1, dtype=np.int32),
    "discrete_large": spaces.Discrete(2_000, start=7),
    "multi_discrete": spaces.MultiDiscrete([2, 3], start=[5, -7]),
    "multi_discrete_int32": spaces.MultiDiscrete([2, 3], dtype=np.int32),
    "multi_discrete_matrix": spaces.MultiDiscrete(np.array([[2, 4], [3, 1]]), start=np.array([[0, 1], [2, -3]])),
    "multi_binary": spaces.MultiBinary(4),
    "multi_binary_matrix": spaces.MultiBinary([2, 3]),
    "dict": spaces.Dict([("speed", spaces.Box(-np.inf, np.inf, (2,))), ("gear", spaces.Discrete(3, start=1))]),
    "tuple": spaces.Tuple([spaces.Box(-1, 1, (), np.float64), spaces.MultiBinary(2)]),
    "nested": spaces.Dict(
        {
            "eye": spaces.Box(0, 255, (3, 2, 1), np.uint8),
            "arm": spaces.Dict({"angles": spaces.Box(-np.pi, np.pi, (2,)), "touch": spaces.MultiBinary(1)}),
            "tools": spaces.Tuple([spaces.MultiDiscrete([2, 2]), spaces.Tuple([spaces.Discrete(2)])]),
        }
    ),
}

ACTIONS: dict[str, Space[Any]] = {
    "two": spaces.Discrete(2),
    "one": spaces.Discrete(1),
    "discrete": spaces.Discrete(3, start=-1),
    "discrete_int32": spaces.Discrete(3, dtype=np.int32),
    "multi_discrete": spaces.MultiDiscrete([3, 4], start=[1, -2]),
    "multi_discrete_matrix": spaces.MultiDiscrete(np.array([[2, 2], [3, 1]])),
    "multi_binary": spaces.MultiBinary(3),
    "multi_binary_matrix": spaces.MultiBinary([2, 2]),
    "box": spaces.Box(np.float32([-1, 0]), np.float32([2, 5])),
    "box_matrix": spaces.Box(-1, 1, (2, 2), np.float64),
    "box_scalar": spaces.Box(-1, 1, ()),
    "float64": spaces.Box(-0.1, 1 / 3, (2,), np.float64),
    "float16": spaces.Box(-0.1, 0.3, (2,), np.float16),
    "integers": spaces.Box(np.array([0, -3]), np.array([9, 3]), dtype=np.int64),
    "bytes": spaces.Box(0, 255, (2,), np.uint8),
    "booleans": spaces.Box(0, 1, (2,), np.bool_),
}


def batch_of(space: Space[Any], n: int, seed: int = 0) -> Any:
    """Samples of n environments as vector environments show them."""
    many = batch_space(space, n)
    many.seed(seed)
    return many.sample()
