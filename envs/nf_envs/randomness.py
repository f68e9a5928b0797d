"""Random numbers as a pure function of (lane, episode, count), for use inside a compiled step.

Nothing else matters: an environment starts the same episodes whatever its neighbours do, on a CPU or a GPU, eager or
compiled, in float32 or float64. torch's own generators work neither inside a full graph nor per lane. The mixing
function is the 32-bit integer hash of C. Wellons' hash prospector (bias 0.11).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

GOLDEN = 0x9E3779B9
"""2^32 divided by the golden ratio, for want of a reason to take another odd number."""


def _signed(x: int) -> int:
    """The 32 lowest bits of an integer, as torch.int32 reads them."""
    return (x + 2**31) % 2**32 - 2**31


def mix(x: Tensor) -> Tensor:
    """A bijection of 32-bit integers that scatters neighbours. int32, any shape."""
    x = (x ^ ((x >> 16) & 0xFFFF)) * _signed(0x21F0AAAD)
    x = (x ^ ((x >> 15) & 0x1FFFF)) * _signed(0xD35A2D97)
    return x ^ ((x >> 15) & 0x1FFFF)


def lane_keys(seeds: Sequence[int], device: torch.device) -> Tensor:
    """One key per lane, from the lowest 32 bits of its seed. Shape: (num_envs,), int32."""
    words = np.array([seed % 2**32 for seed in seeds], dtype=np.uint32).view(np.int32)
    return mix(torch.as_tensor(words, device=device))


def uniforms(keys: Tensor, episodes: Tensor, first: Tensor, n: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Independent uniform numbers in [0, 1), multiples of 2^-24.

    Args:
        keys: Which lanes. Shape: (num_envs,), int32.
        episodes: Which episode of each lane. Shape: (num_envs,), int32.
        first: How many numbers the episode has used before. Shape: (num_envs,), int32.
        n: How many.
        dtype: Of the result.
    Returns: n tensors (num_envs,).
    """
    if not n:
        return ()
    number = _numbers(keys, episodes, first, dtype)
    return tuple(number(i) for i in range(n))


def uniforms_at_once(keys: Tensor, episodes: Tensor, first: Tensor, n: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """The numbers of `uniforms` in a few operations on all of them, which is quick where nothing is compiled."""
    places = torch.arange(n, dtype=torch.int32, device=keys.device)[:, None]
    return _numbers(keys, episodes, first, dtype)(places).unbind()


def _numbers(keys: Tensor, episodes: Tensor, first: Tensor, dtype: torch.dtype) -> Callable[[Any], Tensor]:
    """From a place in the row of numbers, or several (n, 1), to the numbers of `uniforms`; its arguments."""
    # Each lane strides by its own odd number; with a common stride, lanes would later repeat each other's numbers.
    stride = mix(keys ^ _signed(GOLDEN)) | 1
    counter, other = keys + first * stride, mix(episodes + 1)

    def number(place: Any) -> Tensor:
        word = mix(mix(counter + place * stride) ^ other)
        return ((word >> 8) & 0xFFFFFF).to(dtype) * 2.0**-24

    return number


def normal(u: Tensor) -> Tensor:
    """Standard normal numbers from uniform ones in [0, 1); at most 5.3 standard deviations from 0."""
    # The quantile is infinite at the ends of the interval: move them inwards by half a step of the numbers.
    return torch.special.ndtri(u * (1 - 2.0**-23) + 2.0**-24)
