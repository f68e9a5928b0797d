"""Callbacks find in `locals` what SB3's PPO shows them, and every callback that SB3 ships works."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common import callbacks as shipped
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from nf_policies.ppo import FieldPPO

SMALL = {"n_steps": 32, "batch_size": 32, "n_epochs": 1, "seed": 0, "device": "cpu"}


class Watch(BaseCallback):
    """Keeps the locals of one step."""

    def _on_step(self) -> bool:
        if self.n_calls == 3:
            self.seen = dict(self.locals)
        return True


def described(value):
    """Type, dtype and shape of what can have them."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return type(value), value.dtype, value.shape
    if isinstance(value, dict):
        return {key: described(part) for key, part in value.items()}
    return list if isinstance(value, list) else None


def seen_by_sb3(env_id: str) -> dict:
    watch = Watch()
    PPO("MlpPolicy", DummyVecEnv([lambda: gym.make(env_id)] * 2), **SMALL).learn(64, callback=watch)
    return {name: value for name, value in watch.seen.items() if name not in ("idx", "done")}  # of an inner loop


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("env", ["sb3", *AutoresetMode])
def test_locals_have_sb3s_names_types_and_shapes(env_id, env) -> None:
    if env == "sb3":
        envs = DummyVecEnv([lambda: gym.make(env_id)] * 2)
    else:
        envs = SyncVectorEnv([lambda: gym.make(env_id)] * 2, autoreset_mode=env)
    watch, theirs = Watch(), seen_by_sb3(env_id)
    FieldPPO("NeuralFieldPolicy", envs, **SMALL).learn(64, callback=watch)
    assert watch.seen.keys() >= theirs.keys()
    for name, value in theirs.items():
        assert described(watch.seen[name]) == described(value), name
    assert watch.seen["n_steps"] == theirs["n_steps"] == 2
    assert [type(info) for info in watch.seen["infos"]] == [dict, dict]


class Collect(BaseCallback):
    """Keeps the values, log-probabilities and actions of a rollout."""

    def _on_training_start(self) -> None:
        self.steps = {"values": [], "log_probs": [], "clipped_actions": [], "actions": [], "obs_tensor": []}

    def _on_step(self) -> bool:
        for name, kept in self.steps.items():
            kept.append(np.asarray(self.locals[name]).copy())
        return True


@pytest.mark.parametrize("critic", ["separate", "shared", "memoryless"])
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_values_and_log_probabilities_are_those_that_training_uses(env_id, critic) -> None:
    watch = Collect()
    model = FieldPPO("NeuralFieldPolicy", env_id, policy_kwargs={"critic": critic}, **SMALL)
    model.learn(32)  # the statistics of the first rollout are learned as it goes
    model.learn(32, callback=watch, reset_num_timesteps=False)
    stored = model.rollout_buffer
    for name in ("values", "log_probs"):
        ours, used = np.stack(watch.steps[name]).reshape(32, 1), stored.stored[name].numpy()
        np.testing.assert_allclose(ours, used, rtol=1e-4, atol=1e-5)
    low, high = (getattr(model.action_space, bound, 0) for bound in ("low", "high"))
    if env_id == "Pendulum-v1":
        np.testing.assert_allclose(watch.steps["clipped_actions"], 2 * np.tanh(watch.steps["actions"]), rtol=1e-5)
        assert (low <= np.array(watch.steps["clipped_actions"])).all()
        assert (np.array(watch.steps["clipped_actions"]) <= high).all()


def every_callback(folder) -> dict[str, BaseCallback]:
    env = gym.make("CartPole-v1")
    stop = shipped.StopTrainingOnNoModelImprovement(max_no_improvement_evals=5)
    best = shipped.StopTrainingOnRewardThreshold(1e9)
    made = {
        "CheckpointCallback": shipped.CheckpointCallback(20, str(folder)),
        "EvalCallback": shipped.EvalCallback(
            env, eval_freq=20, n_eval_episodes=1, callback_on_new_best=best, callback_after_eval=stop, verbose=0
        ),
        "StopTrainingOnMaxEpisodes": shipped.StopTrainingOnMaxEpisodes(1000),
        "EveryNTimesteps": shipped.EveryNTimesteps(20, Watch()),
        "ConvertCallback": shipped.ConvertCallback(lambda seen, _: len(seen["rewards"]) == 1),
        "CallbackList": shipped.CallbackList([Watch()]),
        "ProgressBarCallback": shipped.ProgressBarCallback(),
        "StopTrainingOnNoModelImprovement": stop,
        "StopTrainingOnRewardThreshold": best,
    }
    if hasattr(shipped, "LogEveryNTimesteps"):
        made["LogEveryNTimesteps"] = shipped.LogEveryNTimesteps(20)
    return made


@pytest.mark.filterwarnings("ignore")  # the progress bar is experimental
def test_every_callback_that_sb3_ships_works(tmp_path) -> None:
    made = every_callback(tmp_path)
    classes = {
        name
        for name, value in vars(shipped).items()
        if isinstance(value, type) and issubclass(value, BaseCallback) and name not in ("BaseCallback", "EventCallback")
    }
    assert made.keys() == classes
    children = ("StopTrainingOnNoModelImprovement", "StopTrainingOnRewardThreshold")
    together = [callback for name, callback in made.items() if name not in children]
    model = FieldPPO("NeuralFieldPolicy", "CartPole-v1", **SMALL).learn(64, callback=together)
    assert model.num_timesteps == 64
    assert sorted(file.name for file in tmp_path.glob("rl_model_*_steps.zip")) == [
        f"rl_model_{n}_steps.zip" for n in (20, 40, 60)
    ]


@pytest.mark.parametrize("vectorised", [False, True])
def test_training_stops_after_so_many_episodes(vectorised) -> None:
    env = SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    stop = shipped.StopTrainingOnMaxEpisodes(max_episodes=2)
    FieldPPO("NeuralFieldPolicy", env if vectorised else "CartPole-v1", **SMALL).learn(10_000, callback=stop)
    assert stop.n_episodes >= 2
    assert stop.model.num_timesteps < 2_000
