"""The Furuta pendulum: an arm turned by a motor, a pole swinging at its end (Quanser Qube).

Constants and rewards: SimuRLacra (Muratore 2020), Quanser Qube. Equations of motion: Quanser's, which are Lagrange's
for a pole with its mass at its middle and an inertia about the arm's axis only. Integrated by a Runge-Kutta method
whose stages each see their own state.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from nf_envs.base import DEGREE, Constant, Draws, NonNegative, Positive, Rng, Task
from nf_envs.drawing import Picture
from nf_envs.integrators import Variables, rk4
from nf_envs.robots.rewards import angle_error, cost


@dataclass(frozen=True)
class Constants:
    """In kg, m, s, rad, V, ohm, Nm/A; `start_*` are greatest distances from the start, `weight_*` of the reward."""

    gravity: Positive = 9.81
    resistance: Positive = 8.4
    motor: NonNegative = 0.042
    arm_mass: Positive = 0.095
    arm_length: Positive = 0.085
    arm_damping: NonNegative = 5e-6
    pole_mass: Positive = 0.024
    pole_length: Positive = 0.129
    pole_damping: NonNegative = 1e-6
    voltage: Positive = 5.0
    dt: Positive = 0.01
    theta_limit: Positive = 115 * DEGREE
    alpha_limit: Positive = 4 * math.pi
    omega_limit: Positive = 20 * math.pi
    start_alpha: Constant = 0.0
    start_theta_spread: NonNegative = 2 * DEGREE
    start_alpha_spread: NonNegative = 1 * DEGREE
    start_omega_spread: NonNegative = 0.5 * DEGREE
    weight_theta: NonNegative = 1.0
    weight_alpha: NonNegative = 1.0
    weight_theta_omega: NonNegative = 0.02
    weight_alpha_omega: NonNegative = 0.005
    weight_voltage: NonNegative = 4e-3


class State(NamedTuple):
    """All (num_envs,): angle of the arm, of the pole (0 hanging, pi upright, not wrapped), their velocities."""

    theta: Tensor
    alpha: Tensor
    theta_omega: Tensor
    alpha_omega: Tensor


_FAST = 40 * math.pi
_HIGH = np.array([1, 1, 1, 1, _FAST, _FAST], dtype=np.float32)


class Furuta(Task[State]):
    """Reward exp(-cost) of angles from the goal (arm ahead, pole upright), velocities and voltage."""

    constants = Constants
    observation_space = Box(-_HIGH, _HIGH)
    action_space = Box(-1, 1, (1,))
    observation_names = (
        "arm_angle_sine [1]",
        "arm_angle_cosine [1]",
        "pole_angle_sine [1]",
        "pole_angle_cosine [1]",
        "arm_angular_velocity [rad/s]",
        "pole_angular_velocity [rad/s]",
    )
    action_names = ("voltage [{voltage} V]",)
    draws = Draws(initial=4)
    velocities = (4, 5)

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """Near the start."""
        c = params or self.default_params
        theta, alpha, *omegas = (2 * u - 1 for u in rng[:4])
        spread = c.start_alpha_spread
        slow = (omega * c.start_omega_spread for omega in omegas)
        return State(theta * c.start_theta_spread, c.start_alpha + alpha * spread, *slow)

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """One Runge-Kutta step with a voltage of action times 5 V."""
        c = params or self.default_params
        return State(*rk4(lambda y: _rate(y, c.voltage * action[..., 0], c), state, c.dt))

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """Sin and cos of both angles, and their velocities within the bounds of the space."""
        theta, alpha, *omegas = state
        slow = (omega.clip(-_FAST, _FAST) for omega in omegas)
        return torch.sin(theta), torch.cos(theta), torch.sin(alpha), torch.cos(alpha), *slow

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """Between 0 and 1, for the state before the step and the voltage."""
        c = params or self.default_params
        theta, alpha, *omegas = state
        values = (theta, angle_error(alpha, math.pi), *omegas, c.voltage * action[..., 0])
        weights = (c.weight_theta, c.weight_alpha, c.weight_theta_omega, c.weight_alpha_omega, c.weight_voltage)
        return torch.exp(-cost(values, weights))

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Whether an angle or a velocity is outside its limit."""
        c = params or self.default_params
        far = (state.theta.abs() > c.theta_limit) | (state.alpha.abs() > c.alpha_limit)
        return far | (state.theta_omega.abs() > c.omega_limit) | (state.alpha_omega.abs() > c.omega_limit)

    def energy(self, state: State, params: Constants | None = None) -> Tensor:
        """Of motion and height, in J. Shape: (num_envs,)."""
        c = params or self.default_params
        m11, m12, m22 = _inertia(state.alpha, c)
        a, b = state.theta_omega, state.alpha_omega
        height = -c.pole_length / 2 * torch.cos(state.alpha)
        return (m11 * a**2 + 2 * m12 * a * b + m22 * b**2) / 2 + c.pole_mass * c.gravity * height

    def picture(self, state: State, params: Constants | None = None) -> Picture:
        """Seen from the front and a little above."""
        c = params or self.default_params
        theta, alpha, r, length = *map(float, state[:2]), float(c.arm_length), float(c.pole_length)

        def seen(x: float, y: float, z: float) -> tuple[float, float]:
            return y, z + 0.35 * -x

        tip = (r * math.cos(theta), r * math.sin(theta), 0.0)
        side = length * math.sin(alpha)
        end = (tip[0] - side * math.sin(theta), tip[1] + side * math.cos(theta), -length * math.cos(alpha))
        scene = Picture(width=0.5, height=0.4)
        scene.box((0, -0.11), (0.11, 0.15), "faint")
        scene.line(seen(0, 0, -0.03), seen(0, 0, 0), 0.03, "ground")
        scene.line(seen(0, 0, 0), seen(*tip), 0.012, "body")
        scene.line(seen(*tip), seen(*end), 0.011, "link")
        scene.disc(seen(*tip), 0.008, "joint")
        return scene


def furuta_swing_up() -> Furuta:
    """From hanging to upright."""
    return Furuta()


def furuta_balance() -> Furuta:
    """Stay upright."""
    return Furuta(
        Constants(
            start_alpha=math.pi,
            start_theta_spread=5 * DEGREE,
            start_alpha_spread=5 * DEGREE,
            start_omega_spread=0.0,
            weight_theta=3.0,
            weight_alpha=4.0,
            weight_theta_omega=2.0,
            weight_alpha_omega=2.0,
            weight_voltage=0.05,
        )
    )


def _inertia(alpha: Tensor, c: Constants) -> tuple[Tensor, Tensor, Constant]:
    """The entries (1,1), (1,2) and (2,2) of the mass matrix."""
    half = c.pole_length / 2
    m11 = c.arm_mass * c.arm_length**2 / 12 + c.pole_mass * (c.arm_length**2 + half**2 * torch.sin(alpha) ** 2)
    m12 = c.pole_mass * half * c.arm_length * torch.cos(alpha)
    return m11, m12, c.pole_mass * c.pole_length**2 / 12 + c.pole_mass * half**2


def _rate(y: Variables, voltage: Tensor, c: Constants) -> Variables:
    """Time derivative of the state."""
    _, alpha, a, b = y
    half = c.pole_length / 2
    sin = torch.sin(alpha)
    m11, m12, m22 = _inertia(alpha, c)
    turning = c.pole_mass * half**2 * torch.sin(2 * alpha)
    torque = c.motor * (voltage - c.motor * a) / c.resistance
    f1 = torque - c.arm_damping * a - turning * a * b + c.pole_mass * half * c.arm_length * sin * b**2
    f2 = -c.pole_damping * b + turning * a**2 / 2 - c.pole_mass * c.gravity * half * sin
    det = m11 * m22 - m12**2
    return a, b, (m22 * f1 - m12 * f2) / det, (m11 * f2 - m12 * f1) / det
