"""Tasks are made by their ids, and what is wrong with one is said in one sentence."""

import sys
from importlib.metadata import EntryPoint

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from nf_policies.tasks import registry
from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.make import make_task
from nf_policies.tasks.registry import register_installed
from nf_policies.tasks.side_by_side import make_envs, training_envs


class Old(gym.Env):
    """A task of Gym 0.21, whose reset takes no seed."""

    observation_space, action_space = spaces.Box(-1, 1, (5,)), spaces.Discrete(2)

    def reset(self):
        return np.zeros(5, np.float32), {}


class OldWrapper(gym.Wrapper):
    """A wrapper that hides the fault."""

    def reset(self, **kwargs):
        return self.env.reset(**kwargs)


class Own(Old):
    """A task of a user's own with a name that Gymnasium uses too."""

    def reset(self, *, seed=None, options=None):
        return np.zeros(5, np.float32), {}


@pytest.fixture(autouse=True, scope="module")
def registered():
    ids = {"test/Old-v0": Old, "test/OldInside-v0": lambda: OldWrapper(Old()), "mylab/CartPole-v0": Own}
    for name, cls in ids.items():
        gym.register(name, cls, max_episode_steps=10)
    yield
    for name in ids:
        del gym.registry[name]


@pytest.mark.parametrize("env_id", ["test/Old-v0", "test/OldInside-v0"])
def test_a_task_whose_reset_takes_no_seed_is_refused_in_one_sentence(env_id) -> None:
    with pytest.raises(TaskError, match=rf"{env_id} cannot be reset with a seed: Old must have"):
        make_task(env_id)
    with pytest.raises(TaskError, match="cannot be reset with a seed"):
        make_envs(env_id, 2)


def test_a_broken_plugin_is_skipped_with_a_warning_and_the_next_one_registered(monkeypatch) -> None:
    calls = []
    monkeypatch.setitem(sys.modules, "good_plugin", type("Plugin", (), {"register": lambda: calls.append(1)}))
    broken = EntryPoint("__root__", "no_such_plugin:register", "gymnasium.envs")
    good = EntryPoint("__root__", "good_plugin:register", "gymnasium.envs")
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken, good])
    register_installed.cache_clear()
    with pytest.warns(RuntimeWarning, match=r"no_such_plugin:register are skipped.*No module named 'no_such_plugin'"):
        register_installed()
    assert calls == [1]
    register_installed.cache_clear()


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "nf/Pendulum-v1"])
def test_training_environments_begin_the_next_episode_in_the_same_step(env_id) -> None:
    envs = training_envs(env_id, 3, max_episode_steps=2)
    assert envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    envs.reset(seed=0)
    actions = envs.action_space.sample()
    assert not np.asarray(envs.step(actions)[3]).any()
    *_, truncated, info = envs.step(actions)
    assert np.asarray(truncated).all()
    assert len(info["final_obs"]) == 3


def test_environments_for_whole_episodes_wait_at_their_end() -> None:
    envs = make_envs("Pendulum-v1", 2, max_episode_steps=2)
    envs.reset(seed=[1, 2])
    actions = envs.action_space.sample()
    envs.step(actions)
    obs, rewards, _, truncated, _ = envs.step(actions)
    last = obs.copy()
    assert truncated.all()
    assert rewards.all()
    still, rewards, _, truncated, _ = envs.step(actions)
    np.testing.assert_array_equal(still, last)
    assert truncated.all()
    assert not rewards.any()
