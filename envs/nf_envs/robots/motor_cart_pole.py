"""A pole on a motorised cart, with the motor's own dynamics (Quanser linear inverted pendulum).

Constants and the balance reward: SimuRLacra (Muratore 2020), Quanser cart-pole. The swing-up reward is ours: exp of
minus such a cost, because a negative reward would make it pay to end the episode.
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
from nf_envs.robots.rewards import angle_error, cost


@dataclass(frozen=True)
class Constants:
    """In kg, m, s, rad, V, ohm, Nm/A; `start_*` are greatest distances from the start."""

    gravity: Positive = 9.81
    cart_mass: Positive = 0.38
    rail_length: Positive = 0.814
    gear_efficiency: NonNegative = 0.9
    motor_efficiency: NonNegative = 0.9
    gear_ratio: Positive = 3.71
    motor_inertia: NonNegative = 3.9e-7
    pinion_radius: Positive = 6.35e-3
    resistance: Positive = 2.6
    motor: NonNegative = 7.67e-3
    pole_damping: NonNegative = 0.0024
    cart_damping: NonNegative = 5.4
    pole_mass: Positive = 0.127
    half_length: Positive = 0.16825
    voltage: Positive = 8.0
    dt: Positive = 0.002
    start_theta: Constant = 0.0
    start_x_spread: NonNegative = 0.02
    start_theta_spread: NonNegative = 2 * DEGREE
    start_v_spread: NonNegative = 0.0
    start_omega_spread: NonNegative = 1 * DEGREE
    failure: NonNegative = 0.0


class State(NamedTuple):
    """All (num_envs,); theta is 0 where the pole hangs, pi where it is upright, and is not wrapped."""

    x: Tensor
    theta: Tensor
    v: Tensor
    omega: Tensor


MARGIN = 0.05
"""How near the cart may come to an end of the rail, in m."""
_HIGH = np.array([0.814, 1, 1, 10, 100], dtype=np.float32)
_WEIGHTS = (5.0, 10.0, 0.01, 0.01, 1e-3)


class MotorCartPole(Task[State]):
    """Swing up: exp(-(5 x² + e² + 0.01 v² + 0.01 omega² + 1e-3 V²)), e the pole's angle from upright."""

    constants = Constants
    observation_space = Box(-_HIGH, _HIGH)
    action_space = Box(-1, 1, (1,))
    observation_names = (
        "cart_position [m]",
        "pole_angle_sine [1]",
        "pole_angle_cosine [1]",
        "cart_velocity [m/s]",
        "pole_angular_velocity [rad/s]",
    )
    action_names = ("voltage [{voltage} V]",)
    draws = Draws(initial=4)
    velocities = (3, 4)

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """Near the start."""
        c = params or self.default_params
        x, theta, v, omega = (2 * u - 1 for u in rng[:4])
        return State(
            x * c.start_x_spread,
            c.start_theta + theta * c.start_theta_spread,
            v * c.start_v_spread,
            omega * c.start_omega_spread,
        )

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """One symplectic Euler step with a voltage of action times 8 V."""
        c = params or self.default_params
        x, theta, v, omega = state
        drive = c.gear_efficiency * c.gear_ratio * c.motor_efficiency * c.motor / (c.resistance * c.pinion_radius**2)
        force = drive * (c.pinion_radius * c.voltage * action[..., 0] - c.gear_ratio * c.motor * v)
        m11, m12, m22 = _inertia(theta, c)
        swing = c.pole_mass * c.half_length * torch.sin(theta)
        f1 = force - c.cart_damping * v + swing * omega**2
        f2 = -c.pole_damping * omega - swing * c.gravity
        det = m11 * m22 - m12**2
        v = v + c.dt * (m22 * f1 - m12 * f2) / det
        omega = omega + c.dt * (m11 * f2 - m12 * f1) / det
        return State(x + c.dt * v, theta + c.dt * omega, v, omega)

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """Position, sin and cos of the angle, and both velocities, within the bounds of the space."""
        x, theta, v, omega = state
        place = x.clip(-0.814, 0.814)
        return place, torch.sin(theta), torch.cos(theta), v.clip(-10, 10), omega.clip(-100, 100)

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """Between 0 and 1, for the state before the step and the voltage."""
        return torch.exp(-_cost(state, action, params or self.default_params, (5.0, 1.0, 0.01, 0.01, 1e-3)))

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Whether the cart is at an end of the rail."""
        c = params or self.default_params
        return state.x.abs() > c.rail_length / 2 - MARGIN

    def energy(self, state: State, params: Constants | None = None) -> Tensor:
        """Of motion and height, in J. Shape: (num_envs,)."""
        c = params or self.default_params
        m11, m12, m22 = _inertia(state.theta, c)
        moving = (m11 * state.v**2 + 2 * m12 * state.v * state.omega + m22 * state.omega**2) / 2
        return moving - c.pole_mass * c.gravity * c.half_length * torch.cos(state.theta)

    def picture(self, state: State, params: Constants | None = None) -> Picture:
        """Rail, cart and pole."""
        c = params or self.default_params
        x, theta, length = float(state.x), float(state.theta), 2 * float(c.half_length)
        rail = float(c.rail_length) / 2
        scene = Picture(width=1.1, height=0.85)
        scene.line((-rail, 0), (rail, 0), 0.012, "ground")
        scene.box((x, 0), (0.11, 0.06), "body")
        scene.line((x, 0), (x + length * math.sin(theta), -length * math.cos(theta)), 0.018, "link")
        scene.disc((x, 0), 0.012, "joint")
        return scene


class MotorCartPoleBalance(MotorCartPole):
    """Balance: -(5 x² + 10 e² + 0.01 v² + 0.01 omega² + 1e-3 V²), e the pole's angle from upright; failure -1000."""

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """Minus the cost of the state before the step and of the voltage, and of failure."""
        c = params or self.default_params
        spent = _cost(state, action, c, _WEIGHTS)
        return -spent - c.failure * self.terminal(next_state, (), c).to(spent)


def motor_cart_pole_swing_up() -> MotorCartPole:
    """From hanging to upright."""
    return MotorCartPole()


def motor_cart_pole_balance() -> MotorCartPole:
    """Stay upright."""
    return MotorCartPoleBalance(
        Constants(
            dt=0.01,
            start_theta=math.pi,
            start_theta_spread=8 * DEGREE,
            start_v_spread=0.02,
            start_omega_spread=5 * DEGREE,
            failure=1000.0,
        )
    )


def _cost(state: State, action: Tensor, c: Constants, weights: tuple[float, ...]) -> Tensor:
    error = angle_error(state.theta, math.pi)
    return cost((state.x, error, state.v, state.omega, c.voltage * action[..., 0]), weights)


def _inertia(theta: Tensor, c: Constants) -> tuple[Constant, Tensor, Constant]:
    """The entries (1,1), (1,2) and (2,2) of the mass matrix."""
    cart = c.cart_mass + c.gear_efficiency * c.gear_ratio**2 * c.motor_inertia / c.pinion_radius**2
    m12 = c.pole_mass * c.half_length * torch.cos(theta)
    return c.pole_mass + cart, m12, c.pole_mass * c.half_length**2 * 4 / 3
