"""evolve, train and rollout on MuJoCo: in lanes of their twins, scored on Gymnasium's own task."""

import json
import sys

import numpy as np
import pytest
import torch

from nf_policies import Policy, SimpleNeuralField
from nf_policies.cli import main
from nf_policies.policies import field_sizes
from nf_policies.rollouts.engine import Engine
from nf_policies.rollouts.play import Episode, play
from nf_policies.tasks.batched import batched_twin, make_batched, simulated
from nf_policies.tasks.side_by_side import make_envs, training_envs

pytest.importorskip("mjbatch", reason="needs the extra mujoco")

ROBOT = """
import nf_envs
from nf_envs.mujoco import InvertedPendulum

class Robot(InvertedPendulum):
    twin = None
    def reward(self, state, action, next_state, rng=(), params=None):
        return 1 - next_state.qpos[:, 0] ** 2

nf_envs.register("mine/Robot-v0", Robot, 20)
"""


def policy_for(envs, hidden_size=4):
    spaces = envs.single_observation_space, envs.single_action_space
    generator = torch.Generator().manual_seed(0)
    return Policy(SimpleNeuralField(*field_sizes(*spaces), hidden_size, generator=generator), *spaces)


def test_a_simulated_task_has_lanes_and_the_others_have_an_engine() -> None:
    assert batched_twin("Hopper-v5") == simulated("Hopper-v5") == simulated("nf/Hopper-v5") == "nf/Hopper-v5"
    assert simulated("Pendulum-v1") is None
    assert simulated("Acrobot-v1") is None
    with pytest.raises(ValueError, match="physics outside torch: play it with evaluate"):
        Engine(make_batched("nf/Hopper-v5"))


def test_an_episode_follows_from_its_seed_whatever_the_number_of_lanes() -> None:
    episodes = [Episode(seed) for seed in range(9)]
    envs = [make_envs("nf/InvertedDoublePendulum-v5", lanes) for lanes in (2, 5, 12)]
    played = [play(lanes, policy_for(lanes), episodes) for lanes in envs]
    assert len(set(played[0].lengths.tolist())) > 2
    for other in played[1:]:
        np.testing.assert_array_equal(other.lengths, played[0].lengths)
        np.testing.assert_allclose(other.returns, played[0].returns, rtol=1e-4)  # of float32 matrices


def test_training_takes_the_lanes_at_any_number() -> None:
    for num_envs in (1, 7):
        envs = training_envs("Hopper-v5", num_envs, device="cpu", max_episode_steps=30)
        assert envs.spec.id == "nf/Hopper-v5"
        assert (envs.num_envs, envs.max_episode_steps) == (num_envs, 30)


def run(capsys, *words):
    assert main([*words, "--json"]) == 0
    out = capsys.readouterr()
    return json.loads(out.out), out.err


def test_evolve_searches_in_lanes_and_is_scored_on_gymnasiums_task(tmp_path, capsys) -> None:
    words = ("--max-episode-steps", "20", "--generations", "2", "--population", "4", "--episodes", "2")
    result, told = run(capsys, "evolve", "InvertedPendulum-v5", *words, "--out", str(tmp_path / "run"))
    assert "playing nf/InvertedPendulum-v5, which equals InvertedPendulum-v5 step by step" in told
    assert result["env_id"] == "InvertedPendulum-v5"
    plain, told = run(
        capsys, "evolve", "InvertedPendulum-v5", *words, "--out", str(tmp_path / "plain"), "--backend", "gymnasium"
    )
    assert "playing InvertedPendulum-v5: in 10 environments" in told
    assert plain["env_steps"] > 0
    file = str(tmp_path / "run" / "best.safetensors")
    score, _ = run(capsys, "rollout", file, "--backend", "batched", "--episodes", "5")
    assert score["env_id"] == "nf/InvertedPendulum-v5"


def test_train_hides_velocities_in_lanes(tmp_path, capsys) -> None:
    words = ("--max-episode-steps", "20", "--steps", "128", "--num-envs", "4", "--n-steps", "16", "--batch-size", "64")
    out = ("--out", str(tmp_path / "run"))
    result, _ = run(capsys, "train", "InvertedPendulum-v5", "--hide-velocity", *words, *out)
    assert result["env_id"] == "InvertedPendulum-v5"
    assert Policy.load(tmp_path / "run" / "policy.safetensors").visible == (0, 1)


def test_a_model_of_ones_own_is_trained_and_evolved_by_its_id(tmp_path, capsys, monkeypatch) -> None:
    (tmp_path / "robot_for_a_test.py").write_text(ROBOT)
    monkeypatch.syspath_prepend(tmp_path)
    env_id = "robot_for_a_test:mine/Robot-v0"
    sizes = ("--generations", "1", "--population", "4", "--episodes", "1", "--hide-velocity")
    result, told = run(capsys, "evolve", env_id, *sizes, "--out", str(tmp_path / "evolved"))
    assert f"playing {env_id}: in 5 environments" in told
    assert 0 < result["return_mean"] <= 20
    words = ("--steps", "64", "--num-envs", "2", "--n-steps", "16", "--batch-size", "32")
    result, _ = run(capsys, "train", env_id, *words, "--out", str(tmp_path / "trained"))
    assert 0 < result["return_mean"] <= 20
    sys.modules.pop("robot_for_a_test")


def test_a_gpu_is_not_for_a_simulator(tmp_path, capsys) -> None:
    assert main(["evolve", "Hopper-v5", "--device", "meta", "--out", str(tmp_path / "run")]) == 1
    assert "is played by a simulator on the CPU" in capsys.readouterr().err
