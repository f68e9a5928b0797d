"""The equations of motion of any number of poles on one cart.

Reference: Wieland (1991), Evolving neural network controllers for unstable systems, IJCNN, as restated by Gomez,
Schmidhuber and Miikkulainen (2008), Journal of Machine Learning Research 9, section 5.1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nf_envs.base import Constant
from nf_envs.integrators import Variables, rk4


class Pole(NamedTuple):
    """In kg and m; `half_length` is from the hinge to the centre of mass."""

    mass: Constant
    half_length: Constant
    friction: Constant


class Cart(NamedTuple):
    """In kg, N, m/s²."""

    mass: Constant
    friction: Constant
    gravity: Constant


def rate(y: Variables, force: Tensor, cart: Cart, poles: Sequence[Pole]) -> Variables:
    """Time derivative of (x, v, theta_1, omega_1, theta_2, omega_2, ...); theta is 0 where a pole is upright."""
    v = y[1]
    push, mass = force - cart.friction * torch.sign(v), cart.mass
    for pole, theta, omega in zip(poles, y[2::2], y[3::2], strict=True):
        cos, sin = torch.cos(theta), torch.sin(theta)
        hinge = pole.friction * omega / (pole.mass * pole.half_length)
        push = push + pole.mass * pole.half_length * omega**2 * sin
        push = push + 0.75 * pole.mass * cos * (hinge - cart.gravity * sin)
        mass = mass + pole.mass * (1 - 0.75 * cos**2)
    linear = push / mass
    rates = [v, linear]
    for pole, theta, omega in zip(poles, y[2::2], y[3::2], strict=True):
        hinge = pole.friction * omega / (pole.mass * pole.half_length)
        turn = linear * torch.cos(theta) - cart.gravity * torch.sin(theta) + hinge
        rates += [omega, -0.75 / pole.half_length * turn]
    return tuple(rates)


def advance(y: Variables, force: Tensor, cart: Cart, poles: Sequence[Pole], dt: Constant, substeps: int) -> Variables:
    """The state dt later, by Runge-Kutta steps of dt / substeps under a constant force."""
    for _ in range(substeps):
        y = rk4(lambda z: rate(z, force, cart, poles), y, dt / substeps)
    return y
