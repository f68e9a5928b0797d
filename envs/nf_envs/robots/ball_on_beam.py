"""Roll a ball to the middle of a beam by tilting it.

Constants and reward: SimuRLacra (Muratore 2020), ball on beam.
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
from nf_envs.robots.rewards import cost, scale


@dataclass(frozen=True)
class Constants:
    """In kg, m, s, rad, Nm."""

    gravity: Positive = 9.81
    ball_mass: Positive = 0.5
    ball_radius: Positive = 0.1
    beam_mass: Positive = 3.0
    beam_length: Positive = 2.0
    beam_thickness: Positive = 0.1
    friction: NonNegative = 0.05
    torque: Positive = 29.43
    dt: Positive = 0.01
    angle_limit: Positive = math.pi / 4
    v_limit: Positive = 10.0
    omega_limit: Positive = math.pi


class State(NamedTuple):
    """All (num_envs,): the ball's place along the beam, the beam's angle, their velocities."""

    x: Tensor
    angle: Tensor
    v: Tensor
    omega: Tensor


WEIGHTS = (1e5, 1e3, 1e3, 1e2, 1.0)
_SCALE = scale((1.0, math.pi / 4, 10.0, math.pi, 29.43), WEIGHTS)
_HIGH = np.array([2, math.pi / 2, 20, 2 * math.pi], dtype=np.float32)


class BallOnBeam(Task[State]):
    """Reward exp(-c (1e5 x² + 1e3 a² + 1e3 v² + 1e2 w² + torque²)), least 1e-4; ends where the ball falls."""

    constants = Constants
    observation_space = Box(-_HIGH, _HIGH)
    action_space = Box(-1, 1, (1,))
    observation_names = (
        "ball_position [m]",
        "beam_angle [rad]",
        "ball_velocity [m/s]",
        "beam_angular_velocity [rad/s]",
    )
    action_names = ("torque [{torque} N m]",)
    draws = Draws(initial=5)
    velocities = (2, 3)

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """The ball near one of the ends, everything slow."""
        side = torch.where(rng[4] < 0.5, -1.0, 1.0).to(rng[4])
        return State(
            side * between(rng[0], 0.7, 0.8),
            between(rng[1], -math.radians(5), math.radians(5)),
            between(rng[2], -0.2, 0.2),
            between(rng[3], -0.02 * math.pi, 0.02 * math.pi),
        )

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """One symplectic Euler step with a torque of action times 29.43 Nm."""
        c = params or self.default_params
        x, angle, v, omega = state
        linear = rolling(x, v, angle, omega, c.ball_mass, c.gravity, c.friction)
        push = c.torque * action[..., 0] - 2 * c.ball_mass * x * v * omega
        inertia = c.ball_mass * x**2 + _beam_inertia(c)
        angular = (push - c.ball_mass * c.gravity * x * torch.cos(angle)) / inertia
        v, omega = v + c.dt * linear, omega + c.dt * angular
        return State(x + c.dt * v, angle + c.dt * omega, v, omega)

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """The state, within the bounds of the space."""
        return tuple(entry.clip(-float(high), float(high)) for entry, high in zip(state, _HIGH, strict=True))

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """Between 1e-4 and 1, for the state before the step and the torque."""
        c = params or self.default_params
        return torch.exp(-_SCALE * cost((*state, c.torque * action[..., 0]), WEIGHTS))

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """Whether the ball has left the beam, or the beam or a velocity its limit."""
        c = params or self.default_params
        off = (state.x.abs() > c.beam_length / 2) | (state.angle.abs() > c.angle_limit)
        return off | (state.v.abs() > c.v_limit) | (state.omega.abs() > c.omega_limit)

    def energy(self, state: State, params: Constants | None = None) -> Tensor:
        """Of motion and height, in J. Shape: (num_envs,)."""
        c = params or self.default_params
        x, angle, v, omega = state
        moving = 1.4 * c.ball_mass * v**2 / 2 + (c.ball_mass * x**2 + _beam_inertia(c)) * omega**2 / 2
        return moving + c.ball_mass * c.gravity * x * torch.sin(angle)

    def picture(self, state: State, params: Constants | None = None) -> Picture:
        """Beam and ball."""
        c = params or self.default_params
        x, angle, half = float(state.x), float(state.angle), float(c.beam_length) / 2
        along, up = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
        lift = float(c.beam_thickness) / 2 + float(c.ball_radius)
        scene = Picture(width=2.8, height=1.7)
        scene.polygon([(0, 0), (-0.2, -0.6), (0.2, -0.6)], "ground")
        scene.line((-half * along[0], -half * along[1]), (half * along[0], half * along[1]), 0.1, "link")
        scene.disc((0, 0), 0.04, "joint")
        scene.disc((x * along[0] + lift * up[0], x * along[1] + lift * up[1]), float(c.ball_radius), "ball")
        return scene


def rolling(x: Tensor, v: Tensor, angle: Tensor, omega: Tensor, mass: Constant, g: Constant, c: Constant) -> Tensor:
    """Acceleration of a full ball that rolls on a plane tilted by an angle; all (num_envs,)."""
    spinning = 1.4 * mass  # m + J / r², whatever the radius: J = 2/5 m r²
    return (-c * v + mass * x * omega**2 - mass * g * torch.sin(angle)) / spinning


def _beam_inertia(c: Constants) -> Constant:
    return c.beam_mass * (c.beam_length**2 + c.beam_thickness**2) / 12
