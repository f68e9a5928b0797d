"""The mechanical tasks move as Lagrange's equations say, and keep their energy where nothing rubs."""

import functools
import math

import pytest
import torch

from nf_envs.balance import DoublePole, SinglePole
from nf_envs.base import with_constants
from nf_envs.classic import CartPoleSwingUp
from nf_envs.robots import (
    BallBalancer,
    BallOnBeam,
    DampedPendulum,
    OneMassOscillator,
    furuta_balance,
    furuta_swing_up,
    motor_cart_pole_balance,
    motor_cart_pole_swing_up,
)
from tests.envs import lagrange
from tests.envs.lagrange import runge_kutta, symplectic

# task, its energies and forces, its integrator, seconds, substeps, greatest coordinates and velocities,
# whether the state is (q1, v1, q2, v2, ...) rather than (q1, q2, ..., v1, v2, ...)
MECHANICS = {
    "single pole": (SinglePole, lagrange.single_pole, runge_kutta, 0.01, 2, (2, 0.2), (2, 2), True),
    "double pole": (DoublePole, lagrange.double_pole, runge_kutta, 0.01, 2, (2, 0.6, 0.6), (2, 2, 4), True),
    "swing-up": (CartPoleSwingUp, lagrange.cart_pole_swing_up, symplectic, 0.02, 1, (2, 3), (3, 6), True),
    "motor swing-up": (
        motor_cart_pole_swing_up,
        lagrange.motor_cart_pole,
        symplectic,
        0.002,
        1,
        (0.3, 3),
        (2, 9),
        False,
    ),
    "motor balance": (motor_cart_pole_balance, lagrange.motor_cart_pole, symplectic, 0.01, 1, (0.3, 3), (2, 9), False),
    "furuta swing-up": (furuta_swing_up, lagrange.furuta, runge_kutta, 0.01, 1, (2, 3), (20, 30), False),
    "furuta balance": (furuta_balance, lagrange.furuta, runge_kutta, 0.01, 1, (2, 3), (20, 30), False),
    "damped pendulum": (DampedPendulum, lagrange.damped_pendulum, symplectic, 0.02, 1, (6,), (9,), False),
    "ball on beam": (BallOnBeam, lagrange.ball_on_beam, symplectic, 0.01, 1, (1, 0.7), (3, 3), False),
    "oscillator": (OneMassOscillator, lagrange.oscillator, symplectic, 0.02, 1, (1,), (9,), False),
}


def state_of(task, q, v, interleaved):
    entries = [x for pair in zip(q, v, strict=True) for x in pair] if interleaved else [*q, *v]
    kind = type(task.initial([torch.zeros(1, dtype=torch.float64)] * task.draws.initial))
    return kind(*(x.reshape(1) for x in entries))


@pytest.mark.parametrize("name", MECHANICS)
def test_a_step_is_that_of_lagranges_equations(name):
    make, mechanics, method, dt, substeps, high_q, high_v, interleaved = MECHANICS[name]
    lagrangian, force = mechanics()
    generator = torch.Generator().manual_seed(3)
    for _ in range(4):
        q = (2 * torch.rand(len(high_q), generator=generator, dtype=torch.float64) - 1) * torch.tensor(high_q)
        v = (2 * torch.rand(len(high_q), generator=generator, dtype=torch.float64) - 1) * torch.tensor(high_v)
        action = 2 * torch.rand(1, 1, generator=generator, dtype=torch.float64) - 1
        task = make()
        after = task.transition(state_of(task, q, v, interleaved), action)
        for _ in range(substeps):

            def rate(place, speed, action=action):
                return lagrange.acceleration(lagrangian, force, place, speed, action.item())

            q, v = method(rate, q, v, dt)
        expected = state_of(task, q, v, interleaved)
        torch.testing.assert_close(torch.stack([*after]), torch.stack([*expected]), rtol=1e-9, atol=1e-9)


NO_FRICTION = {
    "single pole": ({"cart_friction": 0.0, "hinge_friction": 0.0}, (0.0, 0.0), 1e-7),
    "double pole": ({"cart_friction": 0.0, "hinge_friction": 0.0}, (0.0, 0.0), 2e-3),
    "furuta swing-up": ({"arm_damping": 0.0, "pole_damping": 0.0, "motor": 0.0}, None, 0.02),
    "motor swing-up": ({"cart_damping": 0.0, "pole_damping": 0.0, "motor": 0.0}, None, 0.05),
    "swing-up": ({"hinge_friction": 0.0}, (0.0,), 0.15),
    "damped pendulum": ({"damping": 0.0}, None, 0.1),
    "ball on beam": ({"friction": 0.0}, None, 0.1),
    "oscillator": ({"damping": 0.0}, None, 0.06),
}
"""Constants without friction, the same for the reference energy, and how far the energy may swing, relatively."""


@functools.cache
def swing(name: str, dt_factor: float = 1.0) -> tuple[float, float]:
    """Largest change of the energy in ten seconds and its drift, relative to the range of the kinetic energy."""
    make, mechanics, *_, interleaved = MECHANICS[name]
    changes, arguments, _ = NO_FRICTION[name]
    task = make()
    dt = task.default_params.dt * dt_factor
    task = type(task)(with_constants(name, task.default_params, {**changes, "dt": dt}))
    start = {
        "ball on beam": ([0.2, 0.1], [0.3, 0.0]),
        "oscillator": ([0.5], [0.0]),
        "damped pendulum": ([2.0], [0.0]),
        "double pole": ([0.0, 0.3, -0.2], [0.2, 0.0, 0.0]),
    }.get(name, ([0.0, 2.0], [0.1, 0.0]))
    state = state_of(task, *(torch.tensor(x, dtype=torch.float64) for x in start), interleaved)
    lagrangian, _ = mechanics(*arguments) if arguments else (None, None)

    def energies(state):
        if lagrangian is None:
            still = state._replace(**{k: x * 0 for k, x in state._asdict().items() if k in "v omega" or "_omega" in k})
            return task.energy(state).item(), (task.energy(state) - task.energy(still)).item()
        flat = torch.cat([*state])
        q, v = (flat[::2], flat[1::2]) if interleaved else flat.chunk(2)
        kinetic = (lagrangian(q, v) - lagrangian(q, v * 0)).item()
        return 2 * kinetic - lagrangian(q, v).item(), kinetic

    still_action = torch.zeros(1, 1, dtype=torch.float64)
    seen = [energies(state)]
    for i in range(round((2 if name == "ball on beam" else 10) / dt)):
        state = task.transition(state, still_action)
        if i % 8 == 0:
            seen.append(energies(state))
    total, kinetic = torch.tensor(seen, dtype=torch.float64).unbind(-1)
    change = (total - total[0]) / (kinetic.max() - kinetic.min())
    quarter = len(change) // 4
    return change.abs().max().item(), (change[-quarter:].mean() - change[:quarter].mean()).item()


@pytest.mark.parametrize("name", NO_FRICTION)
def test_without_friction_energy_neither_grows_nor_shrinks(name):
    most, drift = swing(name)
    assert 0 < most < NO_FRICTION[name][2]
    assert abs(drift) < NO_FRICTION[name][2] / 2


@pytest.mark.parametrize("name", ["motor swing-up", "swing-up", "damped pendulum", "ball on beam", "oscillator"])
def test_symplectic_euler_is_of_first_order(name):
    assert swing(name)[0] / swing(name, 0.5)[0] == pytest.approx(2, rel=0.25)


@pytest.mark.parametrize("name", ["single pole", "furuta swing-up"])
def test_runge_kutta_is_of_fourth_order(name):
    # The energy of a method of order 4 is off by dt^4 or, over many swings, by dt^5.
    assert swing(name)[0] / swing(name, 0.5)[0] > 12


def test_friction_takes_energy():
    for make in (furuta_swing_up, motor_cart_pole_swing_up, DampedPendulum, OneMassOscillator):
        task = make()
        coordinates = len(task.initial([torch.zeros(1, dtype=torch.float64)] * task.draws.initial)) // 2
        state = state_of(task, *torch.full((2, coordinates), 0.5, dtype=torch.float64), False)
        before = task.energy(state)
        for _ in range(400):
            state = task.transition(state, torch.zeros(1, 1, dtype=torch.float64))
        assert task.energy(state) < before


def one_axis(**constants):
    task = BallBalancer()
    task = BallBalancer(with_constants("", task.default_params, constants))
    return task, task.initial([torch.full((1,), 0.5, dtype=torch.float64)] * 2)


def test_the_servo_of_the_ball_balancer_reaches_the_speed_at_which_motor_and_damping_balance():
    task, state = one_axis(servo_limit=1e9)
    state = state._replace(x=state.x * 0, y=state.y * 0)
    for _ in range(400):
        state = task.transition(state, torch.tensor([[1.0, -1.0]], dtype=torch.float64))
    gain = 0.9 * 70 * 0.69 * 0.0077 / 2.6
    speed = 3 * gain / (gain * 70 * 0.0077 + 0.015)
    assert state.servo_x_omega.item() == pytest.approx(speed, rel=1e-9)
    assert state.servo_y_omega.item() == pytest.approx(-speed, rel=1e-9)


def test_the_first_step_of_the_ball_balancers_servo_is_voltage_over_inertia():
    task, state = one_axis()
    after = task.transition(state, torch.tensor([[0.5, 0.25]], dtype=torch.float64))
    inertia = 0.9 * 70**2 * 4.6063e-7 + 5.2822e-5
    drive = 0.9 * 70 * 0.69 * 0.0077 / 2.6
    assert after.servo_x_omega.item() == pytest.approx(0.01 * drive * 1.5 / inertia, rel=1e-12)
    assert after.servo_x.item() == pytest.approx(0.01**2 * drive * 1.5 / inertia, rel=1e-12)
    assert after.servo_y_omega.item() == pytest.approx(0.01 * drive * 0.75 / inertia, rel=1e-12)


def test_the_ball_balancers_dead_zone_swallows_small_voltages():
    task, state = one_axis()
    for x, y, alive_x, alive_y in (
        (0.279, 0.279, 0, 0),
        (0.281, 0.281, 1, 1),
        (-0.099, -0.073, 0, 0),
        (-0.101, -0.075, 1, 1),
        (-0.09, -0.08, 0, 1),
    ):
        after = task.transition(state, torch.tensor([[x, y]], dtype=torch.float64) / 3)
        assert (after.servo_x_omega != 0).item() == alive_x
        assert (after.servo_y_omega != 0).item() == alive_y


def test_the_ball_on_the_plate_rolls_at_five_sevenths_of_g_sin_tilt_minus_friction():
    task, state = one_axis()
    half = torch.full((1,), 0.3, dtype=torch.float64)
    state = state._replace(servo_x=half, servo_y=-half, x_v=half)
    after = task.transition(state, torch.zeros(1, 2, dtype=torch.float64))
    tilt = 2 * 0.0254 / 0.275 * math.sin(0.3)
    assert after.y_v.item() == pytest.approx(-0.01 * 5 / 7 * 9.81 * tilt, rel=1e-12)
    assert after.x_v.item() - 0.3 == pytest.approx(0.01 * 5 / 7 * (9.81 * tilt - 0.05 * 0.3 / 0.003), rel=1e-12)


def test_a_turning_plate_throws_the_ball_outwards():
    task, state = one_axis(friction=0.0)
    fast = state._replace(servo_x_omega=torch.full((1,), 2.0, dtype=torch.float64))
    thrown = task.transition(fast, torch.zeros(1, 2, dtype=torch.float64)).x_v
    # The plate turns by d/dt asin(k sin servo) = k omega at servo 0.
    turning = 2 * 0.0254 / 0.275 * 2.0
    assert thrown.item() == pytest.approx(0.01 * 5 / 7 * state.x.item() * turning**2, rel=1e-12)


def test_a_ball_on_a_still_plate_keeps_its_energy():
    task, state = one_axis(friction=0.0, plate_length=0.275)
    state = state._replace(servo_x=torch.full((1,), -0.05, dtype=torch.float64), x=state.x * 0 + 0.05)
    seen = []
    for _ in range(50):
        seen.append(task.energy(state).item())
        state = task.transition(state, torch.zeros(1, 2, dtype=torch.float64))
    falling = task.energy(state._replace(x_v=state.x_v * 0, y_v=state.y_v * 0)).item() - seen[0]
    assert max(abs(e - seen[0]) for e in seen) < 0.05 * abs(falling)
