"""One step of an ordinary differential equation; states are tuples of tensors (num_envs,)."""

from collections.abc import Callable

from torch import Tensor

from nf_envs.base import Constant

Variables = tuple[Tensor, ...]


def rk4(rate: Callable[[Variables], Variables], y: Variables, dt: Constant) -> Variables:
    """The classical Runge-Kutta method of fourth order.

    Args:
        rate: dy/dt of y.
        y: Variables at the start.
        dt: Seconds.
    Returns: Variables dt later.
    """
    k1 = rate(y)
    k2 = rate(_ahead(y, k1, dt / 2))
    k3 = rate(_ahead(y, k2, dt / 2))
    k4 = rate(_ahead(y, k3, dt))
    return tuple(x + dt / 6 * (a + 2 * b + 2 * c + d) for x, a, b, c, d in zip(y, k1, k2, k3, k4, strict=True))


def _ahead(y: Variables, rate: Variables, dt: Constant) -> Variables:
    return tuple(x + dt * r for x, r in zip(y, rate, strict=True))
