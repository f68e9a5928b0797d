"""Other people's vector environments by their ids: trained in all lanes, played in one."""

import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from nf_policies.cli import main
from nf_policies.ppo import FieldPPO
from nf_policies.tasks.make import make_task
from nf_policies.tasks.side_by_side import SideBySide, training_envs

sys.path.append(str(Path(__file__).parent))
import vector_tasks

MODES = [mode.name for mode in AutoresetMode]
LENGTH = vector_tasks.LENGTH


@pytest.mark.parametrize("mode", MODES)
def test_one_lane_plays_whole_episodes_that_end_with_their_own_last_observation(mode) -> None:
    env = make_task(f"lanes/{mode}-v0")
    for _ in range(2):
        seen = [env.reset(seed=0)[0].item()]
        over = False
        while not over:
            obs, reward, over, truncated, _ = env.step(0)
            assert (obs.item(), truncated) == (reward, False)
            seen.append(obs.item())
        assert seen == list(range(LENGTH + 1))


@pytest.mark.parametrize("mode", MODES)
def test_all_lanes_train_and_count_only_steps_of_the_task(mode) -> None:
    envs = training_envs(f"lanes/{mode}-v0", 3)
    assert type(envs.unwrapped) is vector_tasks.CountingLanes
    model = FieldPPO(
        "NeuralFieldPolicy", envs, n_steps=10, batch_size=10, n_epochs=1, seed=0, policy_kwargs={"hidden_size": 2}
    )
    model.learn(30)
    features = model.rollout_buffer.storage["features"][..., 0].numpy()
    first = np.arange(3)
    np.testing.assert_array_equal(features, (np.arange(10)[:, None] + first) % LENGTH)
    np.testing.assert_array_equal(model.rollout_buffer.stored["rewards"], features + 1)
    assert model.num_timesteps >= 30


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_command_trains_scores_and_plays_them(mode, tmp_path, capsys, monkeypatch) -> None:
    out = tmp_path / "run"
    small = ["--num-envs", "3", "--n-steps", "10", "--batch-size", "10", "--n-epochs", "1", "--hidden-size", "2"]
    assert main(["train", f"lanes/{mode}-v0", "--steps", "60", *small, "--out", str(out)]) == 0
    assert main(["rollout", str(out / "best.safetensors"), "--episodes", "2"]) == 0
    assert f"return {LENGTH * (LENGTH + 1) / 2:.1f}" in capsys.readouterr().out


def test_the_examples_in_gymnasium_itself_are_made_one_by_one() -> None:
    assert isinstance(training_envs("CartPole-v1", 2), SideBySide)
    assert gym.registry["CartPole-v1"].vector_entry_point is not None


@pytest.mark.slow
def test_envpool_plays_the_task_and_takes_seeds() -> None:
    pytest.importorskip("envpool", reason="EnvPool is not installed")
    envs = training_envs("envpool:InvertedPendulum-v5", 3)
    assert envs.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    first, _ = envs.reset(seed=2**31 + 5)
    again, _ = envs.reset(seed=5)
    np.testing.assert_array_equal(first, again)
    assert (envs.reset(seed=6)[0] != first).any()
    model = FieldPPO("NeuralFieldPolicy", envs, n_steps=32, batch_size=32, seed=0, policy_kwargs={"hidden_size": 2})
    model.learn(200)
    assert model.num_timesteps >= 200
    single = make_task("envpool:InvertedPendulum-v5")
    assert single.spec.max_episode_steps == 1000
    one, other = single.reset(seed=3)[0], single.reset(seed=3)[0]
    np.testing.assert_array_equal(one, other)
    twin = SyncVectorEnv([lambda: gym.make("InvertedPendulum-v5")])
    assert single.observation_space == twin.single_observation_space


@pytest.mark.slow
def test_an_unknown_pool_is_one_sentence(capsys) -> None:
    pytest.importorskip("envpool", reason="EnvPool is not installed")
    assert main(["train", "envpool:NoTask-v0"]) == 1
    assert "EnvPool has no task NoTask-v0" in capsys.readouterr().err
