"""The random numbers of a model are its own."""

import random

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback

from nf_policies.ppo import FieldPPO

SMALL = {"n_steps": 32, "batch_size": 32, "n_epochs": 2, "device": "cpu"}


@pytest.mark.parametrize("seed", [0, None])
def test_making_training_and_sampling_leave_the_global_generators_alone(seed) -> None:
    def states() -> tuple[object, ...]:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002

    before = states()
    model = FieldPPO("NeuralFieldPolicy", "Pendulum-v1", seed=seed, use_sde=True, **SMALL).learn(64)
    model.predict(np.zeros(3, np.float32))
    model.set_random_seed(3)
    assert states() == before


def test_whatever_else_is_drawn_between_two_calls_a_seed_gives_the_same_bytes() -> None:
    weights = []
    for noise in (0, 100):
        torch.rand(noise)
        model = FieldPPO("NeuralFieldPolicy", "CartPole-v1", seed=5, **SMALL).learn(32)
        torch.rand(noise)
        model.learn(32)
        weights.append(torch.cat([p.detach().flatten() for p in model.policy.parameters()]))
    assert torch.equal(*weights)


def test_models_without_a_seed_differ_although_torch_is_seeded() -> None:
    weights = []
    for _ in range(2):
        torch.manual_seed(0)
        model = FieldPPO("NeuralFieldPolicy", "CartPole-v1", **SMALL)
        weights.append(torch.cat([p.detach().flatten() for p in model.policy.parameters()]))
    assert not torch.equal(*weights)


def test_a_callback_that_samples_actions_does_not_repeat_the_rollouts_random_numbers() -> None:
    class Sample(BaseCallback):
        seen: list[float]

        def _on_training_start(self) -> None:
            self.seen = []

        def _on_step(self) -> bool:
            self.seen.append(float(self.model.predict(np.zeros(3, np.float32))[0][0]))
            return True

    sample = Sample()
    FieldPPO("NeuralFieldPolicy", "Pendulum-v1", seed=0, **SMALL).learn(32, callback=sample)
    assert len(set(sample.seen)) == 32
