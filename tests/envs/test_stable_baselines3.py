"""Stable-Baselines3 takes one of our environments as any other."""

import gymnasium as gym
import numpy as np
import pytest

import nf_envs


@pytest.mark.parametrize("env_id", ["nf/CartPole-v1", "nf/PendulumNoVel-v1"])
def test_stable_baselines3_learns_on_a_task(env_id):
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    assert nf_envs.__all__
    env = gym.make(env_id)
    model = stable_baselines3.PPO("MlpPolicy", env, n_steps=32, batch_size=32, device="cpu", seed=0)
    model.learn(64)
    action, _ = model.predict(np.zeros(env.observation_space.shape, np.float32))
    assert env.action_space.contains(action if action.shape else int(action))
    assert len(model.ep_info_buffer) > 0 or env_id.startswith("nf/Pendulum")
