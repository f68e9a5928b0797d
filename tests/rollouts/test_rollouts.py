"""Rollouts report, record, film and draw what a policy does."""

import gc
import json

import imageio.v2 as imageio
import numpy as np
import pytest
import torch

from nf_policies import NeuralField, Policy, field_sizes
from nf_policies.rollouts import Recorder, film, plot_recording, rollout, save_recording
from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.make import make_task


def policy_for(env_id: str, hidden_size: int = 12) -> Policy:
    env = make_task(env_id)
    sizes = field_sizes(env.observation_space, env.action_space)
    field = NeuralField(sizes[0], hidden_size, sizes[1], activation="tanh", generator=torch.Generator().manual_seed(0))
    return Policy(field, env.observation_space, env.action_space, env_id=env_id)


def test_a_score_is_that_of_a_users_own_loop_on_the_same_seeds() -> None:
    policy = policy_for("CartPole-v1")
    env, returns, steps = make_task("CartPole-v1"), [], 0
    for seed in range(5, 11):
        obs, over, total = env.reset(seed=seed)[0], False, 0.0
        start = True
        while not over:
            obs, reward, terminated, truncated, _ = env.step(policy.act(obs, episode_start=start))
            over, start, total, steps = terminated or truncated, False, total + reward, steps + 1
        returns.append(total)
    score = rollout(policy, "CartPole-v1", episodes=6, seed=5)
    summary = score.summary()
    assert summary["returns"] == returns
    assert summary["steps"] == steps
    assert summary["return_mean"] == pytest.approx(np.mean(returns))
    assert summary["return_std"] == pytest.approx(np.std(returns))
    assert summary["return_median"] == np.median(returns)
    assert summary["return_min"] == min(returns)
    assert summary["n_parameters"] == policy.n_parameters
    assert json.loads(json.dumps(summary)) == summary


def test_a_recording_holds_every_step_in_order_and_replays_the_field(tmp_path) -> None:
    policy, recorder = policy_for("CartPole-v1"), Recorder()
    score = rollout(policy, "CartPole-v1", episodes=3, watch=recorder)
    save_recording(recorder.recording(), tmp_path / "r.npz")
    with np.load(tmp_path / "r.npz", allow_pickle=False) as file:
        recording = dict(file)
    assert {len(array) for array in recording.values()} == {score.steps}
    np.testing.assert_allclose(np.bincount(recording["episode"], recording["rewards"]), score.returns)
    outputs, potentials = policy(
        torch.as_tensor(recording["observations"])[:, None],
        episode_starts=torch.as_tensor(recording["episode_starts"])[:, None],
    )
    np.testing.assert_allclose(potentials[:, 0].detach(), recording["potentials"], atol=1e-5)
    np.testing.assert_array_equal(policy.head(outputs)[:, 0], recording["actions"])
    for name in ("stimuli_external", "stimuli_internal", "activations"):
        assert recording[name].shape == recording["potentials"].shape


@pytest.mark.parametrize("hidden_size", [3, 12], ids=["lines", "space-time picture"])
@pytest.mark.parametrize("env_id", ["CartPole-v1", "test/Move-v0"])
def test_a_recording_is_drawn(env_id, hidden_size, tmp_path) -> None:
    recorder = Recorder()
    rollout(policy_for(env_id, hidden_size), env_id, episodes=2, watch=recorder)
    plot_recording(recorder.recording(), tmp_path / "plot.png", visible=[0], title="a title")
    picture = imageio.imread(tmp_path / "plot.png")
    assert picture.shape[0] > 500
    assert picture.std() > 5, "not an empty page"


# Read back, imageio's ffmpeg leaves its pipes for the garbage collector, which tells of them.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_a_whole_episode_is_filmed_without_a_display(name, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    policy = policy_for("CartPole-v1")
    frames = film(policy, "CartPole-v1", tmp_path / name, seed=3)
    assert frames == rollout(policy, "CartPole-v1", episodes=1, seed=3).steps + 1
    with imageio.get_reader(tmp_path / name) as reader:
        pictures = [np.asarray(picture) for picture in reader]
    del reader
    gc.collect()
    assert len(pictures) == frames or name.endswith(".gif"), "a GIF shows equal pictures once, for longer"
    assert np.abs(pictures[0].astype(float) - pictures[-1]).max() > 50, "the pole has moved"


def test_bad_requests_get_one_clear_sentence_and_write_nothing(tmp_path) -> None:
    policy = policy_for("test/Constant-v0")
    with pytest.raises(ValueError, match="at least one episode"):
        rollout(policy, "test/Constant-v0", episodes=0)
    with pytest.raises(ValueError, match="0 or greater"):
        rollout(policy, "test/Constant-v0", seed=-1)
    with pytest.raises(ValueError, match=r"policy sees .* the task shows"):
        rollout(policy, "CartPole-v1")
    with pytest.raises(ValueError, match="Entry 1 of an observation is inf"):
        rollout(policy_for("test/BrokenSensor-v0"), "test/BrokenSensor-v0", episodes=2)
    with pytest.raises(ValueError, match=r"\.mp4 or \.gif"):
        film(policy, "test/Constant-v0", tmp_path / "film.avi")
    with pytest.raises(TaskError, match="rgb_array"):
        film(policy, "test/Constant-v0", tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []
