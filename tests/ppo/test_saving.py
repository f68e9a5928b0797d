"""A model's file is read without executing anything, and goes on where it was."""

import json
import zipfile

import numpy as np
import pytest
import torch
from example_tasks import Walk
from gymnasium import spaces
from safetensors import safe_open
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import DummyVecEnv

from nf_policies.ppo import FieldPPO, NeuralFieldPolicy
from nf_policies.ppo.saving import ModelFileError

SMALL = {"n_steps": 32, "batch_size": 32, "n_epochs": 2, "seed": 0, "device": "cpu"}


def weights(model: FieldPPO) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.policy.parameters()])


def test_two_continuations_of_one_file_are_equal_and_use_its_settings(tmp_path) -> None:
    options = {"clip_range": 0.1, "ent_coef": 0.01, "target_kl": 0.5, "normalize_rewards": True, "gamma": 0.9}
    policy = {"hidden_size": 4, "field_kwargs": {"tau_init": (1.5, 2.0)}, "visible": [0, 1]}
    model = FieldPPO("NeuralFieldPolicy", "Pendulum-v1", use_sde=True, policy_kwargs=policy, **options, **SMALL)
    model.learn(64)
    model.save(tmp_path / "model")
    loaded = [FieldPPO.load(tmp_path / "model.safetensors", env="Pendulum-v1", device="cpu") for _ in range(2)]
    assert torch.equal(weights(loaded[0]), weights(model))
    assert (loaded[0].clip_range(0.5), loaded[0].ent_coef, loaded[0].gamma) == (0.1, 0.01, 0.9)
    for one in loaded:
        one.learn(64, reset_num_timesteps=False)
    assert torch.equal(weights(loaded[0]), weights(loaded[1]))
    assert loaded[0].num_timesteps == 128
    assert len(loaded[0].ep_info_buffer) == len(loaded[1].ep_info_buffer)


def test_random_numbers_and_optimiser_go_on_where_they_were(tmp_path) -> None:
    model = FieldPPO("NeuralFieldPolicy", "CartPole-v1", **SMALL).learn(64)
    model.save(tmp_path / "model")
    loaded = FieldPPO.load(tmp_path / "model", env="CartPole-v1", device="cpu")
    for one in (model, loaded):
        one.set_env("CartPole-v1" if False else one.get_env())  # both begin new episodes
        one.env.seed(7)
        one.learn(64, reset_num_timesteps=False)
    assert torch.equal(weights(model), weights(loaded))


def test_what_is_of_your_own_is_named_when_saving_and_asked_for_when_loading(tmp_path) -> None:
    class Own(NeuralFieldPolicy):
        pass

    extractor = {"features_extractor_class": FlattenExtractor}
    model = FieldPPO(Own, "CartPole-v1", learning_rate=lambda left: 1e-3 * left, policy_kwargs=extractor, **SMALL)
    everything = r"policy, learning_rate, policy_kwargs\['features_extractor_class'\]"
    with pytest.warns(UserWarning, match=f"cannot hold {everything}.*: give it to FieldPPO.load"):
        model.save(tmp_path / "model")
    with pytest.raises(ModelFileError, match=f"does not hold {everything}: give it to FieldPPO.load"):
        FieldPPO.load(tmp_path / "model")
    loaded = FieldPPO.load(tmp_path / "model", policy=Own, learning_rate=1e-4, policy_kwargs=extractor)
    assert torch.equal(weights(model), weights(loaded))
    assert loaded.lr_schedule(1) == 1e-4


def test_constant_schedules_and_arrays_are_kept(tmp_path) -> None:
    kwargs = {"visible": [0, 2], "field_kwargs": {"tau_init": np.array([1.5, 2.5])}}
    model = FieldPPO("NeuralFieldPolicy", "CartPole-v1", clip_range_vf=0.3, policy_kwargs=kwargs, **SMALL)
    model.save(tmp_path / "model")
    loaded = FieldPPO.load(tmp_path / "model")
    assert loaded.clip_range_vf(1.0) == 0.3
    np.testing.assert_allclose(loaded.policy.actor.tau.detach(), model.policy.actor.tau.detach())


def test_dict_observations_are_kept(tmp_path) -> None:
    space = spaces.Dict({"a": spaces.Box(-1, 1, (2,)), "b": spaces.Discrete(3, start=1)})
    model = FieldPPO("NeuralFieldPolicy", DummyVecEnv([lambda: Walk(space, spaces.Discrete(2))]), **SMALL).learn(32)
    model.save(tmp_path / "model")
    loaded = FieldPPO.load(tmp_path / "model")
    assert loaded.observation_space == space
    obs = space.sample()
    np.testing.assert_array_equal(*(m.predict(obs, deterministic=True)[0] for m in (model, loaded)))


def test_a_file_holds_json_and_numbers_only(tmp_path) -> None:
    FieldPPO("NeuralFieldPolicy", "CartPole-v1", **SMALL).save(tmp_path / "model")
    assert not zipfile.is_zipfile(tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["nf_policies_model"])["arguments"]["n_steps"] == 32


@pytest.mark.parametrize("damage", ["missing", "cut", "foreign"])
def test_a_file_that_is_no_model_is_refused_in_one_sentence(damage, tmp_path) -> None:
    model = FieldPPO("NeuralFieldPolicy", "CartPole-v1", **SMALL)
    path = tmp_path / "model.safetensors"
    if damage == "cut":
        model.save(path)
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "foreign":
        model.export_policy(path)
    sentences = {"missing": "There is no model at", "cut": "is not a whole model", "foreign": "not a model written by"}
    with pytest.raises(ModelFileError, match=sentences[damage]):
        FieldPPO.load(path)


def test_an_environment_of_other_spaces_is_refused(tmp_path) -> None:
    FieldPPO("NeuralFieldPolicy", "CartPole-v1", **SMALL).save(tmp_path / "model")
    with pytest.raises(ValueError, match="spaces do not match"):
        FieldPPO.load(tmp_path / "model", env="Acrobot-v1")


def test_parameters_are_taken_from_a_file(tmp_path) -> None:
    one, other = (FieldPPO("NeuralFieldPolicy", "CartPole-v1", **SMALL | {"seed": seed}) for seed in (1, 2))
    one.save(tmp_path / "model")
    other.set_parameters(tmp_path / "model")
    assert torch.equal(weights(one), weights(other))
