"""One environment: Gymnasium's contract, seeds, states, constants and pictures."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from nf_envs.sensing import HideVelocities
from tests.envs.all_tasks import BARE, IDS, core


def warned(env_id, mode="rgb_array"):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        env = gym.make(env_id, render_mode=mode)
        check_env(env.unwrapped)
        env.close()
    return {str(w.message) for w in caught if issubclass(w.category, UserWarning)}


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasiums_checker_finds_nothing_but_what_it_finds_in_gymnasiums_own_task(env_id):
    # Our twins have Gymnasium's spaces: an unbounded velocity, torques within ±2. It warns of both, there and here.
    twin = core(env_id).physics.twin
    assert warned(env_id) <= (warned(twin) if twin else set())


def test_the_checker_is_silent_about_every_task_that_is_not_gymnasiums():
    silent = [env_id for env_id in IDS if core(env_id).physics.twin is None]
    assert len(silent) > 20
    assert not set().union(*(warned(env_id) for env_id in silent))


@pytest.mark.parametrize("env_id", IDS)
def test_the_same_seed_gives_the_same_episode_and_another_seed_another(env_id):
    runs = []
    for seed in (3, 3, 4):
        env = gym.make(env_id)
        env.action_space.seed(9)
        run = [env.reset(seed=seed)[0]]
        for _ in range(30):
            obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            run.append(np.append(obs, reward))
            if terminated or truncated:
                break
        runs.append(np.concatenate(run))
    np.testing.assert_array_equal(runs[0], runs[1])
    always_the_same = ("SinglePole", "DoublePole", "DampedPendulum")
    if not env_id.removeprefix("nf/").startswith(always_the_same):
        assert len(runs[2]) != len(runs[0]) or (runs[2] != runs[0]).any() or "TMaze" in env_id


@pytest.mark.parametrize("env_id", BARE)
def test_the_time_limit_truncates_and_only_the_task_terminates(env_id):
    env = gym.make(env_id, max_episode_steps=3)
    env.reset(seed=0)
    still = (
        np.zeros(env.action_space.shape, np.float32) if env.action_space.shape else env.unwrapped.func_env.still_action
    )
    flags = [env.step(still)[2:4] for _ in range(3)]
    assert [truncated for _, truncated in flags] == [False, False, True]
    assert not any(terminated for terminated, _ in flags)


def test_an_episode_starts_from_the_given_state_under_the_given_constants():
    env = gym.make("nf/Pendulum-v1")
    obs, _ = env.reset(options={"state": (0.5, -1.0), "constants": {"gravity": 5.0}})
    np.testing.assert_allclose(obs, [np.cos(0.5), np.sin(0.5), -1], rtol=1e-6)
    obs, *_ = env.step(np.zeros(1, np.float32))
    assert obs[2] == pytest.approx(-1 + 0.05 * 3 * 5 / 2 * np.sin(0.5), rel=1e-6)
    env.reset()
    assert env.unwrapped.params.gravity == 10.0


def test_a_given_state_is_sensed_too():
    env = gym.make("nf/Pendulum-v1", sensing=[HideVelocities()])
    obs, _ = env.reset(options={"state": (0.5, -1.0)})
    np.testing.assert_allclose(obs, [np.cos(0.5), np.sin(0.5)], rtol=1e-6)


def test_metadata_say_what_the_task_asks_and_whose_twin_it_is():
    metadata = gym.make("nf/CartPole-v1").unwrapped.metadata
    assert metadata["twin"] == "CartPole-v1"
    assert metadata["render_fps"] == 50
    assert "pole" in metadata["asks"]
    assert gym.make("nf/CartPoleNoVel-v1").unwrapped.metadata["twin"] is None
    assert gym.make("nf/MountainCar-v0").unwrapped.metadata["render_fps"] == 30


def test_repeated_actions_are_shown_as_fast_as_they_last():
    from nf_envs.sensing import ActionRepeat

    assert gym.make("nf/CartPole-v1", sensing=[ActionRepeat(5)]).unwrapped.metadata["render_fps"] == 10
