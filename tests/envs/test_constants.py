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
from tests.envs.constants_of_sources import DEG, SOURCES
from tests.envs.test_core import rng

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


LONG = {"BallBalancer", "DoublePoleDamping"}
"""Whose many constants, or small steps, take long."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in SOURCES]
)
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
