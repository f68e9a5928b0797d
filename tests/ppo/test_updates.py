"""What an update computes: the same as the rollout did, exactly through time, and nothing across environments."""

import itertools
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from example_tasks import Walk, side_by_side
from gymnasium import spaces
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from nf_policies.ppo import FieldPPO
from nf_policies.ppo.export import readout

OBS = spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = {
    "discrete": spaces.Discrete(3, start=1),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_binary": spaces.MultiBinary(3),
    "box": spaces.Box(np.float32([-1, 0]), np.float32([2, 4])),
    "box64": spaces.Box(-1.0, 3.0, (2, 2), np.float64),
}


def walks(action_space: spaces.Space, num_envs: int = 3, obs: spaces.Space = OBS) -> DummyVecEnv:
    return DummyVecEnv([lambda: Walk(obs, action_space) for _ in range(num_envs)])


def collected(env: Any, n_steps: int = 16, batch_size: int = 16, policy_kwargs: Any = None, **options: Any) -> FieldPPO:
    model = FieldPPO(
        "NeuralFieldPolicy",
        env,
        n_steps=n_steps,
        batch_size=batch_size,
        seed=0,
        device="cpu",
        policy_kwargs={"hidden_size": 4} | (policy_kwargs or {}),
        **options,
    )
    _, callback = model._setup_learn(10**6)
    for _ in range(2):
        model.collect_rollouts(model.env, callback, model.rollout_buffer, n_steps)
    return model


def evaluate(model: FieldPPO, batch: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    actions = batch.actions
    if isinstance(model.action_space, spaces.Discrete):
        actions = actions.long().flatten()
    return model.policy.evaluate_actions(batch.observations, actions)


def assert_rollout_and_update_agree(model: FieldPPO) -> None:
    for batch in model.rollout_buffer.get(model.batch_size):
        values, log_probs, _ = evaluate(model, batch)
        torch.testing.assert_close(
            (log_probs - batch.old_log_prob).exp(), torch.ones_like(log_probs), atol=1e-5, rtol=0
        )
        torch.testing.assert_close(values.flatten(), batch.old_values, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("squash", ["tanh", "clip"])
def test_the_ratio_is_one_before_the_first_step_in_every_action_space(name, squash) -> None:
    assert_rollout_and_update_agree(collected(walks(ACTIONS[name]), policy_kwargs={"squash": squash}))


@pytest.mark.parametrize(("seq_len", "batch_size"), [(1, 1), (1, 7), (4, 4), (4, 12), (8, 48), (16, 16), (16, 48)])
def test_the_ratio_is_one_for_every_length_and_batch_size(seq_len, batch_size) -> None:
    options = {"normalize_advantage": False} if batch_size == 1 else {}
    with pytest.warns(UserWarning, match="truncated mini-batch") if 48 % batch_size else nullcontext():
        model = collected(walks(ACTIONS["discrete"]), seq_len=seq_len, batch_size=batch_size, **options)
    assert_rollout_and_update_agree(model)


@pytest.mark.parametrize("field", ["neural", "simple", "gru", "lstm", "memoryless"])
@pytest.mark.parametrize("critic", ["separate", "shared", "memoryless"])
def test_the_ratio_is_one_for_every_field_and_critic(field, critic) -> None:
    model = collected(walks(ACTIONS["box"]), policy_kwargs={"field": field, "critic": critic})
    assert_rollout_and_update_agree(model)


@pytest.mark.parametrize("squash", ["tanh", "clip"])
@pytest.mark.parametrize("full_std", [True, False])
def test_the_ratio_is_one_with_state_dependent_exploration(squash, full_std) -> None:
    kwargs = {"squash": squash, "full_std": full_std, "log_std_init": -1.0}
    assert_rollout_and_update_agree(collected(walks(ACTIONS["box"]), use_sde=True, policy_kwargs=kwargs))


def test_the_gradient_goes_through_all_of_the_sequence_and_stops_at_an_episodes_start() -> None:
    model = collected(walks(ACTIONS["discrete"]))
    batch = next(model.rollout_buffer.get(16))
    # Output weights start near zero; gradients are compared with zero below.
    torch.nn.init.normal_(readout(model.policy).weight)
    features = batch.observations.features.clone().requires_grad_()
    starts = torch.zeros_like(batch.observations.episode_starts)
    starts[5] = True
    _, log_probs, _ = evaluate(
        model, batch._replace(observations=batch.observations._replace(features=features, episode_starts=starts))
    )
    log_probs.reshape(16, -1)[-1].sum().backward()
    assert features.grad is not None
    of_step = features.grad.abs().sum((1, 2))
    assert (of_step[5:] > 0).all()
    assert (of_step[:5] == 0).all()


def test_other_environments_leave_an_environments_gradient_alone() -> None:
    model = collected(side_by_side("vec_env", [3, 5]), batch_size=32)
    batch = next(model.rollout_buffer.get(32))
    of_first = batch.observations.features[0, :, 0] == batch.observations.features[0, 0, 0]
    gradients = []
    for noise in (0.0, 5.0):
        features = batch.observations.features.clone()
        features[:, ~of_first] += noise
        values, log_probs, _ = evaluate(
            model, batch._replace(observations=batch.observations._replace(features=features))
        )
        loss = (values.reshape(16, 2) + log_probs.reshape(16, 2))[:, of_first].sum()
        model.policy.zero_grad()
        loss.backward()
        gradients.append([p.grad.clone() for p in model.policy.parameters() if p.grad is not None])
    assert len(gradients[0]) > 10
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("field", ["neural", "simple", "gru", "lstm"])
def test_the_same_observation_after_another_history_gives_another_action(field) -> None:
    model = collected(walks(ACTIONS["box"]), policy_kwargs={"field": field})
    torch.nn.init.normal_(readout(model.policy).weight)
    now = np.zeros(3, np.float32)
    actions = []
    for before in (-np.ones(3, np.float32), np.ones(3, np.float32)):
        _, state = model.predict(before, deterministic=True)
        actions.append(model.predict(now, state, np.array([False]), deterministic=True)[0])
    assert not np.allclose(*actions)
    fresh, _ = model.predict(now, deterministic=True)
    restarted, _ = model.predict(now, state, np.array([True]), deterministic=True)
    np.testing.assert_array_equal(fresh, restarted)


@pytest.mark.parametrize(
    ("num_envs", "n_steps", "batch_size", "seq_len"),
    [(1, 2, 2, 1), (1, 2, 2, 2), (2, 1, 2, 1), (3, 5, 5, 5), (1, 7, 7, None), (2, 8, 2, 1), (5, 4, 8, 4)],
)
def test_losses_are_finite_at_edge_lengths(num_envs, n_steps, batch_size, seq_len) -> None:
    options = {"n_epochs": 2, "seq_len": seq_len}
    with pytest.warns(UserWarning, match="truncated") if num_envs * n_steps % batch_size else nullcontext():
        model = collected(walks(ACTIONS["box"], num_envs), n_steps, batch_size, **options)
    model.train()
    assert all(p.isfinite().all() for p in model.policy.parameters())


def test_recomputed_potentials_are_those_of_the_parameters_as_they_are() -> None:
    model = collected(walks(ACTIONS["box"]), recompute_potentials=True, seq_len=4, batch_size=4)
    stored = model.rollout_buffer.sequences["potentials"].clone()
    per_env = 4  # sequences of each environment, one after the other
    torch.testing.assert_close(model.rollout_buffer._refreshed(), stored, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        for p in model.policy.actor.parameters():
            p.add_(0.1)
    refreshed = model.rollout_buffer._refreshed()
    assert not torch.allclose(refreshed[1], stored[1], atol=1e-3)
    assert torch.equal(refreshed[::per_env], stored[::per_env])


def test_a_seed_gives_the_same_bytes_again() -> None:
    def trained() -> list[torch.Tensor]:
        model = collected(walks(ACTIONS["box"]), policy_kwargs={"field": "simple"})
        model.learn(96)
        return list(model.policy.state_dict().values())

    for one, other in zip(trained(), trained(), strict=True):
        assert torch.equal(one, other)


def test_a_rollouts_observations_change_the_normaliser_and_nothing_else_does() -> None:
    model = collected(walks(ACTIONS["box"]))
    normalizer = model.policy.normalizer
    before = [b.clone() for b in normalizer.buffers()]
    assert before[0] == 2 * 16 * 3
    observation, state = np.full((4, 3), 100, np.float32), None
    for _, episode_start in itertools.product(range(2), (np.ones(4, bool), np.zeros(4, bool))):
        _, state = model.predict(observation, state, episode_start)
    model.train()
    assert all(torch.equal(b, now) for b, now in zip(before, normalizer.buffers(), strict=True))
    model.learn(48, reset_num_timesteps=False)
    assert not torch.equal(before[1], normalizer.mean)


@pytest.mark.parametrize(
    ("ent_coef", "normalize_rewards", "spread"), [(0.002, True, 0.2), (0.0, True, 1.0), (0.002, False, 1.0)]
)
def test_small_advantages_count_less_than_entropy(ent_coef, normalize_rewards, spread) -> None:
    """Where the critic nearly foretells returns that vary by 1, what is left are its errors: no reason to choose."""
    options = {"ent_coef": ent_coef, "normalize_rewards": normalize_rewards, "batch_size": 48, "n_epochs": 1}
    model = collected(walks(ACTIONS["discrete"]), **options)
    of_rollout = model.rollout_buffer.flat["advantages"]
    of_rollout *= 0.02 / of_rollout.std()
    seen, get = [], model.rollout_buffer.get
    model.rollout_buffer.get = lambda size: (seen.append(batch.advantages.std()) or batch for batch in get(size))
    model.set_logger(Logger(None, []))
    model.train()
    assert seen == [pytest.approx(spread, rel=1e-4)]
    assert model.normalize_advantage, "the option is as it was"
