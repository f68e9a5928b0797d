"""The engine plays what a plain loop plays, for every field and task, eager or compiled, in pieces or whole."""

import dataclasses

import numpy as np
import pytest
import torch

from nf_policies import NeuralField, Policy, SimpleNeuralField, field_sizes
from nf_policies.evolution import Evolution, quiet
from nf_policies.kernels.compiling import PARALLEL_FROM
from nf_policies.rollouts.engine import Engine
from nf_policies.rollouts.fused import eager_seconds, engine_mode
from nf_policies.rollouts.play import Episode, play
from nf_policies.tasks.batched import batched_twin, make_batched
from nf_policies.tasks.registry import register_installed
from nf_policies.tasks.side_by_side import make_envs

COMPILER = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # from inside torch.compile
SIMPLE = ["linear", "cubic", "capacity_21", "capacity_21_abs", "capacity_32", "capacity_32_abs"]


def policy_for(envs, kind="linear", hidden_size=2, visible=None, seed=0, **options) -> Policy:
    spaces = envs.single_observation_space, envs.single_action_space
    input_size, output_size = field_sizes(*spaces, visible)
    generator = torch.Generator().manual_seed(seed)
    if kind == "neural":
        field = NeuralField(input_size, hidden_size, output_size, channels=2, pooling_norm=3, generator=generator)
    else:
        field = SimpleNeuralField(
            input_size, output_size, hidden_size, dynamics=kind, activation="tanh", tau_init=2.0, generator=generator,
            **options,
        )  # fmt: skip
        if field.kept:
            field.change_gain.copy_(torch.linspace(5, 20, input_size))
    return Policy(field, *spaces, visible=visible)


def population_for(policy: Policy, pop_size: int, scale: float = 0.7) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(pop_size, policy.n_parameters)) * scale


def alone(envs, policy: Policy, vector: np.ndarray, seed: int, limit: int, stretch: int) -> tuple[float, int, float]:
    """One candidate, one episode, step by step with the policy's own step: return, length and best stretch."""
    task, dtype = envs.func_env, policy.field.resting_level.dtype
    keys, zero = envs.lane_keys([seed], torch.device("cpu")), torch.zeros(1, dtype=torch.int32)
    state = task.initial(envs.uniforms(keys, zero, zero, task.draws.initial, dtype), envs.params)
    coefficients = policy.coefficients(torch.as_tensor(vector).to(dtype)[None])
    potentials = torch.zeros(1, policy.field.memory_size, dtype=dtype)
    rewards, seen = [], policy.visible or range(policy.encode.total)
    for t in range(limit):
        features = torch.stack([task.features(state, (), envs.params)[k] for k in seen], -1)
        action, trace = policy.step(features, potentials, torch.tensor([t == 0]), coefficients)
        potentials = trace.potentials
        used = torch.tensor([task.draws.initial + t * task.draws.transition], dtype=torch.int32)
        rng = envs.uniforms(keys, zero, used, task.draws.transition, dtype)
        after = task.transition(state, action, rng, envs.params)
        rewards.append(float(task.reward(state, action, after, rng, envs.params)))
        state = after
        if ended := bool(task.terminal(state, (), envs.params)):
            break
    return sum(rewards), len(rewards), best_stretch(rewards, stretch, ended)


def best_stretch(rewards: list[float], steps: int, ended: bool) -> float:
    """Of an episode, from the definition: the highest weighted mean of rewards, the latest weighing most."""
    of_each = [
        sum(reward * (1 - 1 / steps) ** (t - i) for i, reward in enumerate(rewards[: t + 1])) / steps
        for t in range(len(rewards))
    ]
    return max(of_each[steps - 1 :] + of_each[-1:] * ended)


def assert_equal_to_alone(envs, policy, limit, rtol=1e-9, stretch=5) -> None:
    engine = Engine(envs, dtype=torch.float64)
    policy = policy.double()
    population, seeds = population_for(policy, 3), [11, 12]
    with torch.no_grad():
        returns, played = engine(policy, population, seeds, stretch=stretch)
        expected = [[alone(envs, policy, v, s, limit, stretch) for s in seeds] for v in population]
    np.testing.assert_allclose(returns, np.array(expected)[..., 0], rtol=rtol, atol=rtol)
    np.testing.assert_array_equal(played.lengths, np.array(expected)[..., 1].reshape(-1))
    np.testing.assert_allclose(played.stretches, np.array(expected)[..., 2].reshape(-1), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("hidden_size", [2, 12], ids=["neuron by neuron", "as matrices"])
def test_a_field_that_feels_changes_is_played_as_it_would_be_alone(hidden_size) -> None:
    envs = make_batched("nf/CartPole-v1", dtype=torch.float64, max_episode_steps=60)
    assert_equal_to_alone(envs, policy_for(envs, "linear", hidden_size, visible=(2, 0), changes=True), 60)


@pytest.mark.parametrize("kind", [*SIMPLE, "neural"])
def test_every_field_is_played_as_it_would_be_alone(kind) -> None:
    envs = make_batched("nf/CartPole-v1", dtype=torch.float64, max_episode_steps=60)
    assert_equal_to_alone(envs, policy_for(envs, kind, 4 if kind == "neural" else 2, visible=(2, 0)), 60)


TASKS = ["Pendulum-v1", "MountainCarContinuous-v0", "Acrobot-v1", "DoublePoleDampingNoVel-v0", "RepeatPrevious-v0"]


@pytest.mark.parametrize("name", [*TASKS, "FurutaSwingUp-v0", "BallBalancer-v0", "CountParity-v0"])
def test_every_kind_of_task_is_played_as_it_would_be_alone(name) -> None:
    register_installed()
    envs = make_batched(f"nf/{name}", dtype=torch.float64, max_episode_steps=30)
    assert_equal_to_alone(envs, policy_for(envs), 30)


def test_sensors_actuators_and_random_physics_are_played_as_they_would_be_alone() -> None:
    import gymnasium as gym

    from nf_envs.sensing import ActionDelay, ObservationDelay, ObservationNoise, Uniform

    envs = gym.make_vec(
        "nf/CartPole-v1",
        num_envs=1,
        vectorization_mode="vector_entry_point",
        dtype=torch.float64,
        max_episode_steps=40,
        constants={"pole_mass": Uniform(0.05, 0.5)},
        sensing=[ObservationNoise(0.05), ObservationDelay(0, 2), ActionDelay(1, 3)],
    )
    assert_equal_to_alone(envs, policy_for(envs), 40)
    assert_equal_to_alone(envs, policy_for(envs, "neural", 8), 40)


def test_lanes_left_out_pieces_and_other_call_lengths_change_nothing() -> None:
    envs = make_batched("nf/CartPole-v1", dtype=torch.float64)
    for kind, size in (("linear", 2), ("neural", 6)):
        policy = policy_for(envs, kind, size).double()
        population, seeds = population_for(policy, 300, 2.0), range(8)
        whole, played = Engine(envs, dtype=torch.float64)(policy, population, seeds)
        assert len(set(played.lengths)) > 20, "episodes end at many different times"
        pieces, pieced = Engine(envs, dtype=torch.float64, bytes_max=100_000, steps_per_call=7)(
            policy, population, seeds
        )
        np.testing.assert_array_equal(whole, pieces)
        for a, b in zip(played.moments, pieced.moments, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_limit_cuts_episodes_as_the_tasks_own_would() -> None:
    envs, short = make_batched("nf/CartPole-v1"), make_batched("nf/CartPole-v1", max_episode_steps=13)
    policy = policy_for(envs)
    population, seeds = population_for(policy, 6), range(5)
    returns, played = Engine(envs)(policy, population, seeds, limit=13)
    expected, of_short = Engine(short)(policy, population, seeds)
    np.testing.assert_array_equal(returns, expected)
    np.testing.assert_array_equal(played.lengths, of_short.lengths)
    assert played.lengths.max() == 13 > played.lengths.min()
    for a, b in zip(played.moments, of_short.moments, strict=True):
        assert a == pytest.approx(b)


def test_float32_agrees_with_float64_on_a_smooth_task() -> None:
    envs, exact = make_batched("nf/Pendulum-v1"), make_batched("nf/Pendulum-v1", dtype=torch.float64)
    policy = policy_for(envs)
    population = population_for(policy, 20, 0.2)
    single, _ = Engine(envs)(policy, population, range(4))
    double, _ = Engine(exact, dtype=torch.float64)(policy.double(), population, range(4))
    assert np.median(np.abs(single - double) / np.abs(double)) < 1e-4


def test_moments_and_returns_are_those_of_the_vector_view() -> None:
    envs = make_batched("nf/Pendulum-v1")
    policy = policy_for(envs)
    policy.normalizer.update(10, torch.tensor([0.1, -0.2, 0.5]), torch.tensor([1.0, 0.5, 4.0]))
    returns, played = Engine(envs)(policy, None, [3, 4])
    for i, seed in enumerate([3, 4]):
        obs, _ = envs.reset(seed=seed)
        total, seen, potentials = 0.0, [], policy.field.start(1)
        for t in range(200):
            seen.append(obs[0])
            with torch.no_grad():
                action, trace = policy.step(obs, potentials, torch.tensor([t == 0]), policy.coefficients())
            potentials = trace.potentials
            obs, reward, *_ = envs.step(action)
            total += float(reward)
        assert returns[0, i] == pytest.approx(total, rel=1e-5)
    assert played.moments[0] == 400
    one = Engine(envs)(policy, None, [4])[1].moments
    np.testing.assert_allclose(one[1], torch.stack(seen).double().mean(0), atol=1e-5)
    np.testing.assert_allclose(one[2], torch.stack(seen).double().var(0, unbiased=False), atol=1e-4)


def test_twins_of_gymnasium_tasks_are_found_and_play_alike() -> None:
    assert batched_twin("Pendulum-v1") == "nf/Pendulum-v1"
    assert batched_twin("nf/DoublePole-v0") == "nf/DoublePole-v0"
    assert batched_twin("test/Recall-v0") is None
    envs, lanes = make_batched("nf/Pendulum-v1"), make_envs("Pendulum-v1", 8)
    policy = policy_for(envs)
    batched = Engine(envs)(policy, None, range(200))[0]
    single = play(lanes, policy, [Episode(s) for s in range(200)]).returns
    assert abs(batched.mean() - single.mean()) < 4 * np.hypot(batched.std(), single.std()) / 200**0.5


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("stretch", [1, 15])
def test_the_best_stretch_of_gymnasiums_episodes_is_that_of_the_definition(env_id, stretch) -> None:
    lanes = make_envs(env_id, 3)
    rewards = [[] for _ in range(8)]

    def watch(step) -> None:
        for episode, reward in zip(step.episodes, step.rewards, strict=True):
            if episode >= 0:
                rewards[episode].append(float(reward))

    policy = policy_for(lanes)
    population = torch.as_tensor(population_for(policy, 8)).to(policy.normalizer.mean)
    played = play(lanes, policy, [Episode(i, candidate=i) for i in range(8)], population, watch, stretch=stretch)
    assert env_id == "Pendulum-v1" or played.lengths.min() < 15 < played.lengths.max(), "some end before the stretch"
    np.testing.assert_allclose(played.stretches, [best_stretch(r, stretch, ended=True) for r in rewards], rtol=1e-9)


@pytest.mark.slow
def test_evolution_learns_on_the_engine_and_the_reward_of_broken_lanes_is_nan() -> None:
    envs = make_batched("nf/CartPole-v1")
    policy = policy_for(envs, visible=(0, 2))
    quiet(policy.field)
    evolution = Evolution(policy, Engine(envs), episodes=4, pop_size=16)
    for _ in range(25):
        record = evolution.step()
    assert record.return_incumbent > 150
    assert policy.normalizer.count > 0
    population = population_for(policy, 3)
    population[1] = np.nan
    returns, played = Engine(envs)(policy, population, range(2))
    assert np.isnan(returns[1]).all() or played.lengths.reshape(3, 2)[1].max() > 0
    assert np.isfinite(returns[[0, 2]]).all()


def test_compiling_is_chosen_for_long_runs_alone() -> None:
    assert engine_mode(eager_seconds(120, 1_000_000, 128)) == "eager"
    assert engine_mode(eager_seconds(120, 10_000_000_000, 4096)) == "compiled"


@pytest.mark.parametrize(("name", "mode"), [("CartPole-v1", "eager"), ("SinglePole-v0", "compiled")])
def test_long_episodes_of_a_costly_task_are_compiled_without_being_asked_to(name, mode) -> None:
    envs = make_batched(f"nf/{name}")
    engine = Engine(envs)
    assert engine.mode == "auto"
    engine.prepare(policy_for(envs), None, [0])
    assert engine.mode == mode


def test_operations_of_a_step_are_counted() -> None:
    cheap, costly = (make_batched(f"nf/{name}") for name in ("CartPole-v1", "DoublePole-v0"))
    starts = [Engine(envs).prepare(policy_for(envs), None, [0]) for envs in (cheap, costly)]
    few, many = (s.fused.operations(s.episodes, s.coefficients, s.normal) for s in starts)
    assert 50 < few < many / 3, "a Runge-Kutta step evaluates the physics four times"


def test_a_policy_for_another_task_is_refused() -> None:
    envs = make_batched("nf/Pendulum-v1")
    with pytest.raises(ValueError, match="the task shows"):
        Engine(envs)(policy_for(make_batched("nf/CartPole-v1")), None, [0])
    with pytest.raises(ValueError, match="no functional core"):
        Engine(make_envs("CartPole-v1", 2))


@pytest.mark.slow
@COMPILER
@pytest.mark.parametrize(("name", "kind", "size"), [("CartPole-v1", "linear", 1), ("Pendulum-v1", "neural", 4)])
def test_compiled_and_eager_agree(name, kind, size) -> None:
    envs = make_batched(f"nf/{name}", dtype=torch.float64, max_episode_steps=65)
    policy = policy_for(envs, kind, size).double()
    population = population_for(policy, 40)
    eager = Engine(envs, dtype=torch.float64)(policy, population, range(4))
    engine = Engine(envs, dtype=torch.float64, mode="compiled", steps_per_call=4)
    fast = engine(policy, population, range(4))
    assert engine.mode == "compiled"
    np.testing.assert_allclose(fast[0], eager[0], rtol=1e-9)
    np.testing.assert_array_equal(fast[1].lengths, eager[1].lengths)


@pytest.mark.slow
@COMPILER
def test_what_is_compiled_belongs_to_one_task_and_serves_any_number_of_lanes() -> None:
    light, heavy = (make_batched("nf/CartPole-v1", dtype=torch.float64, max_episode_steps=40) for _ in range(2))
    heavy.params = dataclasses.replace(heavy.params, pole_mass=1.0)
    policy = policy_for(light, hidden_size=1).double()
    engines = [Engine(envs, dtype=torch.float64, mode="compiled", steps_per_call=2) for envs in (light, heavy)]
    plain = [Engine(envs, dtype=torch.float64) for envs in (light, heavy)]
    for pop_size in (1, 3, PARALLEL_FROM, 2):
        population = population_for(policy, pop_size)
        expected = [engine(policy, population, [5])[0] for engine in plain]
        for engine, returns in zip(engines, expected, strict=True):
            np.testing.assert_allclose(engine(policy, population, [5])[0], returns, rtol=1e-9)
            assert engine.mode == "compiled"
    assert (expected[0] != expected[1]).any()
