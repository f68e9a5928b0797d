"""Every constant has the value of its source and does something: 1 % more or less is noticed.

The constants of Gymnasium's twins are held by the parity test; those of the mechanics by Lagrange's equations, too.
"""

import dataclasses
import math

import pytest
import torch
from torch.utils import _pytree as pytree

from nf_envs.base import with_constants
from tests.envs.all_tasks import BARE, core
from tests.envs.test_core import rng

DEG = math.pi / 180
POLE = {"gravity": 9.8, "cart_mass": 1.0, "force": 10.0, "x_limit": 2.4, "dt": 0.02}
DOUBLE = {
    **POLE,
    "cart_friction": 0.0005,
    "mass_1": 0.1,
    "half_length_1": 0.5,
    "mass_2": 0.01,
    "half_length_2": 0.05,
    "hinge_friction": 0.000002,
    "theta_limit": 0.628329,
    "theta_start": 0.07,
}
FURUTA = {
    "gravity": 9.81,
    "resistance": 8.4,
    "motor": 0.042,
    "arm_mass": 0.095,
    "arm_length": 0.085,
    "arm_damping": 5e-6,
    "pole_mass": 0.024,
    "pole_length": 0.129,
    "pole_damping": 1e-6,
    "voltage": 5.0,
    "dt": 0.01,
    "theta_limit": 115 * DEG,
    "alpha_limit": 4 * math.pi,
    "omega_limit": 20 * math.pi,
}
MOTOR = {
    "gravity": 9.81,
    "cart_mass": 0.38,
    "rail_length": 0.814,
    "gear_efficiency": 0.9,
    "motor_efficiency": 0.9,
    "gear_ratio": 3.71,
    "motor_inertia": 3.9e-7,
    "pinion_radius": 6.35e-3,
    "resistance": 2.6,
    "motor": 7.67e-3,
    "pole_damping": 0.0024,
    "cart_damping": 5.4,
    "pole_mass": 0.127,
    "half_length": 0.16825,
    "voltage": 8.0,
    "start_x_spread": 0.02,
}
SOURCES = {
    "SinglePole": {
        **POLE,
        "cart_friction": 0.0005,
        "pole_mass": 0.1,
        "half_length": 0.5,
        "hinge_friction": 0.000002,
        "theta_limit": 12 * DEG,
        "theta_start": 0.07,
    },
    "DoublePole": DOUBLE,
    "DoublePoleDamping": DOUBLE,
    "CartPoleSwingUp": {**POLE, "pole_mass": 0.1, "half_length": 0.5, "hinge_friction": 0.001, "start": 0.05},
    "OneMassOscillator": {
        "mass": 1.0,
        "stiffness": 30.0,
        "damping": 0.5,
        "force": 30.0,
        "goal": 0.0,
        "dt": 0.02,
        "x_limit": 1.0,
        "v_limit": 10.0,
        "failure": 1000.0,
    },
    "BallOnBeam": {
        "gravity": 9.81,
        "ball_mass": 0.5,
        "ball_radius": 0.1,
        "beam_mass": 3.0,
        "beam_length": 2.0,
        "beam_thickness": 0.1,
        "friction": 0.05,
        "torque": 29.43,
        "dt": 0.01,
        "angle_limit": math.pi / 4,
        "v_limit": 10.0,
        "omega_limit": math.pi,
    },
    "DampedPendulum": {
        "gravity": 9.81,
        "mass": 1.0,
        "length": 1.0,
        "damping": 0.05,
        "torque": 3.5,
        "dt": 0.02,
        "theta_limit": 4 * math.pi,
        "omega_limit": 4 * math.pi,
    },
    "FurutaSwingUp": {
        **FURUTA,
        "start_alpha": 0.0,
        "start_theta_spread": 2 * DEG,
        "start_alpha_spread": 1 * DEG,
        "start_omega_spread": 0.5 * DEG,
        "weight_theta": 1.0,
        "weight_alpha": 1.0,
        "weight_theta_omega": 0.02,
        "weight_alpha_omega": 0.005,
        "weight_voltage": 4e-3,
    },
    "FurutaBalance": {
        **FURUTA,
        "start_alpha": math.pi,
        "start_theta_spread": 5 * DEG,
        "start_alpha_spread": 5 * DEG,
        "start_omega_spread": 0.0,
        "weight_theta": 3.0,
        "weight_alpha": 4.0,
        "weight_theta_omega": 2.0,
        "weight_alpha_omega": 2.0,
        "weight_voltage": 0.05,
    },
    "MotorCartPoleSwingUp": {
        **MOTOR,
        "dt": 0.002,
        "start_theta": 0.0,
        "start_theta_spread": 2 * DEG,
        "start_v_spread": 0.0,
        "start_omega_spread": 1 * DEG,
        "failure": 0.0,
    },
    "MotorCartPoleBalance": {
        **MOTOR,
        "dt": 0.01,
        "start_theta": math.pi,
        "start_theta_spread": 8 * DEG,
        "start_v_spread": 0.02,
        "start_omega_spread": 5 * DEG,
        "failure": 1000.0,
    },
    "BallBalancer": {
        "gravity": 9.81,
        "ball_mass": 0.003,
        "ball_radius": 0.019625,
        "plate_length": 0.275,
        "arm_length": 0.0254,
        "gear_ratio": 70.0,
        "gear_efficiency": 0.9,
        "motor_efficiency": 0.69,
        "load_inertia": 5.2822e-5,
        "motor_inertia": 4.6063e-7,
        "motor": 0.0077,
        "resistance": 2.6,
        "servo_damping": 0.015,
        "friction": 0.05,
        "voltage": 3.0,
        "dead_x_low": -0.10,
        "dead_x_high": 0.28,
        "dead_y_low": -0.074,
        "dead_y_high": 0.28,
        "dt": 0.01,
        "servo_limit": math.pi / 4,
    },
    "RepeatFirst": {"least_delay": 10, "greatest_delay": 40},
    "RepeatPrevious": {"length": 64},
    "TMaze": {"least_length": 5, "greatest_length": 20, "bump": 0.1},
    "CountParity": {"length": 32},
}
IDS = {name: next(i for i in BARE if i.startswith(f"nf/{name}-")) for name in SOURCES}


def test_every_task_that_is_not_gymnasiums_is_here():
    assert {i for i in BARE if core(i).twin is None} == set(IDS.values())


@pytest.mark.parametrize("name", SOURCES)
def test_constants_are_those_of_the_source(name):
    assert dataclasses.asdict(core(IDS[name]).default_params) == pytest.approx(SOURCES[name], rel=1e-12)


ONLY_SEEN = {("BallOnBeam", "ball_radius"), ("BallBalancer", "ball_radius")}
"""The radius of a full ball that rolls has no influence on its motion: m + J / r² = 7/5 m. It is drawn."""

UNUSED_THERE = {("MotorCartPoleSwingUp", "failure")}
"""The swing-up has no price for failure."""


def behaviour(task, params):
    """All that the methods give for starts, for states with one entry at every size, and for every action."""
    # Fine enough for 1 % of the smallest limit: of the dead zone it is 0.0007 of 3 V.
    n = 10_001 if "dead_y_low" in vars(task.default_params) else 2001
    start = task.initial(rng(task.draws.initial, n, torch.float64), params)
    out = pytree.tree_leaves(start)
    space = task.action_space
    if task.default_params.__class__.__module__.startswith("nf_envs.memory"):
        for i in range(70):
            action = torch.full((n,), 0 if i < 60 else 3) % int(space.n)
            out += step(task, params, start, action, rng(task.draws.transition, n, torch.float64))
            start = task.transition(start, action, rng(task.draws.transition, n, torch.float64), params)
        return torch.cat([x.flatten().double() for x in out])
    leaves, spec = pytree.tree_flatten(task.initial(rng(task.draws.initial, n, torch.float64)))
    line = torch.linspace(-1, 1, n, dtype=torch.float64)
    few = [0.05 * torch.cos(torch.arange(x.numel(), dtype=x.dtype)).reshape(x.shape) for x in leaves]
    for k, x in enumerate(leaves):
        for size in (1, 4, 16, 64):
            entry = size * line.reshape(-1, *[1] * (x.dim() - 1)).expand_as(x)
            state = pytree.tree_unflatten([*few[:k], entry, *few[k + 1 :]], spec)
            out += step(task, params, state, line.flip(0)[:, None].expand(-1, *space.shape))
    out += step(task, params, pytree.tree_unflatten(few, spec), line[:, None].expand(-1, *space.shape))
    return torch.cat([x.flatten().double() for x in out])


def step(task, params, state, action, numbers=()):
    after = task.transition(state, action, numbers, params)
    seen = task.observation(after, (), params)
    ended = task.terminal(state, (), params)
    return [*pytree.tree_leaves(after), task.reward(state, action, after, numbers, params), ended, seen]


@pytest.mark.parametrize("name", SOURCES)
def test_one_per_cent_more_or_less_of_any_constant_changes_what_happens(name):
    task = core(IDS[name])
    before = behaviour(task, task.default_params)
    for field in dataclasses.fields(task.default_params):
        value = getattr(task.default_params, field.name)
        if value == 0 and (name, field.name) in UNUSED_THERE:
            continue
        counted = core(IDS[name]).default_params.__class__.__module__.startswith("nf_envs.memory")
        step = 1.0 if counted and field.name != "bump" else 0.01 * (value or 1)
        changed = value + step
        after = behaviour(task, with_constants(name, task.default_params, {field.name: changed}))
        same = torch.allclose(before, after, rtol=1e-9, atol=1e-12)
        assert same == ((name, field.name) in ONLY_SEEN), f"{field.name} of {name}"


def test_rewards_are_those_of_the_sources():
    """Written out for one state and action each."""
    n = torch.tensor

    def reward(env_id, state, action):
        task = core(f"nf/{env_id}")
        kind = type(task.initial([torch.zeros(1, dtype=torch.float64)] * task.draws.initial))
        state = kind(*(n([float(x)], dtype=torch.float64) for x in state))
        action = n([action], dtype=torch.float64)
        return task.reward(state, action, task.transition(state, action)).item()

    x, a, v, w, u = 0.3, 0.2, 0.5, -0.4, 0.5
    assert reward("OneMassOscillator-v0", (x, v), [u]) == pytest.approx(
        -(10 * x**2 + 0.01 * v**2 + 1e-6 * (30 * u) ** 2)
    )
    assert reward("OneMassOscillator-v0", (0.99, 9), [u]) < -1000
    worst = 1e5 * 1 + 1e3 * (math.pi / 4) ** 2 + 1e3 * 100 + 1e2 * math.pi**2 + 29.43**2
    spent = 1e5 * x**2 + 1e3 * a**2 + 1e3 * v**2 + 1e2 * w**2 + (29.43 * u) ** 2
    assert reward("BallOnBeam-v0", (x, a, v, w), [u]) == pytest.approx(math.exp(math.log(1e-4) * spent / worst))
    assert reward("DampedPendulum-v0", (3.0, v), [u]) == pytest.approx(
        math.exp(-((3.0 - math.pi) ** 2 + 1e-3 * v**2 + 1e-2 * (3.5 * u) ** 2))
    )
    # Angles count the shortest way: one turn more is the same.
    assert reward("DampedPendulum-v0", (3.0 - 2 * math.pi, v), [u]) == pytest.approx(
        math.exp(-((3.0 - math.pi) ** 2 + 1e-3 * v**2 + 1e-2 * (3.5 * u) ** 2))
    )
    e = 3.0 - math.pi
    for env_id, q, r in (("FurutaSwingUp-v0", (1, 1, 0.02, 0.005), 4e-3), ("FurutaBalance-v0", (3, 4, 2, 2), 0.05)):
        spent = q[0] * a**2 + q[1] * e**2 + q[2] * v**2 + q[3] * w**2 + r * (5 * u) ** 2
        assert reward(env_id, (a, 3.0, v, w), [u]) == pytest.approx(math.exp(-spent))
    rest = 0.01 * v**2 + 0.01 * w**2 + 1e-3 * (8 * u) ** 2
    assert reward("MotorCartPoleBalance-v0", (x, 3.0, v, w), [u]) == pytest.approx(-(5 * x**2 + 10 * e**2 + rest))
    assert reward("MotorCartPoleBalance-v0", (0.357, 3.0, v, w), [u]) < -1000
    assert reward("MotorCartPoleSwingUp-v0", (x, 3.0, v, w), [u]) == pytest.approx(math.exp(-(5 * x**2 + e**2 + rest)))
    q = (1, 1, 5e3, 5e3, 0.01, 0.01, 0.5, 0.5)
    worst_state = (math.pi / 4, math.pi / 4, 0.1375, 0.1375, 4 * math.pi, 4 * math.pi, 0.5, 0.5)
    worst = sum(k * s**2 for k, s in zip(q, worst_state, strict=True)) + 0.01 * 2 * 9
    state = (0.1, -0.2, 0.05, 0.03, 1.0, -2.0, 0.1, 0.2)
    spent = sum(k * s**2 for k, s in zip(q, state, strict=True)) + 0.01 * (1.5**2 + 0.75**2)
    assert reward("BallBalancer-v0", state, [0.5, -0.25]) == pytest.approx(math.exp(math.log(1e-4) * spent / worst))
    near = math.cos(x / 2.4 * math.pi / 2)
    assert reward("CartPoleSwingUp-v0", (x, 0.0, 0.2, 0.0), [0.0]) == pytest.approx(
        (1 + math.cos(0.2)) / 2 * near, rel=1e-2
    )


def test_starts_of_the_robots_lie_where_the_sources_say():
    def ends(env_id):
        task = core(f"nf/{env_id}")
        draws = [torch.rand(4000, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in range(5)]
        state = task.initial(draws)
        return {k: (x.min().item(), x.max().item()) for k, x in state._asdict().items()}, state

    def close(found, expected):
        for k, (low, high) in expected.items():
            assert found[k] == pytest.approx((low, high), abs=2e-3 * max(high - low, 1e-9)), k

    close(ends("OneMassOscillator-v0")[0], {"x": (-0.75, -0.65), "v": (-0.1, 0.1)})
    found, state = ends("BallOnBeam-v0")
    close(found, {"x": (-0.8, 0.8), "angle": (-5 * DEG, 5 * DEG), "v": (-0.2, 0.2)})
    close(found, {"omega": (-0.02 * math.pi, 0.02 * math.pi)})
    assert 0.7 <= state.x.abs().min().item() < 0.701
    close(ends("DampedPendulum-v0")[0], {"theta": (0, 0), "omega": (0, 0)})
    close(ends("FurutaBalance-v0")[0], {"theta": (-5 * DEG, 5 * DEG), "alpha": (175 * DEG, 185 * DEG)})
    close(ends("FurutaSwingUp-v0")[0], {"theta": (-2 * DEG, 2 * DEG), "alpha": (-1 * DEG, 1 * DEG)})
    _, state = ends("BallBalancer-v0")
    far = torch.hypot(state.x, state.y) / (0.275 / 2)
    assert 0.75 <= far.min().item() < 0.7505
    assert 0.7995 < far.max().item() <= 0.8
    assert torch.atan2(state.y, state.x).std().item() == pytest.approx(2 * math.pi / 12**0.5, rel=0.05)
