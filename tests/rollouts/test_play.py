"""Whole episodes in lanes: the same returns as a plain loop, in any company."""

import numpy as np
import pytest
import torch
from gymnasium.vector import SyncVectorEnv

from nf_policies import ParameterVector, Policy, SimpleNeuralField, field_sizes
from nf_policies.commands.task import visible_of
from nf_policies.rollouts.play import Episode, evaluate, play
from nf_policies.tasks.description import task_of
from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.make import make_task
from nf_policies.tasks.side_by_side import make_envs


def policy_for(env_id: str, seed: int = 0, **options) -> Policy:
    env = make_task(env_id)
    sizes = field_sizes(env.observation_space, env.action_space, options.get("visible"))
    field = SimpleNeuralField(*sizes, 2, activation="tanh", generator=torch.Generator().manual_seed(seed))
    return Policy(field, env.observation_space, env.action_space, env_id=env_id, **options)


def population_of(policy: Policy, size: int) -> torch.Tensor:
    vector = ParameterVector.of(policy.field)
    return vector.start + torch.randn(size, len(vector), generator=torch.Generator().manual_seed(7))


def loop(policy: Policy, env_id: str, seed: int) -> float:
    """What a user would write."""
    env = make_task(env_id)
    obs, _ = env.reset(seed=seed)
    start, total = True, 0.0
    while True:
        obs, reward, terminated, truncated, _ = env.step(policy.act(obs, episode_start=start))
        start, total = False, total + float(reward)
        if terminated or truncated:
            return total


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "test/Move-v0", "test/Recall-v0"])
@pytest.mark.parametrize("lanes", [1, 7, 64])
def test_a_population_in_one_batch_equals_a_loop_over_candidates_and_episodes(env_id, lanes) -> None:
    policy = policy_for(env_id)
    population, seeds = population_of(policy, 4), (3, 4, 11)
    episodes = [Episode(seed, candidate) for candidate in range(4) for seed in seeds]
    played = play(make_envs(env_id, lanes), policy, episodes, population)
    for episode, value in zip(episodes, played.returns, strict=True):
        ParameterVector.of(policy.field).load(policy.field, population[episode.candidate])
        assert value == pytest.approx(loop(policy, env_id, episode.seed), rel=1e-5)


def test_worker_processes_give_the_same_returns() -> None:
    policy = policy_for("CartPole-v1")
    episodes, population = [Episode(s, c) for c in range(3) for s in range(4)], population_of(policy, 3)
    envs = make_envs("CartPole-v1", 1, workers=2)
    try:
        in_workers = play(envs, policy, episodes, population)
    finally:
        envs.close()
    here = play(make_envs("CartPole-v1", 5), policy, episodes, population)
    np.testing.assert_array_equal(in_workers.returns, here.returns)
    np.testing.assert_array_equal(in_workers.lengths, here.lengths)


def test_every_candidate_sees_the_same_start_also_after_episodes_of_different_length() -> None:
    policy = policy_for("CartPole-v1")
    first = {}

    def watch(step) -> None:
        for lane in np.flatnonzero(step.episode_starts):
            first[int(step.episodes[lane])] = step.obs[lane].copy()

    episodes = [Episode(seed, candidate) for candidate in range(4) for seed in (1, 2)]
    play(make_envs("CartPole-v1", 3), policy, episodes, population_of(policy, 4), watch)
    for candidate in range(1, 4):
        np.testing.assert_array_equal(first[0], first[2 * candidate])
        np.testing.assert_array_equal(first[1], first[2 * candidate + 1])


def test_lengths_and_moments_are_of_the_steps_that_were_played() -> None:
    policy = policy_for("CartPole-v1", visible=[0, 2])
    seen = []

    def watch(step) -> None:
        seen.extend(step.obs[step.episodes >= 0][:, [0, 2]].tolist())

    played = play(make_envs("CartPole-v1", 4), policy, [Episode(s) for s in range(9)], watch=watch)
    count, mean, var = played.moments
    assert count == len(seen) == played.lengths.sum() == played.returns.sum()
    np.testing.assert_allclose(mean, np.mean(seen, 0), rtol=1e-9)
    np.testing.assert_allclose(var, np.var(seen, 0), rtol=1e-9)


def test_a_nan_reward_or_an_infinite_observation_gives_a_nan_return_and_is_told() -> None:
    policy = policy_for("test/Broken-v0")
    population = population_of(policy, 16)
    played = play(make_envs("test/Broken-v0", 4), policy, [Episode(0, c) for c in range(16)], population)
    assert set(np.nan_to_num(played.returns, nan=-1)) == {-1, 1}
    assert played.problem == "A reward is nan: a task must return finite numbers, at most 1e+15 in size."
    played = play(make_envs("test/BrokenSensor-v0", 2), policy_for("test/BrokenSensor-v0"), [Episode(0), Episode(1)])
    assert np.isnan(played.returns).all()
    assert played.problem is not None
    assert "Entry 1 of an observation is inf" in played.problem


def test_environments_that_reset_themselves_are_refused() -> None:
    envs = SyncVectorEnv([lambda: make_task("CartPole-v1")])
    with pytest.raises(ValueError, match="autoreset disabled"):
        play(envs, policy_for("CartPole-v1"), [Episode(0)])


@pytest.mark.parametrize(
    ("env_id", "left"), [("CartPole-v1", [0, 2]), ("MountainCarContinuous-v0", [0]), ("Acrobot-v1", [0, 1, 2, 3])]
)
def test_velocities_are_hidden_as_in_the_rl_zoo(env_id, left) -> None:
    assert visible_of(make_task(env_id), env_id, hide_velocity=True) == left


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_task("Nope-v3"), "Nope-v3 cannot be made"),
        (lambda: make_task("no_such_module:Nope-v3"), "No module named 'no_such_module'"),
    ],
)
def test_bad_tasks_get_one_clear_sentence(call, message) -> None:
    with pytest.raises(TaskError, match=message):
        call()


def test_a_time_limit_can_be_given() -> None:
    assert make_task("test/Endless-v0", max_episode_steps=3).spec.max_episode_steps == 3


def test_a_limit_cuts_episodes_as_the_tasks_own_would() -> None:
    policy = policy_for("CartPole-v1")
    population, seeds = population_of(policy, 4), (3, 4, 11)
    returns, played = evaluate(make_envs("CartPole-v1", 5), policy, population.numpy(), seeds, limit=10)
    short = make_envs(task_of("CartPole-v1", 10), 5)
    expected, of_short = evaluate(short, policy, population.numpy(), seeds)
    np.testing.assert_array_equal(returns, expected)
    np.testing.assert_array_equal(played.lengths, of_short.lengths)
    assert played.lengths.max() == 10 > played.lengths.min()
    for a, b in zip(played.moments, of_short.moments, strict=True):
        assert a == pytest.approx(b)
