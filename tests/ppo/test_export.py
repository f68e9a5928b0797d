"""An exported policy acts as the trained model does, for whatever it sees, or is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from every_space import ACTIONS, OBSERVATIONS, batch_of
from example_tasks import Walk
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.torch_layers import FlattenExtractor, NatureCNN
from stable_baselines3.common.vec_env import DummyVecEnv, VecTransposeImage

from nf_policies import Policy
from nf_policies.evolution.start import start_field
from nf_policies.policies import field_sizes
from nf_policies.ppo import FieldPPO, NeuralFieldPolicy
from nf_policies.ppo.export import like, take_over

SMALL: dict[str, Any] = {"n_steps": 16, "batch_size": 32, "n_epochs": 1, "learning_rate": 0.03, "seed": 0}
IMAGE = spaces.Box(0, 255, (36, 36, 3), np.uint8)


def trained(obs: spaces.Space, actions: spaces.Space, policy: Any = "NeuralFieldPolicy", **kwargs: Any) -> FieldPPO:
    env = SyncVectorEnv([lambda: Walk(obs, actions)] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    return FieldPPO(policy, env, policy_kwargs={"hidden_size": 4, **kwargs}, **SMALL).learn(64)


def assert_acts_alike(model: FieldPPO, policy: Policy) -> None:
    state = None
    for t in range(6):
        obs = batch_of(model.observation_space, 3, seed=t)
        starts = np.full(3, t in (0, 4))
        wanted, state = model.predict(obs, state, starts, deterministic=True)
        np.testing.assert_allclose(policy.act(obs, episode_start=starts), wanted, atol=1e-5)
        assert all(model.action_space.contains(np.asarray(action)) for action in wanted)


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_the_file_of_every_observation_space_acts_as_the_model(name, tmp_path) -> None:
    model = trained(OBSERVATIONS[name], spaces.Box(-1, 1, (2,)))
    model.export_policy(tmp_path / "policy.safetensors")
    assert_acts_alike(model, Policy.load(tmp_path / "policy.safetensors"))
    model.save(tmp_path / "model.safetensors")
    loaded = FieldPPO.load(tmp_path / "model.safetensors")
    assert loaded.observation_space == OBSERVATIONS[name]
    assert_acts_alike(loaded, model.policy_of())


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("nested", "SAME_STEP"),
        ("nested", "NEXT_STEP"),
        ("nested", "DISABLED"),
        ("nested", ""),
        ("dict", ""),
        ("tuple", ""),
    ],
)
def test_nested_observations_train_in_every_kind_of_environment(name, mode) -> None:
    def make() -> Walk:
        return Walk(OBSERVATIONS[name], ACTIONS["box"])

    env: Any = SyncVectorEnv([make] * 2, autoreset_mode=AutoresetMode[mode]) if mode else make()
    model = FieldPPO("NeuralFieldPolicy", env, **SMALL | {"n_steps": 32}).learn(64)
    assert_acts_alike(model, model.policy_of())


@pytest.mark.parametrize("name", ["discrete", "dict", "tuple"])
def test_stable_baselines3s_vector_environments_show_the_same(name) -> None:
    env = DummyVecEnv([lambda: Walk(OBSERVATIONS[name], ACTIONS["box"])] * 2)
    model = FieldPPO("NeuralFieldPolicy", env, **SMALL).learn(64)
    assert_acts_alike(model, model.policy_of())


@pytest.mark.parametrize("name", ACTIONS)
def test_the_file_of_every_action_space_acts_as_the_model(name, tmp_path) -> None:
    model = trained(OBSERVATIONS["vector"], ACTIONS[name])
    model.export_policy(tmp_path / "policy.safetensors")
    assert_acts_alike(model, Policy.load(tmp_path / "policy.safetensors"))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"critic": "shared"},
        {"field": "gru"},
        {"field": "lstm", "critic": "memoryless"},
        {"field": "simple", "visible": [0, 2]},
        {"squash": "clip"},
        {"normalize_observations": False},
        {"field": "memoryless", "privileged_critic": True, "visible": [1]},
    ],
)
def test_the_file_of_every_kind_of_policy_acts_as_the_model(kwargs, tmp_path) -> None:
    model = trained(OBSERVATIONS["vector"], ACTIONS["box"], **kwargs)
    model.export_policy(tmp_path / "policy.safetensors")
    assert_acts_alike(model, Policy.load(tmp_path / "policy.safetensors"))


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("visible", [None, [0, 2], [2, 0]])
@pytest.mark.parametrize(
    ("kind", "actions", "squash"),
    [("simple", "box", "clip"), ("neural", "discrete", "tanh"), ("neural", "box", "tanh")],
)
def test_an_actor_made_of_a_policy_acts_and_is_saved_as_it(kind, actions, squash, visible, statistics) -> None:
    spaces_of = OBSERVATIONS["vector"], ACTIONS[actions]
    sizes = field_sizes(*spaces_of, visible)
    options = {"dynamics": "capacity_21", "tau_init": 3.0, "tau_min": 0.5} if kind == "simple" else {"kappa_init": 0.1}
    field = start_field(kind, *sizes, 5, **options)
    policy = Policy(field, *spaces_of, visible=visible, squash=squash)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in field.parameters():  # none at a start value that another policy could have too
            parameter += torch.from_numpy(rng.normal(scale=0.3, size=parameter.shape)).to(parameter)
    if statistics:
        mean, var = (torch.from_numpy(rng.uniform(0.2, 0.6, sizes[0])) for _ in range(2))
        policy.normalizer.update(torch.tensor(50.0, dtype=mean.dtype), mean, var)
    env = DummyVecEnv([lambda: Walk(*spaces_of) for _ in range(2)])
    model = FieldPPO("NeuralFieldPolicy", env, policy_kwargs=like(policy), **SMALL)
    take_over(model.policy, policy)
    assert_acts_alike(model, policy)
    again = model.policy_of()
    assert_acts_alike(model, again)
    if again.visible == policy.visible:  # an actor sees entries in ascending order
        for name, tensor in policy.state_dict().items():
            assert torch.equal(again.state_dict()[name], tensor), name
    count = model.learn(32).policy_of().normalizer.count
    assert count == (50 + 32 if statistics else 0), "what has no statistics gets none"


def test_images_are_neither_turned_nor_divided_unless_a_features_extractor_asks_for_it() -> None:
    env = DummyVecEnv([lambda: Walk(IMAGE, spaces.Discrete(2))] * 2)
    plain = FieldPPO("NeuralFieldPolicy", env, **SMALL)
    assert plain.observation_space == IMAGE
    assert not plain.policy.normalize_images
    cnn = FieldPPO("NeuralFieldPolicy", env, policy_kwargs={"features_extractor_class": NatureCNN}, **SMALL)
    assert isinstance(cnn.env, VecTransposeImage)
    assert cnn.policy.normalize_images
    action, _ = cnn.learn(32).predict(IMAGE.sample(), deterministic=True)
    assert action in (0, 1)


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"features_extractor_class": NatureCNN}, "holds no features extractor"),
        ({"features_extractor_class": FlattenExtractor}, "holds no features extractor"),
        ({"normalize_images": True}, "leave features_extractor_class and normalize_images out"),
    ],
)
def test_what_changes_observations_on_their_way_is_refused(kwargs, sentence) -> None:
    env = DummyVecEnv([lambda: Walk(IMAGE, spaces.Discrete(2))] * 2)
    with pytest.raises(ValueError, match=sentence):
        FieldPPO("NeuralFieldPolicy", env, policy_kwargs=kwargs, **SMALL).policy_of()


def test_policies_of_your_own_are_refused() -> None:
    class Own(NeuralFieldPolicy):
        def normalize(self, kept: Any) -> Any:
            return super().normalize(kept) * 2

    with pytest.raises(ValueError, match="Own changes normalize"):
        trained(OBSERVATIONS["vector"], ACTIONS["two"], Own).policy_of()
