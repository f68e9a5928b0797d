"""Every task has a picture, which shows its state."""

import gymnasium as gym
import numpy as np
import pytest

from tests.envs.all_tasks import BARE, IDS, vector


@pytest.mark.parametrize("env_id", IDS)
def test_every_task_has_a_picture_with_something_in_it(env_id):
    env = gym.make(env_id, render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    env.close()
    assert frame.dtype == np.uint8
    assert frame.ndim == 3
    assert frame.shape[2] == 3
    assert frame.std() > 3


@pytest.mark.parametrize("env_id", BARE)
def test_the_picture_changes_as_an_episode_goes_on(env_id):
    env = gym.make(env_id, render_mode="rgb_array")
    env.action_space.seed(0)
    env.reset(seed=0)
    frames = [env.render()]
    for _ in range(40):
        *_, terminated, truncated, _ = env.step(env.action_space.sample() if env.action_space.shape else 0)
        frames.append(env.render())
        if terminated or truncated:
            break
    env.close()
    assert any((frame != frames[0]).any() for frame in frames)


def test_gymnasiums_picture_of_its_own_task_is_ours():
    ours, theirs = gym.make("nf/CartPole-v1", render_mode="rgb_array"), gym.make("CartPole-v1", render_mode="rgb_array")
    for env in (ours, theirs):
        env.reset(seed=3)
        env.step(1)
    np.testing.assert_array_equal(ours.render(), theirs.render())
    ours.close()
    theirs.close()


@pytest.mark.parametrize("env_id", ["nf/CartPole-v1", "nf/DampedPendulum-v0"])
def test_a_window_opens_and_closes(env_id):
    env = gym.make(env_id, render_mode="human")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()
    env.close()


def test_no_picture_without_a_render_mode():
    env = vector("nf/CartPole-v1")
    env.reset(seed=0)
    assert env.render() is None
