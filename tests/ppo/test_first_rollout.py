"""What a rollout stores is what the policy saw and did when it acted, from the first step of the first one on."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from example_tasks import MODES, Walk, side_by_side
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from nf_policies.ppo import FieldPPO, NeuralFieldPolicy

FAR = spaces.Box(np.float32([49, -1, 0]), np.float32([51, 1, 1e-3]))


class Recording(NeuralFieldPolicy):
    """Keeps the log-probabilities of the actions that it draws."""

    drawn: list[torch.Tensor]

    def sample(self, latent: torch.Tensor) -> torch.Tensor:
        actions = super().sample(latent)
        self.drawn.append(self._get_action_dist_from_latent(latent).log_prob(actions).clone())
        return actions


class Compare(BaseCallback):
    """Compare the stored log-probabilities of each rollout with those that were drawn."""

    compared = 0

    def _on_rollout_start(self) -> None:
        self.model.policy.drawn = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        drawn = torch.stack(self.model.policy.drawn)
        for batch in self.model.rollout_buffer.get():
            torch.testing.assert_close(
                batch.old_log_prob.sort().values, drawn.flatten().sort().values, rtol=1e-4, atol=1e-4
            )
            self.compared += 1


@pytest.mark.parametrize("options", [{}, {"use_sde": True}, {"use_sde": True, "sde_sample_freq": 4}])
@pytest.mark.parametrize("envs", [1, 3])
def test_log_probabilities_are_those_of_the_actions_as_they_were_drawn_in_every_learn_call(options, envs) -> None:
    env = DummyVecEnv([lambda: Walk(FAR, spaces.Box(-1, 1, (2,)))] * envs)
    kwargs = {"hidden_size": 4, "log_std_init": -1.0}
    model = FieldPPO(Recording, env, n_steps=24, batch_size=24, n_epochs=2, seed=0, policy_kwargs=kwargs, **options)
    compare = Compare()
    for _ in range(2):
        model.learn(48 * envs, callback=compare)
    assert compare.compared == 4


@pytest.mark.parametrize("mode", MODES)
def test_a_first_rollout_is_seen_normalised_and_its_ratios_are_one(mode) -> None:
    model = FieldPPO("NeuralFieldPolicy", side_by_side(mode, [3, 5]), n_steps=16, batch_size=32, n_epochs=1, seed=0)

    class Ratio(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            (batch,) = self.model.rollout_buffer.get()
            assert batch.observations.features.abs().max() <= 10
            actions = batch.actions.long().flatten()
            values, log_probs, _ = self.model.policy.evaluate_actions(batch.observations, actions)
            torch.testing.assert_close(log_probs, batch.old_log_prob)
            torch.testing.assert_close(values.flatten(), batch.old_values)

    model.learn(64, callback=Ratio())
    count = model.policy.normalizer.count
    assert count >= 64


class SameBuffer(VectorEnv):
    """Observe the number of the step, always in the same tensor, as simulators on a GPU do."""

    def __init__(self) -> None:
        self.num_envs = 2
        self.single_observation_space, self.single_action_space = spaces.Box(-np.inf, np.inf, (1,)), spaces.Discrete(2)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.obs_buf = torch.zeros(2, 1)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return self.obs_buf.zero_(), {}

    def step(self, actions: Any) -> Any:
        self.obs_buf += 1
        no = torch.zeros(2, dtype=torch.bool)
        return self.obs_buf, torch.ones(2), no, no, {}


class Steps(gym.Env[np.ndarray, int]):
    """Observe the number of the step."""

    observation_space, action_space = spaces.Box(-np.inf, np.inf, (1,)), spaces.Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.t = 0.0
        return np.float32([0]), {}

    def step(self, action: int) -> Any:
        self.t += 1
        return np.float32([self.t]), 1.0, False, False, {}


@pytest.mark.parametrize("mode", ["tensors", *AutoresetMode])
def test_observations_are_those_before_the_step_where_environments_reuse_their_memory(mode) -> None:
    env = SameBuffer() if mode == "tensors" else SyncVectorEnv([Steps] * 2, copy=False, autoreset_mode=mode)
    kwargs = {"normalize_observations": False, "hidden_size": 4}
    model = FieldPPO("NeuralFieldPolicy", env, n_steps=8, batch_size=16, n_epochs=1, policy_kwargs=kwargs)
    model.learn(16)
    (batch,) = model.rollout_buffer.get()
    expected = torch.arange(8.0)[:, None].expand(8, 2)
    torch.testing.assert_close(batch.observations.features[..., 0], expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("critic", ["separate", "shared"])
def test_after_a_callback_has_stopped_learning_goes_on_with_memory_and_observation_of_one_moment(mode, critic) -> None:
    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            return self.n_calls < 5

    class Remember(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            (batch,) = self.model.rollout_buffer.get()
            self.first = batch.observations

    kwargs = {"normalize_observations": False, "hidden_size": 4, "critic": critic}
    env = side_by_side(mode, [1000])
    model = FieldPPO("NeuralFieldPolicy", env, n_steps=16, batch_size=16, n_epochs=1, seed=0, policy_kwargs=kwargs)
    model.learn(16, callback=Stop())
    remember = Remember()
    model.learn(16, callback=remember, reset_num_timesteps=False)
    assert remember.first.features[0, 0, 2] == 5
    fresh = FieldPPO("NeuralFieldPolicy", env, n_steps=16, batch_size=16, seed=0, policy_kwargs=kwargs).policy
    potentials = fresh.start(1)
    for t in range(5):
        after = fresh.run(fresh.one_step(torch.tensor([[0.0, 0.0, t]]), potentials))[2]
        potentials = torch.cat(after, dim=-1)[0]
    torch.testing.assert_close(remember.first.potentials, potentials)


def test_after_an_interrupt_in_a_rollout_episodes_begin_anew() -> None:
    class Interrupt(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 5:
                raise KeyboardInterrupt
            return True

    class First(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            (batch,) = self.model.rollout_buffer.get()
            self.step, self.start = batch.observations.features[0, 0, 2], batch.observations.episode_starts[0, 0]

    kwargs = {"normalize_observations": False}
    env = side_by_side("vec_env", [1000])
    model = FieldPPO("NeuralFieldPolicy", env, n_steps=16, batch_size=16, n_epochs=1, policy_kwargs=kwargs)
    with pytest.raises(KeyboardInterrupt):
        model.learn(16, callback=Interrupt())
    first = First()
    model.learn(16, callback=first, reset_num_timesteps=False)
    assert (first.step, first.start) == (0, True)
