"""The engine plays the policy and the task that it is given now, and says what it cannot play."""

import copy
import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch

from nf_policies import Policy, SimpleNeuralField, field_sizes
from nf_policies.policies.cells import GRU, LSTM, Memoryless
from nf_policies.rollouts.engine import Engine
from nf_policies.rollouts.play import Episode, play
from nf_policies.tasks.batched import make_batched
from nf_policies.tasks.side_by_side import make_envs

COMPILER = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # from inside torch.compile


def spaces_of(envs) -> tuple[gym.Space, gym.Space]:
    return envs.single_observation_space, envs.single_action_space


def policy_for(envs, *, kind=SimpleNeuralField, squash="tanh", hidden_size=2, **options) -> Policy:
    sizes = field_sizes(*spaces_of(envs))
    options = {"activation": "tanh", "dynamics": "linear", "tau_init": 2.0} | options
    field = kind(*sizes, hidden_size, generator=torch.Generator().manual_seed(0), **options)
    return Policy(field, *spaces_of(envs), squash=squash)


def cell_policy(envs, kind) -> Policy:
    torch.manual_seed(0)
    input_size, output_size = field_sizes(*spaces_of(envs))
    return Policy(kind(input_size, 4, output_size), *spaces_of(envs))


def step_by_step(envs, policy: Policy, seed: int) -> float:
    """One episode on the vector view, with the policy's own step."""
    obs, _ = envs.reset(seed=seed)
    potentials, total = policy.field.start(1), 0.0
    for t in range(envs.max_episode_steps):
        with torch.no_grad():
            action, trace = policy.step(obs, potentials, torch.tensor([t == 0]), policy.coefficients())
        potentials = trace.potentials
        obs, reward, *_ = envs.step(action)
        total += float(reward)
    return total


PENDULUM = {"max_episode_steps": 50}


@pytest.mark.parametrize("hidden_size", [2, 8])
def test_policies_that_differ_only_in_functions_do_not_share_what_an_engine_keeps(hidden_size) -> None:
    envs = make_batched("nf/Pendulum-v1", **PENDULUM)
    engine = Engine(envs)
    returns = []
    for options in ({}, {"activation": "sigmoid"}, {"squash": "clip"}, {"activation": torch.sin}, {"dt": 0.5}):
        policy = policy_for(envs, hidden_size=hidden_size, **options)
        with torch.no_grad():
            policy.field.output_embedding.weight.mul_(3)
        returns.append(engine(policy, None, [5])[0])
        np.testing.assert_array_equal(returns[-1], Engine(envs)(policy, None, [5])[0])
    assert len({float(r[0, 0]) for r in returns}) == 5


def test_constants_and_the_time_limit_are_those_of_the_task_now() -> None:
    envs = make_batched("nf/Pendulum-v1", **PENDULUM)
    engine, policy = Engine(envs), policy_for(envs)
    before = engine(policy, None, [5])[0]
    envs.reset(seed=0, options={"constants": {"gravity": 1.0}})
    light = engine(policy, None, [5])[0]
    assert light != before
    np.testing.assert_array_equal(light, Engine(envs)(policy, None, [5])[0])
    envs.max_episode_steps = 20
    assert engine(policy, None, [5])[1].lengths.tolist() == [20]


class Negated(SimpleNeuralField):
    """Sees everything with the other sign."""

    def trace(self, inputs, potentials, coefficients=None):
        return super().trace(-inputs, potentials, coefficients)


def test_the_step_of_a_subclass_and_hooks_are_played() -> None:
    envs = make_batched("nf/Pendulum-v1", **PENDULUM)
    plain, negated = policy_for(envs), policy_for(envs, kind=Negated)
    returns = Engine(envs)(negated, None, [5])[0][0, 0]
    assert returns != Engine(envs)(plain, None, [5])[0][0, 0]
    assert returns == pytest.approx(step_by_step(envs, negated, 5), rel=1e-5)
    hooked = policy_for(envs)
    hooked.head.register_forward_hook(lambda module, inputs, output: -output)
    returns = Engine(envs)(hooked, None, [5])[0][0, 0]
    assert returns != Engine(envs)(plain, None, [5])[0][0, 0]
    assert returns == pytest.approx(step_by_step(envs, hooked, 5), rel=1e-5)


def test_a_hook_of_an_embedding_runs_in_act_play_and_engine_alike() -> None:
    envs = make_batched("nf/Pendulum-v1", **PENDULUM)
    plain, hooked = policy_for(envs), policy_for(envs)
    hooked.field.input_embedding.register_forward_hook(lambda module, inputs, output: -output)
    obs, _ = envs.reset(seed=5)
    with torch.no_grad():
        action, _ = hooked.step(obs, hooked.field.start(1), torch.tensor([True]), hooked.coefficients())
    np.testing.assert_allclose(action[0], hooked.act(obs[0].numpy(), episode_start=True), rtol=1e-6)
    assert action[0] != torch.as_tensor(plain.act(obs[0].numpy(), episode_start=True))
    returns = Engine(envs)(hooked, None, [5])[0][0, 0]
    assert returns == pytest.approx(step_by_step(envs, hooked, 5), rel=1e-5)


class Lazy(Policy):
    """Acts by half."""

    def step(self, *arguments):
        actions, trace = super().step(*arguments)
        return actions / 2, trace


def test_a_policy_with_a_step_of_its_own_is_refused_in_one_sentence() -> None:
    envs = make_batched("nf/Pendulum-v1", **PENDULUM)
    lazy = Lazy(policy_for(envs).field, *spaces_of(envs))
    with pytest.raises(ValueError, match="This Lazy has a step or a normaliser of its own: play it with evaluate"):
        Engine(envs)(lazy, None, [0])


@pytest.mark.parametrize("kind", [GRU, LSTM, Memoryless])
def test_cells_are_played_too(kind) -> None:
    envs = make_batched("nf/Pendulum-v1", **PENDULUM)
    policy = cell_policy(envs, kind)
    returns, _ = Engine(envs)(policy, None, [5, 6])
    np.testing.assert_allclose(returns[0], [step_by_step(envs, policy, seed) for seed in (5, 6)], rtol=1e-5)
    with pytest.raises(ValueError, match="evolve a neural field"):
        Engine(envs)(policy, np.zeros((3, policy.n_parameters)), [5])


def test_a_frozen_policy_is_played() -> None:
    envs = make_batched("nf/Pendulum-v1", **PENDULUM)
    policy = policy_for(envs)
    returns = Engine(envs)(policy, None, [5])[0]
    policy.requires_grad_(False)
    np.testing.assert_array_equal(Engine(envs)(policy, None, [5])[0], returns)


def test_environments_in_float64_are_played_in_float64() -> None:
    single, double = make_batched("nf/Pendulum-v1"), make_batched("nf/Pendulum-v1", dtype=torch.float64)
    policy = policy_for(single)
    returns = Engine(double)(policy, None, [5])[0]
    np.testing.assert_array_equal(returns, Engine(double, dtype=torch.float64)(policy, None, [5])[0])
    assert (returns != Engine(single)(policy, None, [5])[0]).any()


def shifted(envs, shift: float, reward=None):
    """The same task with its features far from 0, and with other rewards if wanted."""
    envs = copy.copy(envs)
    envs.func_env = copy.copy(envs.func_env)
    features, rewards = envs.func_env.features, envs.func_env.reward
    envs.func_env.features = lambda *a, **k: tuple(x + shift for x in features(*a, **k))
    if reward is not None:
        envs.func_env.reward = lambda *a, **k: reward(rewards(*a, **k), *a)
    return envs


def test_moments_of_features_far_from_zero_keep_their_digits() -> None:
    envs = make_batched("nf/Pendulum-v1", **PENDULUM)
    policy = policy_for(envs)
    with torch.no_grad():
        policy.field.input_embedding.weight.zero_()  # so that the shift changes no action
    seeds = range(50)
    _, mean, var = Engine(envs)(policy, None, seeds)[1].moments
    for learned in (False, True):
        _, far_mean, far_var = Engine(shifted(envs, 1000.0))(policy, None, seeds)[1].moments
        np.testing.assert_allclose(far_mean, mean + 1000, rtol=1e-6)
        np.testing.assert_allclose(far_var, var, rtol=2e-3)
        if not learned:
            policy.normalizer.update(100.0, mean + 999.9, var)
            assert policy.normalizer.count > 0


def test_rewards_that_are_not_finite_give_nan_and_leave_the_moments_whole() -> None:
    envs = make_batched("nf/Pendulum-v1", **PENDULUM)

    def reward(values, state, *_):
        return torch.where(torch.arange(len(values)) % 2 == 0, torch.inf, values)

    policy = policy_for(envs)
    returns, played = Engine(shifted(envs, 0.0, reward))(policy, None, range(6))
    assert np.isnan(returns[0, ::2]).all()
    assert np.isfinite(returns[0, 1::2]).all()
    assert played.problem is not None
    count, mean, var = played.moments
    assert count == 300
    second = var + mean**2
    assert float(second[0] + second[1]) == pytest.approx(1, abs=1e-5), "cos^2 + sin^2"


def test_features_that_are_not_finite_leave_no_trace_in_the_moments() -> None:
    envs = shifted(make_batched("nf/Pendulum-v1", **PENDULUM), 0.0)
    features = envs.func_env.features

    def broken(*arguments, **options):
        first, *others = features(*arguments, **options)
        return torch.where(torch.arange(len(first)) == 1, torch.nan, first), *others

    envs.func_env.features = broken
    returns, played = Engine(envs)(policy_for(envs), None, range(4))
    assert np.isnan(returns[0]).tolist() == [False, True, False, False]
    assert played.moments[0] == 150
    assert played.moments[1].isfinite().all()


def test_a_broken_observation_is_not_counted_by_play() -> None:
    policy = Policy(SimpleNeuralField(2, 1, 2), *spaces_of(make_envs("test/BrokenSensor-v0", 1)))
    played = play(make_envs("test/BrokenSensor-v0", 2), policy, [Episode(s) for s in range(4)])
    assert np.isnan(played.returns).all()
    assert played.moments[0] == 4, "the first observation of each episode alone"


@pytest.mark.parametrize("hidden_size", [2, 8])
def test_episodes_of_one_candidate_are_played_in_pieces_too(hidden_size) -> None:
    envs = make_batched("nf/CartPole-v1", dtype=torch.float64, max_episode_steps=80)
    policy = policy_for(envs, hidden_size=hidden_size).double()
    population = np.random.default_rng(1).normal(size=(3, policy.n_parameters))
    whole, played = Engine(envs)(policy, population, range(40))
    pieces, pieced = Engine(envs, bytes_max=30_000)(policy, population, range(40))
    np.testing.assert_array_equal(whole, pieces)
    np.testing.assert_array_equal(played.lengths, pieced.lengths)
    for a, b in zip(played.moments, pieced.moments, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


@pytest.mark.slow
@COMPILER
def test_a_compiled_engine_plays_what_it_is_given_now() -> None:
    envs = make_batched("nf/Pendulum-v1", dtype=torch.float64, max_episode_steps=24)
    engine = Engine(envs, mode="compiled", steps_per_call=4)
    for gravity in (10.0, 1.0):
        envs.params = dataclasses.replace(envs.params, gravity=gravity)
        for options in ({}, {"activation": "sigmoid"}, {"squash": "clip"}, {"tau_init": [1.5, 3.0]}):
            policy = policy_for(envs, **options).double()
            with torch.no_grad():
                policy.field.output_embedding.weight.mul_(3)
            np.testing.assert_allclose(engine(policy, None, [5])[0], Engine(envs)(policy, None, [5])[0], rtol=1e-9)
    assert engine.mode == "compiled"


class Machine(Engine):
    """An engine on a machine with memory for so many episodes at once."""

    room = 1_000
    error: Exception = MemoryError()
    at_once = 0

    def _play(self, prepared, n_candidates, limit):
        n = prepared.episodes.numbers.shape[1]
        if n > self.room:
            raise self.error
        self.at_once = max(n, self.at_once)
        return super()._play(prepared, n_candidates, limit)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: not enough memory: you tried")],
)
def test_where_memory_is_short_smaller_pieces_return_the_same(error) -> None:
    envs = make_batched("nf/Pendulum-v1", **PENDULUM)
    policy = policy_for(envs)
    population = np.random.default_rng(0).normal(size=(3, policy.n_parameters))
    whole, played = Engine(envs)(policy, population, range(7))
    machine = Machine(envs)
    machine.room, machine.error = 2, error
    returns, in_pieces = machine(policy, population, range(7))
    np.testing.assert_array_equal(returns, whole)
    np.testing.assert_array_equal(in_pieces.lengths, played.lengths)
    assert machine.at_once == 2
    for a, b in zip(played.moments, in_pieces.moments, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_machine_without_room_for_one_episode_says_so_and_other_errors_are_raised() -> None:
    envs = make_batched("nf/Pendulum-v1", **PENDULUM)
    machine = Machine(envs)
    machine.room = 0
    with pytest.raises(MemoryError, match="not enough memory to play a single episode"):
        machine(policy_for(envs), None, range(7))
    machine.error = RuntimeError("something else")
    with pytest.raises(RuntimeError, match="something else"):
        machine(policy_for(envs), None, range(7))
