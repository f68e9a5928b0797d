"""What has to hold in every use of the package: training, evolution, rollouts and policy files."""

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from nf_policies import Policy, SimpleNeuralField
from nf_policies.evolution import Evolution
from nf_policies.policies import field_sizes
from nf_policies.ppo import FieldPPO
from nf_policies.rollouts import rollout
from nf_policies.tasks.make import make_task
from nf_policies.tasks.side_by_side import make_envs

FLOAT64 = "test/Move-v0"
"""Shows float64, wants float64, and refuses what is not in its Box."""


def test_a_float64_task_is_trained_evolved_played_and_kept_in_float32(tmp_path: Path) -> None:
    trained = FieldPPO("NeuralFieldPolicy", gym.make(FLOAT64), n_steps=32, batch_size=32, n_epochs=2, seed=0).learn(64)
    trained.save(tmp_path / "model.zip")
    trained.export_policy(tmp_path / "trained.safetensors")
    actions, state = FieldPPO.load(tmp_path / "model.zip").predict(np.ones((4, 2)))
    assert actions.dtype == np.float64
    assert state is not None
    assert state[0].dtype == np.float32

    env = make_task(FLOAT64)
    field = SimpleNeuralField(*field_sizes(env.observation_space, env.action_space), hidden_size=2)
    policy = Policy(field, env.observation_space, env.action_space, env_id=FLOAT64)
    evolution = Evolution(policy, make_envs(FLOAT64, 4), episodes=1, pop_size=4)
    evolution.step()
    evolution.best().save(tmp_path / "evolved.safetensors")

    for name in ("trained", "evolved"):
        kept = Policy.load(tmp_path / f"{name}.safetensors")
        assert {p.dtype for p in kept.parameters()} == {torch.float32}
        assert kept.action_space.contains(kept.act(np.ones(2), True))
        assert rollout(kept, FLOAT64, episodes=2).returns.dtype == np.float64
    assert {p.dtype for p in trained.policy.parameters()} == {torch.float32}


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_a_float64_task_trains_in_gymnasiums_vector_environments(mode: AutoresetMode) -> None:
    envs = SyncVectorEnv([lambda: gym.make(FLOAT64)] * 2, autoreset_mode=mode)
    model = FieldPPO("NeuralFieldPolicy", envs, n_steps=16, batch_size=32, n_epochs=1, seed=0).learn(64)
    assert model.rollout_buffer.stored["features"].dtype == torch.float32
    assert model.rollout_buffer.stored["rewards"].dtype == torch.float32


WORKERS = """
import gymnasium as gym
import torch
from nf_policies import NeuralField, Policy
from nf_policies.evolution import Evolution
from nf_policies.tasks.side_by_side import make_envs
from nf_policies.ppo import FieldPPO
from nf_policies.rollouts import rollout

torch.set_num_threads(2)
matrix = torch.randn(600, 600, requires_grad=True)
(matrix @ matrix).tanh().sum().backward()  # the threads of both passes are there now
NeuralField(3, 6, 2, activation="tanh")(torch.randn(5, 100, 3))[0].sum().backward()

same_step = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
for options in ({}, {"context": "fork"}):
    envs = gym.make_vec("CartPole-v1", 2, vectorization_mode="async", vector_kwargs=same_step | options)
    model = FieldPPO("NeuralFieldPolicy", envs, n_steps=64, batch_size=64, n_epochs=1, device="cpu").learn(256)
    envs.close()
policy = model.policy_of()
lanes = make_envs("CartPole-v1", 2, workers=2)
evolution = Evolution(policy, lanes, episodes=1, pop_size=4)
evolution.step()
lanes.close()
print("episodes", len(rollout(policy, "CartPole-v1", episodes=3).returns))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux")
def test_a_plain_script_with_workers_ends_though_threads_have_started(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(WORKERS)
    command = [sys.executable, "-W", "ignore", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
    assert done.stdout.strip() == "episodes 3", done.stderr
    assert done.returncode == 0
