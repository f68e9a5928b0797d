"""A field's formulas in Triton, on a tile of (hidden_tile, batch_tile) numbers that lies across a program's threads.

Padding neurons have parameters of zero. Only `triton_kernels` imports this module.
"""

import triton
import triton.language as tl


@triton.jit
def phi(z: tl.tensor, tanh: tl.constexpr) -> tl.tensor:
    """The activation. Near zero tanh is its series, where 1 - exp(-2 z) has lost its digits."""
    if tanh:
        e = tl.exp(-2.0 * tl.abs(z))
        far = (1.0 - e) / (1.0 + e)
        q = z * z
        near = ((((-1382.0 / 155925.0 * q + 62.0 / 2835.0) * q - 17.0 / 315.0) * q + 2.0 / 15.0) * q - 1.0 / 3.0) * q
        a = tl.where(q < 0.1, z + z * near, tl.where(z < 0.0, -far, far))
    else:
        a = 1.0 / (1.0 + tl.exp(-tl.where(z < -87.0, -87.0, z)))
    return a


@triton.jit
def slope(a: tl.tensor, tanh: tl.constexpr) -> tl.tensor:
    """The slope of phi where the activation is a."""
    return 1.0 - a * a if tanh else a * (1.0 - a)


@triton.jit
def product(matrix: tl.tensor, a: tl.tensor, precision: tl.constexpr) -> tl.tensor:
    """The product matrix @ a, in tensor cores at a precision, or with "sum" in each thread for its own sequence."""
    if precision == "sum":
        s = tl.sum(matrix[:, :, None] * a[None, :, :], axis=1)
    else:
        s = tl.dot(matrix, a, input_precision=precision)
    return s


@triton.jit
def leak(
    d: tl.tensor, c0: tl.tensor, c1: tl.tensor, c2: tl.tensor, power: tl.constexpr, terms: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """|d|^k, the polynomial c0 + c1 |d|^k + c2 |d|^2k, and the slope of d times the polynomial."""
    p = tl.abs(d) if power == 1 else d * d
    value = p * 0.0 + c0
    derivative = value
    if terms > 0:
        value += c1 * p
        derivative += (power + 1) * c1 * p
    if terms > 1:
        value += c2 * (p * p)
        derivative += (2 * power + 1) * c2 * (p * p)
    return p, value, derivative


@triton.jit
def row(neurons: tl.tensor, index: tl.constexpr, i: tl.tensor, hidden: tl.constexpr) -> tl.tensor:
    """One of the neurons' parameters, as a column: (hidden_tile, 1)."""
    return tl.load(neurons + index * hidden + i, mask=i < hidden, other=0.0)[:, None]


@triton.jit
def square(matrix: tl.tensor, i: tl.tensor, hidden: tl.constexpr) -> tl.tensor:
    """A matrix over the neurons: (hidden_tile, hidden_tile)."""
    inside = (i < hidden)[:, None] & (i < hidden)[None, :]
    return tl.load(matrix + i[:, None] * hidden + i[None, :], mask=inside, other=0.0)


@triton.jit
def internal(
    lateral: tl.tensor, neurons: tl.tensor, potentials: tl.tensor, starts: tl.tensor,
    i: tl.tensor, j: tl.tensor, batch: tl.tensor,
    hidden: tl.constexpr, hidden_tile: tl.constexpr, tanh: tl.constexpr, resets: tl.constexpr, precision: tl.constexpr,
) -> tl.tensor:  # fmt: skip
    """The product M a once more, from memory and by a few sources at a time, so that it takes few registers."""
    part: tl.constexpr = 1 if precision == "sum" else 16
    s = tl.zeros((hidden_tile, j.shape[0]), tl.float32)
    for first in range(0, hidden_tile, part):
        n = first + tl.arange(0, part)
        u = tl.load(
            potentials + n[:, None] + j[None, :] * hidden, mask=(n < hidden)[:, None] & (j < batch)[None, :], other=0.0
        )
        if resets:
            starting = (tl.load(starts + j, mask=j < batch, other=0) != 0)[None, :]
            u = tl.where(starting, row(neurons, 4, n, hidden), u)
        a = phi(row(neurons, 2, n, hidden) * (u + row(neurons, 3, n, hidden)), tanh)
        inside = (i < hidden)[:, None] & (n < hidden)[None, :]
        s += product(tl.load(lateral + i[:, None] * hidden + n[None, :], mask=inside, other=0.0), a, precision)
    return s
