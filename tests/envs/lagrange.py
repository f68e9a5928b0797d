"""Equations of motion by another route: accelerations from energies, differentiated by torch.

Everything here is written from geometry (where is each mass, how fast does it move) with the constants typed in from
the sources, and uses nothing of `nf_envs`.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, jacrev

Energy = Callable[[Tensor, Tensor], Tensor]
Force = Callable[[Tensor, Tensor, float], Tensor]


def acceleration(lagrangian: Energy, force: Force, q: Tensor, v: Tensor, action: float) -> Tensor:
    """d/dt dL/dv - dL/dq = Q, solved for the acceleration. q, v: (coordinates,)."""
    mass = jacrev(grad(lagrangian, argnums=1), argnums=1)(q, v)
    turning = jacrev(grad(lagrangian, argnums=1), argnums=0)(q, v) @ v
    return torch.linalg.solve(mass, force(q, v, action) + grad(lagrangian)(q, v) - turning)


def symplectic(a: Callable[[Tensor, Tensor], Tensor], q: Tensor, v: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    v = v + dt * a(q, v)
    return q + dt * v, v


def runge_kutta(a: Callable[[Tensor, Tensor], Tensor], q: Tensor, v: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    n = len(q)

    def rate(y: Tensor) -> Tensor:
        return torch.cat([y[n:], a(y[:n], y[n:])])

    y = torch.cat([q, v])
    slopes = [rate(y)]
    for h in (dt / 2, dt / 2, dt):
        slopes.append(rate(y + h * slopes[-1]))
    y = y + dt * sum(w * k for w, k in zip((1, 2, 2, 1), slopes, strict=True)) / 6
    return y[:n], y[n:]


def rod(start: Callable[[Tensor], Tensor], end: Callable[[Tensor], Tensor], mass: float, g: float) -> Energy:
    """Kinetic minus potential energy of a uniform rod between two points (x, y, z), by Gauss's quadrature."""
    nodes = [(0.5 - math.sqrt(0.15), 5 / 18), (0.5, 8 / 18), (0.5 + math.sqrt(0.15), 5 / 18)]

    def energy(q: Tensor, v: Tensor) -> Tensor:
        total = torch.zeros((), dtype=q.dtype)
        for s, weight in nodes:

            def point(p: Tensor, s: float = s) -> Tensor:
                return (1 - s) * start(p) + s * end(p)

            place, speed = point(q), jacrev(point)(q) @ v
            total = total + weight * mass * (speed @ speed / 2 - g * place[2])
        return total

    return energy


def on_cart(index: int, length: float, up: float) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Ends of a pole on a cart at q[0]; its angle q[index] is 0 upwards (up 1) or downwards (up -1)."""
    zero = torch.zeros((), dtype=torch.float64)

    def start(q: Tensor) -> Tensor:
        return torch.stack([q[0], zero, zero])

    def end(q: Tensor) -> Tensor:
        return torch.stack([q[0] + length * torch.sin(q[index]), zero, up * length * torch.cos(q[index])])

    return start, end


def single_pole(cart_friction: float = 5e-4, hinge_friction: float = 2e-6) -> tuple[Energy, Force]:
    pole = rod(*on_cart(1, 1.0, 1), 0.1, 9.8)

    def lagrangian(q: Tensor, v: Tensor) -> Tensor:
        return 0.5 * v[0] ** 2 + pole(q, v)

    def force(q: Tensor, v: Tensor, action: float) -> Tensor:
        return torch.stack([10 * action - cart_friction * torch.sign(v[0]), -hinge_friction * v[1]])

    return lagrangian, force


def double_pole(cart_friction: float = 5e-4, hinge_friction: float = 2e-6) -> tuple[Energy, Force]:
    long, short = rod(*on_cart(1, 1.0, 1), 0.1, 9.8), rod(*on_cart(2, 0.1, 1), 0.01, 9.8)

    def lagrangian(q: Tensor, v: Tensor) -> Tensor:
        return 0.5 * v[0] ** 2 + long(q, v) + short(q, v)

    def force(q: Tensor, v: Tensor, action: float) -> Tensor:
        cart = 10 * action - cart_friction * torch.sign(v[0])
        return torch.stack([cart, -hinge_friction * v[1], -hinge_friction * v[2]])

    return lagrangian, force


def cart_pole_swing_up(hinge_friction: float = 0.001) -> tuple[Energy, Force]:
    pole = rod(*on_cart(1, 1.0, 1), 0.1, 9.8)

    def lagrangian(q: Tensor, v: Tensor) -> Tensor:
        return 0.5 * v[0] ** 2 + pole(q, v)

    def force(q: Tensor, v: Tensor, action: float) -> Tensor:
        return torch.stack([torch.as_tensor(10.0 * action, dtype=q.dtype), -hinge_friction * v[1]])

    return lagrangian, force


def motor_cart_pole(*, friction: bool = True) -> tuple[Energy, Force]:
    pole = rod(*on_cart(1, 2 * 0.16825, -1), 0.127, 9.81)
    rotor = 0.9 * 3.71**2 * 3.9e-7 / 6.35e-3**2

    def lagrangian(q: Tensor, v: Tensor) -> Tensor:
        return 0.5 * (0.38 + rotor) * v[0] ** 2 + pole(q, v)

    def force(q: Tensor, v: Tensor, action: float) -> Tensor:
        if not friction:
            return torch.zeros_like(q)
        volts_back = 7.67e-3 * 3.71 * v[0] / 6.35e-3
        current = (8 * action - volts_back) / 2.6
        push = 0.9 * 0.9 * 3.71 * 7.67e-3 * current / 6.35e-3
        return torch.stack([push - 5.4 * v[0], -0.0024 * v[1]])

    return lagrangian, force


def furuta(*, friction: bool = True) -> tuple[Energy, Force]:
    zero = torch.zeros((), dtype=torch.float64)

    def tip(q: Tensor) -> Tensor:
        return torch.stack([0.085 * torch.cos(q[0]), 0.085 * torch.sin(q[0]), zero])

    def middle(q: Tensor) -> Tensor:
        side = 0.0645 * torch.sin(q[1])
        return tip(q) + torch.stack([-side * torch.sin(q[0]), side * torch.cos(q[0]), -0.0645 * torch.cos(q[1])])

    def lagrangian(q: Tensor, v: Tensor) -> Tensor:
        # Quanser's model: the pole is a mass at its middle, with an inertia about the arm's axis only.
        speed = jacrev(middle)(q) @ v
        arm, hinge = 0.095 * 0.085**2 / 12, 0.024 * 0.129**2 / 12
        return (arm * v[0] ** 2 + 0.024 * speed @ speed + hinge * v[1] ** 2) / 2 - 0.024 * 9.81 * middle(q)[2]

    def force(q: Tensor, v: Tensor, action: float) -> Tensor:
        if not friction:
            return torch.zeros_like(q)
        motor = 0.042 * (5 * action - 0.042 * v[0]) / 8.4
        return torch.stack([motor - 5e-6 * v[0], -1e-6 * v[1]])

    return lagrangian, force


def damped_pendulum(damping: float = 0.05) -> tuple[Energy, Force]:
    zero = torch.zeros((), dtype=torch.float64)
    hanging = rod(
        lambda q: torch.zeros(3, dtype=q.dtype),
        lambda q: torch.stack([torch.sin(q[0]), zero, -torch.cos(q[0])]),
        1.0,
        9.81,
    )
    return hanging, lambda q, v, action: 3.5 * action - damping * v


def ball_on_beam(friction: float = 0.05) -> tuple[Energy, Force]:
    def lagrangian(q: Tensor, v: Tensor) -> Tensor:
        rolling = 0.5 * (2 / 5 * 0.5 * 0.1**2) * (v[0] / 0.1) ** 2
        ball = 0.5 * 0.5 * (v[0] ** 2 + (q[0] * v[1]) ** 2)
        beam = 0.5 * (3 * (2.0**2 + 0.1**2) / 12) * v[1] ** 2
        return rolling + ball + beam - 0.5 * 9.81 * q[0] * torch.sin(q[1])

    def force(q: Tensor, v: Tensor, action: float) -> Tensor:
        return torch.stack([-friction * v[0], torch.as_tensor(29.43 * action, dtype=q.dtype)])

    return lagrangian, force


def oscillator(damping: float = 0.5) -> tuple[Energy, Force]:
    return lambda q, v: (v @ v - 30 * q @ q) / 2, lambda q, v, action: 30 * action - damping * v
