"""The six potential dynamics as one polynomial, so that one compiled recurrence serves them all.

With d = h - u, each is tau du/dt = s + d (c0 + c1 |d|^k + c2 |d|^2k): c0 is 1 or -1, c1 and c2 follow from kappa or
from the capacity C.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor

from nf_policies.fields import dynamics
from nf_policies.fields.dynamics import Dynamics


class Polynomial(NamedTuple):
    """The part of tau du/dt that draws a potential to its resting level: d (leak + sum over i of c_i |d|^(i power)).

    Attributes:
        power: k, 1 or 2.
        leak: c0.
        terms: c1 and c2, as many as there are. Shapes: as kappa or the capacity.
    """

    power: int
    leak: float
    terms: tuple[Tensor, ...]


POLYNOMIALS: dict[Dynamics, Callable[..., Polynomial]] = {
    dynamics.linear: lambda: Polynomial(2, 1.0, ()),
    dynamics.cubic: lambda kappa: Polynomial(2, 1.0, (kappa,)),
    dynamics.capacity_21: lambda capacity: Polynomial(2, -1.0, (capacity**-2,)),
    dynamics.capacity_21_abs: lambda capacity: Polynomial(1, -1.0, (1 / capacity,)),
    dynamics.capacity_32: lambda capacity: Polynomial(2, 1.0, (-5 * capacity**-2, 4 * capacity**-4)),
    dynamics.capacity_32_abs: lambda capacity: Polynomial(1, 1.0, (-3 / capacity, 2 * capacity**-2)),
}


def polynomial(function: Dynamics, parameters: Mapping[str, Tensor]) -> Polynomial | None:
    """The polynomial of a potential dynamics function, or None for one that is not among the six.

    Args:
        function: Potential dynamics.
        parameters: kappa or capacity, as the function names them.
    """
    form = next((form for known, form in POLYNOMIALS.items() if known is function), None)
    return None if form is None else form(**parameters)
