"""The functional cores: pure, in any dtype, under vmap, with constants per lane, in one compiled graph."""

import dataclasses

import pytest
import torch
from torch.utils import _pytree as pytree

from nf_envs import lanes
from nf_envs.base import Task
from nf_envs.randomness import lane_keys, mix, normal, uniforms
from nf_envs.sensing import Uniform
from tests.envs.all_tasks import BARE, EVERYTHING, IDS, actions, core, vector


def rng(n, num_envs, dtype, seed=0):
    return torch.rand(n, num_envs, dtype=dtype, generator=torch.Generator().manual_seed(seed)).unbind()


def rollout(task, dtype=torch.float64, params=None, num_envs=3, steps=6):
    """All that a task's methods give in a few steps, as one list of tensors."""
    generator = torch.Generator().manual_seed(0)
    state = task.initial(rng(task.draws.initial, num_envs, dtype), params)
    out = [*pytree.tree_leaves(state), task.observation(state, (), params)]
    for i in range(steps):
        action = actions(task.action_space, num_envs, generator)
        numbers = rng(task.draws.transition, num_envs, dtype, seed=i)
        after = task.transition(state, action, numbers, params)
        out += [task.reward(state, action, after, numbers, params), task.terminal(after, (), params)]
        out += [*pytree.tree_leaves(after), task.observation(after, (), params)]
        state = after
    return out


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_has_the_dtype_of_the_random_numbers(env_id, dtype):
    floats = {x.dtype for x in rollout(core(env_id), dtype) if x.is_floating_point()}
    assert floats == {dtype}


@pytest.mark.parametrize("env_id", IDS)
def test_the_observation_is_the_features_side_by_side(env_id):
    task = core(env_id)
    state = task.initial(rng(task.draws.initial, 3, torch.float64))
    features = task.features(state)
    assert len(features) == task.observation_space.shape[0]
    torch.testing.assert_close(torch.stack(features, -1), task.observation(state))


@pytest.mark.parametrize("env_id", IDS)
def test_methods_modify_nothing(env_id):
    task = core(env_id)
    state = task.initial(rng(task.draws.initial, 3, torch.float64))
    before = [x.clone() for x in pytree.tree_leaves(state)]
    action = actions(task.action_space, 3, torch.Generator())
    numbers = rng(task.draws.transition, 3, torch.float64)
    task.reward(state, action, task.transition(state, action, numbers), numbers)
    for old, new in zip(before, pytree.tree_leaves(state), strict=True):
        torch.testing.assert_close(old, new, rtol=0, atol=0)


@pytest.mark.parametrize("env_id", BARE)
def test_vmap_over_single_environments_equals_the_batch(env_id):
    check_vmap(core(env_id))


def test_vmap_works_through_sensors_actuators_and_random_constants():
    check_vmap(core("nf/Pendulum-v1", sensing=EVERYTHING, constants={"mass": Uniform(0.5, 2.0)}))


def check_vmap(task):
    action = actions(task.action_space, 3, torch.Generator().manual_seed(0))

    def play(start, numbers, action):
        state = task.initial(start)
        after = task.transition(state, action, numbers)
        reward = task.reward(state, action, after, numbers)
        return after, task.observation(after), reward, task.terminal(after)

    start, numbers = (rng(n, 3, torch.float64) for n in task.draws)
    mapped = torch.vmap(play)(start, numbers, action)
    for one, many in zip(pytree.tree_leaves(mapped), pytree.tree_leaves(play(start, numbers, action)), strict=True):
        torch.testing.assert_close(one, many, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("env_id", BARE)
def test_constants_per_environment_equal_numbers(env_id):
    task = core(env_id)
    values = dataclasses.asdict(task.default_params)
    per_lane = type(task.default_params)(**{k: torch.full((3,), v, dtype=torch.float64) for k, v in values.items()})
    for number, tensor in zip(rollout(task), rollout(task, params=per_lane), strict=True):
        torch.testing.assert_close(number, tensor, rtol=1e-6, atol=1e-6)


def test_a_task_made_with_constants_per_lane_is_not_random():
    task = core("nf/Pendulum-v1", constants={"mass": torch.tensor([1.0, 2.0])})
    assert task.physics is task
    assert vector("nf/Pendulum-v1", 2, constants={"mass": torch.tensor([1.0, 2.0])}).reset(seed=0)[0].shape == (2, 3)


def test_dt_is_told_for_random_and_repeated_steps():
    from nf_envs.sensing import ActionRepeat

    assert core("nf/CartPole-v1", constants={"dt": Uniform(0.01, 0.03)}).dt == pytest.approx(0.02)
    assert core("nf/CartPole-v1", sensing=[ActionRepeat(3)]).dt == pytest.approx(0.06)
    assert core("nf/TMaze-v0").dt == 1


def check_compiled(task: Task, step=lanes.step_same):
    keys = lane_keys(range(16), torch.device("cpu"))
    start, _ = lanes.start(task, keys, torch.zeros(16, dtype=torch.int32), task.default_params, torch.float32)
    action = actions(task.action_space, 16, torch.Generator().manual_seed(0))
    quick, plain = lanes.compiled(step, 16), start
    fused = start
    for _ in range(4):
        expected = step(task, plain, action, task.default_params, 3, torch.float32)
        seen = quick(task, fused, action, task.default_params, 3, torch.float32)
        for a, b in zip(pytree.tree_leaves(seen), pytree.tree_leaves(expected), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        plain = fused = expected.lanes


COMPILER = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
"""The compiler of torch warns of its own parts."""


@COMPILER
@pytest.mark.parametrize("env_id", ["nf/CartPole-v1", "nf/TMaze-v0"])
def test_a_whole_step_compiles_into_one_graph(env_id):
    check_compiled(core(env_id))


@COMPILER
@pytest.mark.slow
@pytest.mark.parametrize("env_id", IDS)
def test_every_whole_step_compiles_into_one_graph(env_id):
    check_compiled(core(env_id))


@COMPILER
@pytest.mark.slow
@pytest.mark.parametrize("step", [lanes.step_next, lanes.step_paused])
def test_sensors_actuators_and_random_constants_compile_in_every_mode(step):
    check_compiled(core("nf/Pendulum-v1", sensing=EVERYTHING, constants={"mass": Uniform(0.5, 2.0)}), step)


@COMPILER
def test_a_compiled_view_is_not_compiled_again_for_other_constants():
    env = vector("nf/Pendulum-v1", 4, compile=True)
    plain = vector("nf/Pendulum-v1", 4)
    for i in range(12):
        options = {"constants": {"gravity": 5.0 + i}}
        torch.testing.assert_close(env.reset(seed=i, options=options)[0], plain.reset(seed=i, options=options)[0])
        action = torch.full((4, 1), 0.5)
        torch.testing.assert_close(env.step(action)[0], plain.step(action)[0], rtol=1e-5, atol=1e-5)


def test_random_numbers_are_uniform_and_independent_over_lanes_counts_and_episodes():
    keys = lane_keys(range(20_000), torch.device("cpu"))
    zeros = torch.zeros_like(keys)
    u = torch.stack(uniforms(keys, zeros, zeros, 4, torch.float64))
    later = torch.stack(uniforms(keys, zeros + 1, zeros, 4, torch.float64))
    shifted = torch.stack(uniforms(keys, zeros, zeros + 4, 4, torch.float64))
    every = torch.cat([u, later, shifted])
    assert ((every >= 0) & (every < 1)).all()
    counts = torch.histc(every.flatten(), 64, 0, 1)
    expected = every.numel() / 64
    assert ((counts - expected) ** 2 / expected).sum() < 120  # chi-square of 63 degrees of freedom: 1e-5 beyond
    correlation = torch.corrcoef(every) - torch.eye(12, dtype=torch.float64)
    assert correlation.abs().max() < 0.04  # 5.6 standard deviations
    neighbours = torch.corrcoef(torch.stack([u[0, :-1], u[0, 1:]]))[0, 1]
    assert abs(neighbours) < 0.04


def test_random_numbers_go_on_where_they_stopped():
    keys = lane_keys(range(5), torch.device("cpu"))
    zeros = torch.zeros_like(keys)
    all_six = uniforms(keys, zeros, zeros, 6, torch.float32)
    last_two = uniforms(keys, zeros, zeros + 4, 2, torch.float32)
    torch.testing.assert_close(torch.stack(all_six[4:]), torch.stack(last_two), rtol=0, atol=0)


def test_no_lane_sees_anothers_numbers_later():
    """With a common stride, lanes would share runs of numbers: about 20 such pairs among these."""
    n = 300_000
    keys = lane_keys(range(n), torch.device("cpu"))
    zeros = torch.zeros_like(keys)
    first, second = uniforms(keys, zeros, zeros, 2, torch.float64)
    third = uniforms(keys, zeros, zeros + 2, 1, torch.float64)[0]
    pairs = (first * 2**24).long() * 2**24 + (second * 2**24).long()
    moved = (second * 2**24).long() * 2**24 + (third * 2**24).long()
    assert not torch.isin(moved, pairs).any()


def test_mixing_is_a_bijection_of_a_sample():
    x = torch.arange(-100_000, 100_000, dtype=torch.int32)
    assert len(mix(x).unique()) == len(x)


def test_normal_numbers_are_finite_with_mean_0_and_deviation_1():
    u = torch.rand(200_000, generator=torch.Generator().manual_seed(0))
    z = normal(torch.cat([u, torch.tensor([0.0, 1 - 2.0**-24])]))
    assert torch.isfinite(z).all()
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 1) < 0.01
