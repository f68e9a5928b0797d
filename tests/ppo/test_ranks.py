"""Several processes train one policy: with the same parameters, and as one process would."""

import os
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from example_tasks import MODES, side_by_side
from in_ranks import in_ranks
from stable_baselines3.common.logger import Logger

from nf_policies.ppo import FieldPPO
from nf_policies.ppo.together import begun, join, update
from nf_policies.ranks import ALONE, Ranks

pytestmark = pytest.mark.skipif(os.name == "nt" or not dist.is_available(), reason="forks processes that gloo connects")


def model_of(ranks: Ranks, env: Any, **options: Any) -> FieldPPO:
    policy = {"field": "simple", "hidden_size": 3}
    given = {"n_steps": 16, "batch_size": 16, "seq_len": 8, "normalize_rewards": True, "policy_kwargs": policy}
    model = FieldPPO("NeuralFieldPolicy", env, seed=7 + ranks.number, device="cpu", **given | options)
    model.set_logger(Logger(None, []))
    join(model, ranks)
    return model


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """What an update imports and compiles, which forked processes then have."""
    model = model_of(ALONE, side_by_side("same_step", [3, 5]))
    update(model, begun(model), 0.0)


def arrays(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.detach().clone().numpy() for name, tensor in tensors.items()}


@pytest.mark.parametrize("mode", MODES)
def test_all_ranks_have_the_same_parameters_and_statistics_after_each_update(mode) -> None:
    def work(ranks: Ranks) -> Any:
        model = model_of(ranks, side_by_side(mode, [3, 5] if ranks.number else [4, 9]), n_epochs=2)
        callback, states, seen = begun(model), [], []
        for used in (0.0, 0.5):
            update(model, callback, used)
            states.append(arrays({**model.policy.state_dict(), **model.reward_scale.state_dict()}))
            seen.append(model.rollout_buffer.storage["features"].flatten(0, 1).numpy().copy())
        return states, seen, model.num_timesteps, model.rollout_buffer.stored["actions"].numpy()

    (states, seen, steps, actions), (others, seen_there, steps_there, actions_there) = in_ranks(work)
    for here, there in zip(states, others, strict=True):
        for name, values in here.items():
            np.testing.assert_array_equal(values, there[name], err_msg=name)
    assert any((states[0][name] != states[1][name]).any() for name in states[0] if "actor" in name)
    assert steps == steps_there >= 2 * 16 * 4
    assert (actions != actions_there).any(), "each rank has random numbers of its own"
    if mode != "next_step":  # in which the normaliser also learns from observations that no action follows
        rows = np.concatenate((*seen, *seen_there))
        assert states[-1]["normalizer.count"] == len(rows)
        np.testing.assert_allclose(states[-1]["normalizer.mean"], rows.mean(0), rtol=1e-5)
        np.testing.assert_allclose(states[-1]["normalizer.var"], rows.var(0), rtol=1e-4)


def test_ranks_take_the_step_that_one_process_takes_with_their_minibatches_together() -> None:
    options = {"batch_size": 32, "n_epochs": 1}

    def work(ranks: Ranks) -> Any:
        model = model_of(ranks, side_by_side("same_step", [3, 5] if ranks.number else [4, 9]), **options)
        callback, buffer = begun(model), model.rollout_buffer
        model.collect_rollouts(model.env, callback, buffer, model.n_steps)
        before, sequences, flat = (arrays(part) for part in (model.policy.state_dict(), buffer.sequences, buffer.flat))
        model.train()
        return before, sequences, flat, [p.grad.numpy() for p in model.policy.parameters() if p.grad is not None]

    (before, *first, gradients), (_, *second, _) = in_ranks(work)
    alone = model_of(ALONE, side_by_side("same_step", [3, 5, 4, 9]), **options | {"batch_size": 64})
    alone.policy.load_state_dict({name: torch.as_tensor(value) for name, value in before.items()})
    buffer = alone.rollout_buffer
    buffer.sequences, buffer.flat = (
        {name: torch.as_tensor(np.concatenate((one[name], other[name]), axis)) for name in one}
        for axis, one, other in zip((0, 1), first, second, strict=True)
    )
    buffer.stored = {"values": buffer.flat["values"], "targets": buffer.flat["targets"]}
    alone.train()
    expected = [parameter.grad for parameter in alone.policy.parameters() if parameter.grad is not None]
    assert len(expected) == len(gradients) > 5
    for of_one, of_ranks in zip(expected, gradients, strict=True):
        np.testing.assert_allclose(of_ranks, of_one, rtol=1e-4, atol=1e-6)


def test_the_reward_scale_follows_the_rewards_of_all_ranks() -> None:
    rewards = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0)) * 5 + 1

    def work(ranks: Ranks) -> Any:
        model = model_of(ranks, side_by_side("same_step", [3, 5, 7]))
        scale = model.reward_scale
        for piece in rewards[ranks.number].split(3):
            scale(piece, torch.zeros(3, 3, dtype=torch.bool), 0.5)
        return arrays(scale.state_dict())

    running, rows = torch.zeros(2, 3), []
    for t in range(6):
        running = running * 0.5 + rewards[:, t]
        rows.append(running)
    returns = torch.stack(rows)
    for found in in_ranks(work):
        assert found["count"] == 36
        np.testing.assert_allclose(found["mean"], returns.mean(), rtol=1e-5)
        np.testing.assert_allclose(found["var"], returns.var(correction=0), rtol=1e-5)


def test_models_that_end_an_update_by_themselves_cannot_train_together() -> None:
    with pytest.raises(ValueError, match="leave it out with several ranks"):
        model_of(ALONE, side_by_side("same_step", [3, 5]), target_kl=0.01)
