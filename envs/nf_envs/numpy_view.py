"""The vector view in NumPy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorWrapper
from torch import Tensor

from nf_envs.vector import TensorVectorEnv


class NumpyVectorEnv(VectorWrapper):
    """A `TensorVectorEnv` that takes and returns arrays, which share memory with the tensors where possible.

    Args:
        env: The environments.
    """

    env: TensorVectorEnv

    def __init__(self, env: TensorVectorEnv) -> None:
        super().__init__(env)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """As `TensorVectorEnv.reset`, in arrays."""
        obs, info = self.env.reset(seed=seed, options=options)
        return to_numpy(obs), to_numpy(info)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """As `TensorVectorEnv.step`, in arrays."""
        obs, reward, terminated, truncated, info = self.env.step(torch.as_tensor(np.asarray(actions)))
        return to_numpy(obs), to_numpy(reward), to_numpy(terminated), to_numpy(truncated), to_numpy(info)


def to_numpy(value: Any) -> Any:
    """Tensors as arrays, also inside dictionaries."""
    if isinstance(value, Tensor):
        return value.cpu().numpy()
    return {key: to_numpy(entry) for key, entry in value.items()} if isinstance(value, dict) else value
