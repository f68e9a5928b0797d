"""Pole balancing: what ends it, Gruau's fitness by hand, and 625 starts with a failure flag each."""

import functools
import itertools

import pytest
import torch

from nf_envs.balance import DoublePole, DoublePoleDamping, SinglePole, damping_fitness, generalisation
from nf_envs.balance.double_pole import Constants, State
from nf_envs.balance.generalisation import generalisation_starts
from tests.envs.all_tasks import vector


@functools.cache
def feedback():
    """The linear policy on all six entries that is optimal near upright, from Riccati's equation."""
    # Without the cart's friction, which jumps where the linearisation is.
    task, zero = DoublePole(Constants(cart_friction=0.0)), torch.zeros(1, 7, dtype=torch.float64)

    def step(z):
        after = task.transition(State(*z[..., :6].unbind(-1)), z[..., 6:])
        return torch.stack([*after], -1)

    e = 1e-5 * torch.eye(7, dtype=torch.float64)
    slopes = ((step(zero + e) - step(zero - e)) / 2e-5).T
    a, b = slopes[:, :6], slopes[:, 6:]
    cost = torch.eye(6, dtype=torch.float64)
    for _ in range(3000):
        gain = torch.linalg.solve(1 + b.T @ cost @ b, b.T @ cost @ a)
        cost = torch.eye(6, dtype=torch.float64) + a.T @ cost @ (a - b @ gain)
    seen = gain * torch.tensor([2.4, 10, 0.628329, 5, 0.628329, 16], dtype=torch.float64)
    return lambda obs, memory: (-(obs @ seen.T).clip(-1, 1), memory)


def one(*values):
    return [torch.tensor([float(v)], dtype=torch.float64) for v in values]


@pytest.mark.parametrize(("task", "entries"), [(SinglePole, 4), (DoublePole, 6)])
def test_an_episode_starts_with_the_long_pole_at_007_rad_and_all_else_at_rest(task, entries):
    for u in (0.0, 0.9):
        assert [x.item() for x in task().initial(one(u))] == [0, 0, 0.07, 0, 0, 0][:entries]


def test_two_poles_fail_beyond_24_m_or_36_degrees_of_either():
    within = [(2.399, 0, 0), (0, 0.6283, 0), (0, 0, -0.6283)]
    beyond = [(2.401, 0, 0), (-2.401, 0, 0), (0, 0.62834, 0), (0, -0.62834, 0), (0, 0, 0.62834)]
    for cases, expected in ((within, False), (beyond, True)):
        for x, long, short in cases:
            assert bool(DoublePole().terminal(State(*one(x, 0, long, 0, short, 0)))) is expected


def test_one_pole_fails_beyond_24_m_or_12_degrees():
    state = SinglePole().initial(one(0.0))
    for x, theta, failed in ((2.41, 0, 1), (2.39, 0, 0), (0, 0.2093, 0), (0, 0.2096, 1), (0, -0.2096, 1)):
        (a, b) = one(x, theta)
        assert bool(SinglePole().terminal(state._replace(x=a, theta=b))) == bool(failed)


def test_poles_are_seen_in_the_usual_scales():
    seen = DoublePole().features(State(*one(1.2, 5, 0.3141645, 2.5, -0.628329, 8)))
    assert [x.item() for x in seen] == pytest.approx([0.5, 0.5, 0.5, 0.5, -1, 0.5])
    seen = SinglePole().features(SinglePole().initial(one(0.0))._replace(x=one(1.2)[0]))
    assert [x.item() for x in seen] == pytest.approx([0.5, 0, 0.07 / (12 * 3.141592653589793 / 180), 0])


def test_damping_fitness_by_hand():
    steady = torch.full((1000, 2), 0.01, dtype=torch.float64)
    steady[-100:, 1] = 0.5
    # 0.1 t/1000 + 0.9 · 0.75 / sum of the last hundred
    assert damping_fitness(steady).tolist() == pytest.approx([0.1 + 0.9 * 0.75 / 1.0, 0.1 + 0.9 * 0.75 / 50])
    assert damping_fitness(steady[:99]).tolist() == pytest.approx([0.0099, 0.0099])
    assert damping_fitness(steady[:100]).tolist() == pytest.approx([0.01 + 0.9 * 0.75] * 2)
    assert damping_fitness(steady[:500]).tolist() == pytest.approx([0.05 + 0.9 * 0.75] * 2)


def test_rewards_of_the_damping_task_add_up_to_the_fitness_of_its_wiggles():
    task, plain = DoublePoleDamping(), DoublePole()
    state, twin = task.initial(one(0.0)), plain.initial(one(0.0))
    total, wiggles = 0.0, []
    for step in range(260):
        action, _ = feedback()(plain.observation(twin), None)
        after, twin = task.transition(state, action), plain.transition(twin, action)
        total += task.reward(state, action, after).item()
        assert after.x.item() == twin.x.item()
        wiggles.append(sum(abs(getattr(twin, k).item()) for k in ("x", "v", "theta_1", "omega_1")))
        state = after
        if step in (0, 98, 99, 100, 199, 259):
            n, last = step + 1, sum(wiggles[-100:])
            assert total == pytest.approx(0.1 * n / 1000 + (0.9 * 0.75 / last if n >= 100 else 0), rel=1e-9)
            assert damping_fitness(torch.tensor(wiggles, dtype=torch.float64)).item() == pytest.approx(total, rel=1e-9)
    assert not task.terminal(state)


def test_shaking_the_cart_earns_less_than_standing_still():
    still, shaking = torch.full((2, 300, 1), 0.02)
    shaking = shaking * 20
    assert damping_fitness(still) > 10 * damping_fitness(shaking) / 2
    assert damping_fitness(shaking) > 0


def test_the_starts_are_a_grid_of_five_places_in_each_of_four_ranges():
    starts = generalisation_starts()
    expected = [
        [(2 * s - 1) * r for s, r in zip(grid, (2.16, 1.35, 0.06283152, 0.15009752), strict=True)]
        for grid in itertools.product((0.05, 0.25, 0.5, 0.75, 0.95), repeat=4)
    ]
    torch.testing.assert_close(torch.stack(starts[:4], -1), torch.tensor(expected, dtype=torch.float64))
    assert not torch.stack(starts[4:]).any()
    assert len(starts.x) == 625
    assert starts.x.max().item() == pytest.approx(1.944)


def test_every_start_has_a_failure_flag_of_its_own():
    many = generalisation(feedback(), None, observed=tuple(range(6)), steps=150)
    starts = generalisation_starts()
    chosen = [0, 312, 313, 400, 624]
    for i in chosen:
        alone = State(*(x[i : i + 1] for x in starts))
        survives = generalisation(feedback(), None, observed=tuple(range(6)), steps=150, starts=alone)
        assert survives.tolist() == [many[i].item()]
    assert 0 < many.sum() < 625  # some fail, and do not spoil the others


def test_one_failure_does_not_spoil_the_starts_after_it():
    failing, fine = State(*one(2.39, 5, 0, 0, 0, 0)), State(*one(0, 0, 0, 0, 0, 0))
    both = State(*(torch.cat(pair) for pair in zip(failing, fine, strict=True)))
    idle = generalisation(lambda obs, m: (obs[:, :1] * 0, m), None, steps=20, starts=both)
    assert idle.tolist() == [False, True]


def test_memory_and_hidden_velocities_reach_the_policy():
    seen = []

    def policy(obs, memory):
        seen.append((obs.shape, memory))
        return torch.zeros(625, 1), memory + 1

    generalisation(policy, 0, steps=3)
    assert seen == [((625, 3), 0), ((625, 3), 1), ((625, 3), 2)]


def test_the_damping_task_ends_after_a_thousand_steps_and_balance_after_a_hundred_thousand():
    assert vector("nf/DoublePoleDamping-v0").max_episode_steps == 1000
    assert vector("nf/DoublePole-v0").max_episode_steps == vector("nf/SinglePole-v0").max_episode_steps == 100_000
