"""FieldPPO does what users of Stable-Baselines3 expect of an algorithm."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from example_tasks import MODES, Identity, Walk, side_by_side
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, EvalCallback, StopTrainingOnMaxEpisodes
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from nf_policies import Policy, UnsupportedSpaceError
from nf_policies.ppo import FieldPPO
from nf_policies.ppo.reward_scale import RewardScale
from nf_policies.ppo.saving import ModelFileError
from nf_policies.rollouts import rollout

SMALL: dict[str, Any] = {"n_steps": 32, "batch_size": 32, "n_epochs": 2, "seed": 0, "device": "cpu"}
POLICY = {"hidden_size": 4}


def small(env: Any, policy_kwargs: dict[str, Any] | None = None, **options: Any) -> FieldPPO:
    return FieldPPO("NeuralFieldPolicy", env, policy_kwargs=POLICY | (policy_kwargs or {}), **SMALL | options)


@pytest.fixture(scope="module")
def trained() -> FieldPPO:
    return small("Pendulum-v1", {"visible": [0, 1]}).learn(256)


def test_evaluate_policy_equals_a_users_own_loop_and_the_exported_policy(trained, tmp_path) -> None:
    own = []
    env = Monitor(gym.make("Pendulum-v1"))
    for seed in (7, 8):
        obs, _ = env.reset(seed=seed)
        state, start, total, over = None, np.array([True]), 0.0, False
        while not over:
            action, state = trained.predict(obs, state, start, deterministic=True)
            obs, reward, terminated, truncated, _ = env.step(action)
            start, over, total = np.array([False]), terminated or truncated, total + float(reward)
        own.append(total)

    class Seeded(gym.Wrapper):
        """Begin the first episode with seed 7, the second with 8."""

        seeds = iter((7, 8, 9))

        def reset(self, **options: Any) -> Any:
            return super().reset(seed=next(self.seeds))

    theirs, _ = evaluate_policy(
        trained, Monitor(Seeded(gym.make("Pendulum-v1"))), n_eval_episodes=2, return_episode_rewards=True
    )
    np.testing.assert_allclose(theirs, own, rtol=1e-6)
    trained.export_policy(tmp_path / "policy.safetensors")
    exported = rollout(Policy.load(tmp_path / "policy.safetensors"), "Pendulum-v1", episodes=2, seed=7)
    np.testing.assert_allclose(exported.returns, own, rtol=1e-4)


def test_save_and_load_give_the_same_bits_and_go_on(trained, tmp_path) -> None:
    trained.save(tmp_path / "model.safetensors")
    loaded = FieldPPO.load(tmp_path / "model.safetensors", env=trained.get_env(), device="cpu")
    obs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    one, state = trained.predict(obs, deterministic=True)
    other, loaded_state = loaded.predict(obs, deterministic=True)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(state[0], loaded_state[0])
    loaded.learn(64, reset_num_timesteps=False)
    assert loaded.num_timesteps == trained.num_timesteps + 64


def test_callbacks_checkpoints_and_tensorboard_work(tmp_path) -> None:
    envs = make_vec_env("CartPole-v1", 2, seed=0)
    callbacks = [
        EvalCallback(make_vec_env("CartPole-v1", 1), eval_freq=32, best_model_save_path=str(tmp_path), verbose=0),
        CheckpointCallback(save_freq=32, save_path=str(tmp_path)),
    ]
    model = small(envs, tensorboard_log=str(tmp_path / "board"), target_kl=0.01)
    model.learn(128, callback=callbacks)
    assert (tmp_path / "best_model.safetensors").exists()
    assert (tmp_path / "rl_model_128_steps.zip").exists()
    assert list((tmp_path / "board").rglob("events.out.tfevents*"))
    assert model.ep_info_buffer
    FieldPPO.load(tmp_path / "best_model.safetensors")


def test_the_progress_bar_and_schedules_work() -> None:
    pytest.importorskip("tqdm")  # SB3's bar needs it
    model = small("CartPole-v1", learning_rate=lambda left: 1e-3 * left, clip_range=lambda left: 0.2 * left)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="rich is experimental")  # tqdm's, whose bar SB3 shows
        model.learn(64, progress_bar=True)
    assert model.policy.optimizer.param_groups[0]["lr"] < 1e-3


def test_target_kl_stops_an_update_early() -> None:
    steps = []
    for target_kl in (None, 1e-9):
        model = small("CartPole-v1", target_kl=target_kl, n_epochs=10, learning_rate=0.05)
        model.learn(32)
        steps.append(model.policy.optimizer.state_dict()["state"][0]["step"].item())
    assert steps[1] < steps[0]


def test_vec_normalize_may_scale_rewards_and_an_export_refuses_foreign_observations(tmp_path) -> None:
    rewards_only = VecNormalize(make_vec_env("Pendulum-v1", 2), norm_obs=False)
    small(rewards_only).learn(64).export_policy(tmp_path / "policy.safetensors")
    both = small(VecNormalize(make_vec_env("Pendulum-v1", 2))).learn(64)
    with pytest.raises(ValueError, match="VecNormalize changes the observations outside the policy"):
        both.export_policy(tmp_path / "other.safetensors")


def test_rewards_are_divided_by_the_deviation_of_discounted_returns() -> None:
    rng = np.random.default_rng(0)
    ours, returns, running = RewardScale(3), [], np.zeros(3)
    for _ in range(5):
        rewards, starts = rng.normal(2, 5, size=(10, 3)), rng.random((10, 3)) < 0.2
        for reward, start in zip(rewards, starts, strict=True):
            running = np.where(start, 0, running) * 0.9 + reward
            returns.append(running)
        scaled = ours(torch.as_tensor(rewards).float(), torch.as_tensor(starts), 0.9)
        np.testing.assert_allclose(scaled, np.clip(rewards / np.std(returns), -10, 10), rtol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_each_step_of_the_task_counts_once_for_the_scale_of_rewards(mode) -> None:
    model = small(side_by_side(mode, [3, 5]), normalize_rewards=True).learn(64)
    assert model.reward_scale.count == 64, "resets are no steps"


@pytest.mark.parametrize("many", [False, True])
def test_callbacks_see_rewards_and_ends_as_sb3_shows_them(many) -> None:
    class Seen(BaseCallback):
        ended, total, episodes = 0, 0.0, 0

        def _on_step(self) -> bool:
            assert isinstance(self.locals["rewards"], np.ndarray)
            self.total += float(np.sum(self.locals["rewards"]))
            self.ended += int(np.sum(self.locals["dones"], axis=0))
            self.episodes += sum("episode" in info for info in self.locals["infos"])
            ended = np.flatnonzero(self.locals["dones"])
            assert all("terminal_observation" in self.locals["infos"][i] for i in ended)
            return True

    env = gym.make_vec("CartPole-v1", 2, vectorization_mode="sync") if many else "CartPole-v1"
    seen, stop = Seen(), StopTrainingOnMaxEpisodes(max_episodes=2)
    model = small(env).learn(64, callback=[seen])
    assert (seen.total, seen.ended) == (model.num_timesteps, seen.episodes)
    assert seen.ended > 0
    small(env).learn(10_000, callback=stop)
    assert stop.n_episodes >= 2


def test_a_field_with_the_batch_first_is_refused() -> None:
    with pytest.raises(ValueError, match="leave batch_first out of field_kwargs"):
        small("CartPole-v1", {"field_kwargs": {"batch_first": True}})


def test_an_option_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="NeuralFieldPolicy has no option net_arch"):
        small("CartPole-v1", {"net_arch": [64]})


def test_reward_statistics_survive_saving(tmp_path) -> None:
    model = small("Pendulum-v1", normalize_rewards=True).learn(64)
    model.save(tmp_path / "model.safetensors")
    loaded = FieldPPO.load(tmp_path / "model.safetensors")
    assert loaded.reward_scale is not None
    assert torch.equal(loaded.reward_scale.var, model.reward_scale.var)


OBSERVATIONS = {
    "float64": spaces.Box(-1.0, 1.0, (3,), np.float64),
    "matrix": spaces.Box(-1, 1, (2, 2), np.float32),
    "scalar": spaces.Box(-1, 1, ()),
    "discrete": spaces.Discrete(4, start=1),
    "multi_binary": spaces.MultiBinary(3),
    "multi_discrete": spaces.MultiDiscrete([2, 3], start=[5, 7]),
    "multi_discrete_matrix": spaces.MultiDiscrete(np.array([[2, 2], [3, 2]])),
    "dict": spaces.Dict({"a": spaces.Box(-1, 1, (2,), np.float32), "b": spaces.Discrete(3)}),
    "image": spaces.Box(0, 255, (3, 36, 36), np.uint8),
}


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_every_observation_space_trains_saves_and_predicts(name, tmp_path) -> None:
    space = OBSERVATIONS[name]
    model = small(DummyVecEnv([lambda: Walk(space, spaces.Discrete(2))] * 2)).learn(128)
    model.save(tmp_path / "model.safetensors")
    action, state = FieldPPO.load(tmp_path / "model.safetensors").predict(space.sample(), deterministic=True)
    assert action in (0, 1)
    assert state is not None


def test_a_privileged_critic_sees_what_the_actor_does_not(tmp_path) -> None:
    space = spaces.Dict({"seen": spaces.Box(-1, 1, (2,), np.float32), "full": spaces.Box(-1, 1, (3,), np.float32)})
    envs = DummyVecEnv([lambda: Walk(space, spaces.Discrete(2))] * 2)
    model = small(envs, {"visible": ["seen"], "privileged_critic": True}).learn(64)
    obs = {key: torch.zeros(1, *part.shape) for key, part in space.items()}
    other = obs | {"full": torch.ones(1, 3)}
    policy = model.policy
    assert torch.equal(
        policy.get_distribution(obs).distribution.logits, policy.get_distribution(other).distribution.logits
    )
    assert not torch.equal(policy.predict_values(obs), policy.predict_values(other))


@pytest.mark.parametrize(
    "space",
    [spaces.Discrete(3), spaces.MultiBinary(2), spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (1,), np.float32)],
    ids=["discrete", "multi_binary", "multi_discrete", "box"],
)
def test_the_identity_is_learned_in_every_action_space(space) -> None:
    options = {"n_steps": 128, "batch_size": 128, "n_epochs": 10, "learning_rate": 0.01, "gamma": 0.0}
    model = small(DummyVecEnv([lambda: Monitor(Identity(space))]), {"hidden_size": 8}, **options).learn(2_560)
    reached, _ = evaluate_policy(model, Monitor(Identity(space)), n_eval_episodes=10)
    guessing = {"Discrete": 7, "MultiBinary": 10, "MultiDiscrete": 8, "Box": -12}[type(space).__name__]
    assert reached > guessing + 5


def test_state_dependent_exploration_trains_and_keeps_its_noise_between_draws() -> None:
    model = small("Pendulum-v1", use_sde=True, sde_sample_freq=4).learn(64)
    model.policy.reset_noise(1)
    features = torch.zeros(1, 4)
    dist = model.policy._get_action_dist_from_latent(features)
    assert torch.equal(dist.sample(), dist.sample())


@pytest.mark.parametrize(
    ("space", "what"),
    [(spaces.Dict({"a": spaces.Discrete(2)}), "Dict"), (spaces.Box(-np.inf, np.inf, (1,)), "Unbounded Box")],
)
def test_an_unsupported_action_space_is_named(space, what) -> None:
    with pytest.raises(UnsupportedSpaceError, match=what):
        small(Walk(spaces.Discrete(2), space))


def test_an_unsupported_observation_space_is_named() -> None:
    with pytest.raises(UnsupportedSpaceError, match="Text observations are not supported"):
        small(Walk(spaces.Dict({"a": spaces.Dict({"b": spaces.Text(3)})}), spaces.Discrete(2)))


def test_a_batch_that_cannot_be_cut_into_sequences_is_refused() -> None:
    with pytest.raises(ValueError, match=r"seq_len=5 steps must divide both n_steps=32 and batch_size=32: 32 would"):
        small("CartPole-v1", seq_len=5)


def test_a_zip_file_of_sb3_is_refused_unread(tmp_path) -> None:
    PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, device="cpu").save(tmp_path / "ppo.zip")
    with pytest.raises(ModelFileError, match="is a zip file of Stable-Baselines3, and reading one can execute code"):
        FieldPPO.load(tmp_path / "ppo.zip")


@pytest.mark.parametrize(("task", "what"), [("test/Broken-v0", "reward"), ("test/BrokenSensor-v0", "observation")])
@pytest.mark.filterwarnings("ignore:.*The reward is a NaN value")  # Gymnasium, where it is the first
def test_what_a_task_returns_must_be_finite(task, what) -> None:
    with pytest.raises(ValueError, match=f"The {what} of environment 0 at step"):
        small(gym.make(task)).learn(64)
