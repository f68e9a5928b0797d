"""Roll a ball to the middle of a plate that two servos tilt (Quanser 2-DOF ball balancer).

Constants and reward: SimuRLacra (Muratore 2020), Quanser ball balancer. Each axis is a servo and a ball on a beam; the
plate is so much heavier than the ball that the ball does not move it.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from nf_envs.base import Constant, Draws, NonNegative, Positive, Rng, Task, between
from nf_envs.drawing import Picture
from nf_envs.robots.ball_on_beam import rolling
from nf_envs.robots.rewards import cost, scale


@dataclass(frozen=True)
class Constants:
    """In kg, m, s, rad, V, ohm, Nm/A; between its two ends of the dead zone a voltage does nothing."""

    gravity: Positive = 9.81
    ball_mass: Positive = 0.003
    ball_radius: Positive = 0.019625
    plate_length: Positive = 0.275
    arm_length: Positive = 0.0254
    gear_ratio: Positive = 70.0
    gear_efficiency: NonNegative = 0.9
    motor_efficiency: NonNegative = 0.69
    load_inertia: Positive = 5.2822e-5
    motor_inertia: NonNegative = 4.6063e-7
    motor: NonNegative = 0.0077
    resistance: Positive = 2.6
    servo_damping: NonNegative = 0.015
    friction: NonNegative = 0.05
    voltage: Positive = 3.0
    dead_x_low: Constant = -0.10
    dead_x_high: Constant = 0.28
    dead_y_low: Constant = -0.074
    dead_y_high: Constant = 0.28
    dt: Positive = 0.01
    servo_limit: Positive = math.pi / 4


class State(NamedTuple):
    """All (num_envs,): angles of the servos, place of the ball, and their velocities."""

    servo_x: Tensor
    servo_y: Tensor
    x: Tensor
    y: Tensor
    servo_x_omega: Tensor
    servo_y_omega: Tensor
    x_v: Tensor
    y_v: Tensor


HALF_PLATE = 0.1375
WEIGHTS = (1.0, 1.0, 5e3, 5e3, 0.01, 0.01, 0.5, 0.5, 0.01, 0.01)
_WORST = (math.pi / 4, math.pi / 4, HALF_PLATE, HALF_PLATE, 4 * math.pi, 4 * math.pi, 0.5, 0.5, 3.0, 3.0)
_SCALE = scale(_WORST, WEIGHTS)
_HIGH = np.array([math.pi / 2, math.pi / 2, 0.275, 0.275, 50, 50, 3, 3], dtype=np.float32)


class BallBalancer(Task[State]):
    """Reward exp(-c · cost) of places, velocities and voltages, least 1e-4; ends where the ball leaves the plate."""

    constants = Constants
    observation_space = Box(-_HIGH, _HIGH)
    action_space = Box(-1, 1, (2,))
    observation_names = (
        "servo_x_angle [rad]",
        "servo_y_angle [rad]",
        "ball_x_position [m]",
        "ball_y_position [m]",
        "servo_x_angular_velocity [rad/s]",
        "servo_y_angular_velocity [rad/s]",
        "ball_x_velocity [m/s]",
        "ball_y_velocity [m/s]",
    )
    action_names = ("servo_x_voltage [{voltage} V]", "servo_y_voltage [{voltage} V]")
    draws = Draws(initial=2)
    velocities = (4, 5, 6, 7)

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """The ball at rest, on a ring at three quarters of the way to the edge."""
        c = params or self.default_params
        radius = between(rng[0], 0.75, 0.8) * c.plate_length / 2
        turn = between(rng[1], -math.pi, math.pi)
        zero = torch.zeros_like(turn)
        return State(zero, zero, radius * torch.cos(turn), radius * torch.sin(turn), zero, zero, zero, zero)

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """One symplectic Euler step with voltages of action times 3 V."""
        c = params or self.default_params
        in_x = _alive(c.voltage * action[..., 0], c.dead_x_low, c.dead_x_high)
        in_y = _alive(c.voltage * action[..., 1], c.dead_y_low, c.dead_y_high)
        servo_x, x, servo_x_omega, x_v = _axis(state.servo_x, state.x, state.servo_x_omega, state.x_v, in_x, c)
        servo_y, y, servo_y_omega, y_v = _axis(state.servo_y, state.y, state.servo_y_omega, state.y_v, in_y, c)
        return State(servo_x, servo_y, x, y, servo_x_omega, servo_y_omega, x_v, y_v)

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """The state, within the bounds of the space."""
        return tuple(entry.clip(-float(high), float(high)) for entry, high in zip(state, _HIGH, strict=True))

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """Up to 1, for the state before the step and the voltages."""
        c = params or self.default_params
        voltages = (c.voltage * action[..., 0], c.voltage * action[..., 1])
        return torch.exp(-_SCALE * cost((*state, *voltages), WEIGHTS))

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Whether the ball has left the plate, or a servo its range."""
        c = params or self.default_params
        off = (state.x.abs() > c.plate_length / 2) | (state.y.abs() > c.plate_length / 2)
        return off | (state.servo_x.abs() > c.servo_limit) | (state.servo_y.abs() > c.servo_limit)

    def energy(self, state: State, params: Constants | None = None) -> Tensor:
        """Of the ball's motion and height while the servos stand still, in J. Shape: (num_envs,)."""
        c = params or self.default_params
        down = state.x * _tilt(state.servo_x, c)[0] + state.y * _tilt(state.servo_y, c)[0]
        return 1.4 * c.ball_mass * (state.x_v**2 + state.y_v**2) / 2 - c.ball_mass * c.gravity * down

    def picture(self, state: State, params: Constants | None = None) -> Picture:
        """The plate from above, and how far the servos are turned."""
        c = params or self.default_params
        half = float(c.plate_length) / 2
        scene = Picture(width=0.42, height=0.34)
        scene.box((0, 0), (2 * half, 2 * half), "faint")
        scene.disc((0, 0), 0.012, "goal")
        scene.line((0, -half - 0.015), (0.1 * float(state.servo_x), -half - 0.015), 0.012, "link")
        scene.line((-half - 0.015, 0), (-half - 0.015, 0.1 * float(state.servo_y)), 0.012, "link")
        scene.disc((float(state.x), float(state.y)), float(c.ball_radius), "ball")
        return scene


def _alive(voltage: Tensor, low: Constant, high: Constant) -> Tensor:
    """The voltage outside the dead zone."""
    return torch.where((voltage >= low) & (voltage <= high), 0.0, voltage)


def _tilt(servo: Tensor, c: Constants) -> tuple[Tensor, Tensor]:
    """Sine of the plate's angle, and the angle's change per change of the servo's."""
    ratio = 2 * c.arm_length / c.plate_length
    sin = ratio * torch.sin(servo)
    return sin, ratio * torch.cos(servo) / torch.sqrt(1 - sin**2)


def _axis(
    servo: Tensor, place: Tensor, servo_omega: Tensor, v: Tensor, voltage: Tensor, c: Constants
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Servo angle, place of the ball and their velocities after a step; the ball rolls towards positive angles."""
    inertia = c.gear_efficiency * c.gear_ratio**2 * c.motor_inertia + c.load_inertia
    drive = c.gear_efficiency * c.gear_ratio * c.motor_efficiency * c.motor / c.resistance
    damping = drive * c.gear_ratio * c.motor + c.servo_damping
    sin, slope = _tilt(servo, c)
    ball = rolling(place, v, -torch.asin(sin), slope * servo_omega, c.ball_mass, c.gravity, c.friction)
    servo_omega = servo_omega + c.dt * (drive * voltage - damping * servo_omega) / inertia
    v = v + c.dt * ball
    return servo + c.dt * servo_omega, place + c.dt * v, servo_omega, v
