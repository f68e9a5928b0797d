"""Each sensor and actuator does exactly what it says, on its own and in company, and begins anew with an episode."""

import math

import pytest
import torch

from nf_envs.base import Draws, Task
from nf_envs.sensing import (
    ActionDelay,
    ActionNoise,
    ActionRepeat,
    FilterVelocities,
    FrameDropout,
    HideVelocities,
    Mask,
    ObservationDelay,
    ObservationNoise,
    Observe,
    OnlyVelocities,
    Uniform,
)
from tests.envs.all_tasks import BARE, EVERYTHING, core, play, vector

LANES = 6


def ramp(sensing, steps=6, action=0.5, num_envs=LANES, seed=0):
    """What a pendulum under a given torque shows without and with sensors. Both (time, lanes, entries)."""
    runs = []
    for devices in ([], sensing):
        env = vector("nf/Pendulum-v1", num_envs, sensing=devices, max_episode_steps=100, dtype=torch.float64)
        obs = [env.reset(seed=seed, options={"state": (0.5, 0.2)})[0]]
        obs += [env.step(torch.full((num_envs, 1), float(action)))[0] for _ in range(steps)]
        runs.append(torch.stack(obs))
    return runs


def test_hidden_velocities_are_left_out_and_only_velocities_left():
    bare, seen = ramp([HideVelocities()])
    torch.testing.assert_close(seen, bare[..., :2])
    bare, seen = ramp([OnlyVelocities()])
    torch.testing.assert_close(seen, bare[..., 2:])


@pytest.mark.parametrize("env_id", [i for i in BARE if core(i).velocities])
def test_the_entries_said_to_be_velocities_are_those_that_change_without_moving(env_id):
    """The same place with other velocities shows the same, but for the velocities."""
    task = core(env_id)
    kind = type(task.initial([torch.zeros(1)] * task.draws.initial))
    state = task.initial([torch.full((1,), 0.3, dtype=torch.float64)] * task.draws.initial)
    fast = [k for k in kind._fields if k in ("v", "velocity") or "omega" in k or k.endswith("_v")]
    moved = state._replace(**{k: getattr(state, k) + 0.01 for k in fast})
    pairs = zip(task.features(state), task.features(moved), strict=True)
    assert tuple(i for i, (a, b) in enumerate(pairs) if a != b) == task.velocities


def test_observe_picks_in_order_and_knows_which_are_velocities():
    bare, seen = ramp([Observe([2, 0])])
    torch.testing.assert_close(seen, bare[..., [2, 0]])
    assert core("nf/Pendulum-v1", sensing=[Observe([2, 0])]).velocities == (0,)
    torch.testing.assert_close(ramp([Observe([2, 0]), HideVelocities()])[1], bare[..., :1])


def test_a_mask_shows_zero_and_keeps_the_space():
    bare, seen = ramp([Mask([2])])
    torch.testing.assert_close(seen, bare * torch.tensor([1, 1, 0]))
    assert core("nf/Pendulum-v1", sensing=[Mask([2])]).observation_space == core("nf/Pendulum-v1").observation_space


def test_observation_noise_has_its_deviation_and_saturates_at_the_bounds():
    bare, seen = ramp([ObservationNoise([0.0, 0.05, 0.5])], steps=2, num_envs=4000)
    noise = seen - bare
    assert not noise[..., 0].any()
    assert noise[..., 1:].std(dim=(0, 1)).tolist() == pytest.approx([0.05, 0.5], rel=0.05)
    assert noise.mean().abs() < 0.02
    assert abs(torch.corrcoef(noise[:2, :, 2])[0, 1]) < 0.08  # each step has its own
    _, loud = ramp([ObservationNoise(100.0)])
    assert loud[..., 2].abs().max() == 8
    assert loud[..., :2].abs().max() == 1


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_delayed_observation_is_that_of_so_many_steps_ago(steps):
    bare, seen = ramp([ObservationDelay(steps)])
    for t in range(7):
        torch.testing.assert_close(seen[t], bare[max(t - steps, 0)])


def test_a_random_delay_is_constant_within_an_episode_and_takes_every_value():
    bare, seen = ramp([ObservationDelay(1, 3)], steps=8, num_envs=300)
    found = torch.stack([(seen[8] == bare[8 - d]).all(-1) for d in range(5)])
    assert found.sum(0).eq(1).all()
    counts = found.sum(1)
    assert counts[[0, 4]].tolist() == [0, 0]
    assert (counts[1:4] > 70).all()
    for d in range(1, 4):
        assert (seen[7] == bare[7 - d]).all(-1)[found[d]].all()


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_delayed_action_moves_so_many_steps_later_and_nothing_moves_before(steps):
    _, seen = ramp([ActionDelay(steps)])
    idle = ramp([], action=0.0)[0]
    for t in range(7):
        assert torch.equal(seen[t], idle[t]) == (t <= steps)


def test_a_delayed_discrete_action_begins_with_the_one_that_does_least():
    env = vector("nf/MountainCar-v0", 1, sensing=[ActionDelay(1)])
    bare = vector("nf/MountainCar-v0", 1)
    first = torch.equal(env.reset(seed=0)[0], bare.reset(seed=0)[0])
    assert first
    torch.testing.assert_close(env.step(torch.tensor([2]))[0], bare.step(torch.tensor([1]))[0])
    torch.testing.assert_close(env.step(torch.tensor([0]))[0], bare.step(torch.tensor([2]))[0])


def test_action_noise_has_its_deviation_stays_in_bounds_and_is_what_the_reward_counts():
    env = vector("nf/Pendulum-v1", 4000, sensing=[ActionNoise(0.3)], dtype=torch.float64)
    env.reset(seed=0, options={"state": (0.0, 0.0)})
    _, reward, *_ = env.step(torch.full((4000, 1), 1.0))
    applied = env.lanes.state.applied[:, 0]
    assert applied.mean().item() == pytest.approx(1, abs=0.02)
    assert applied.std().item() == pytest.approx(0.3, rel=0.05)
    torch.testing.assert_close(reward, (-0.001 * applied**2).float())
    env.reset(seed=0)
    env.step(torch.full((4000, 1), 2.0))
    assert env.lanes.state.applied.max() == 2


def test_a_lost_frame_shows_the_last_one():
    bare, seen = ramp([FrameDropout(0.4)], steps=20, num_envs=500)
    assert torch.equal(seen[0], bare[0])
    lost = 0
    for t in range(1, 21):
        new, old = (seen[t] == bare[t]).all(-1), (seen[t] == seen[t - 1]).all(-1)
        assert (new ^ old).all()
        lost += old.sum().item()
    assert lost / 10_000 == pytest.approx(0.4, abs=0.02)
    assert torch.equal(ramp([FrameDropout(0.0)])[1], bare[:7, :LANES])
    assert (ramp([FrameDropout(1.0)])[1] == bare[0, 0]).all()


def test_filtered_velocities_follow_with_the_time_constant_of_the_cutoff():
    bare, seen = ramp([FilterVelocities(20.0)])
    assert torch.equal(seen[..., :2], bare[..., :2])
    value, gain = bare[0, :, 2], 1 - math.exp(-20 * 0.05)
    for t in range(1, 7):
        value = value + gain * (bare[t, :, 2] - value)
        torch.testing.assert_close(seen[t, :, 2], value)


class Counter(Task):
    """Counts its steps; the reward is the number of the step, and the fifth ends the episode."""

    from nf_envs.memory.count_parity import Constants as constants  # noqa: N813
    from nf_envs.memory.count_parity import CountParity as _Parity

    observation_space, action_space, draws = _Parity.observation_space, _Parity.action_space, Draws(1, 0)

    def initial(self, rng, params=None):
        return torch.zeros_like(rng[0])

    def transition(self, state, action, rng=(), params=None):
        return state + 1

    def features(self, state, rng=(), params=None):
        return (state / 10,)

    def reward(self, state, action, next_state, rng=(), params=None):
        return next_state

    def terminal(self, state, rng=(), params=None):
        return state >= 5


def test_a_repeated_action_adds_up_rewards_and_stops_at_the_end():
    task = ActionRepeat(3).wrap(Counter())
    state = task.initial([torch.zeros(1)])
    state = task.transition(state, torch.zeros(1))
    assert state.total.item() == 1 + 2 + 3
    assert not task.terminal(state)
    state = task.transition(state, torch.zeros(1))
    assert state.total.item() == 4 + 5
    assert state.inner.item() == 5
    assert task.terminal(state)


def test_order_matters_a_filter_before_noise_is_smooth_underneath_and_after_it_smooths_the_noise():
    noise, smooth = ObservationNoise([0, 0, 1.0]), FilterVelocities(4.0)
    bare, _ = ramp([], steps=40, num_envs=300, action=0.0)
    rough = ramp([smooth, noise], steps=40, num_envs=300, action=0.0)[1] - bare
    soft = ramp([noise, smooth], steps=40, num_envs=300, action=0.0)[1] - bare
    assert rough[20:, :, 2].diff(dim=0).std() > 2 * soft[20:, :, 2].diff(dim=0).std()


def test_delays_add_up():
    bare, seen = ramp([ObservationDelay(1), ObservationDelay(2)])
    torch.testing.assert_close(seen[6], bare[3])
    torch.testing.assert_close(ramp([ActionDelay(1), ActionDelay(2)])[1], ramp([ActionDelay(3)])[1])


def test_memory_is_cleared_when_an_episode_ends():
    env = vector("nf/Pendulum-v1", 3, sensing=[ObservationDelay(2), ActionDelay(2)], max_episode_steps=4)
    env.reset(seed=0)
    for _ in range(4):
        obs, *_ = env.step(torch.full((3, 1), 2.0))
    physical = env.func_env.physical(env.lanes.state)
    torch.testing.assert_close(obs, env.func_env.physics.observation(physical))
    still = vector("nf/Pendulum-v1", 3)
    still.reset(options={"state": tuple(physical)})
    for _ in range(2):
        seen, *_ = env.step(torch.full((3, 1), -2.0))
        torch.testing.assert_close(seen, obs)  # nothing older than the episode
        expected, *_ = still.step(torch.zeros(3, 1))
    # and no action of the last episode moves this one
    moved = env.func_env.physics.observation(env.func_env.physical(env.lanes.state))
    torch.testing.assert_close(moved, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_at_once_stays_in_its_space_and_is_the_lanes_own(dtype):
    options = {"sensing": EVERYTHING, "constants": {"mass": Uniform(0.5, 2)}, "dtype": dtype}
    many = play(vector("nf/Pendulum-v1", 3, **options), 30, seed=[1, 2, 3], action_seed=4)
    one = play(vector("nf/Pendulum-v1", 1, **options), 30, seed=[2], action_seed=5)
    space = core("nf/Pendulum-v1").observation_space
    for step, alone in zip(many, one, strict=True):
        torch.testing.assert_close(step[0][1:2], alone[0])
        assert space.contains(alone[0][0].numpy())


def test_spaces_do_not_change_under_random_constants():
    for env_id in BARE:
        task = core(env_id)
        names = [k for k, v in vars(task.default_params).items() if v and "length" not in k and "delay" not in k]
        if names:
            value = abs(getattr(task.default_params, names[0]))
            random = core(env_id, constants={names[0]: Uniform(value * 0.9, value * 1.1)})
            assert random.observation_space == task.observation_space
            assert random.action_space == task.action_space
