"""A policy's memory, its normaliser, and its episodes side by side."""

import copy
import pickle

import numpy as np
import pytest
import torch
from gymnasium import spaces

from nf_policies import NeuralField, ParameterVector, Policy, SimpleNeuralField
from nf_policies.policies.cells import GRU, LSTM, Memoryless
from nf_policies.policies.kinds import make_head
from nf_policies.policies.policy import Memory, Normalizer, step

OBS, ACT = spaces.Box(-np.inf, np.inf, (3,)), spaces.Box(-1, 1, (2,))


@pytest.fixture(params=["neural", "simple"])
def policy(request) -> Policy:
    generator = torch.Generator().manual_seed(1)
    if request.param == "neural":
        return Policy(NeuralField(3, 7, 2, activation="tanh", generator=generator), OBS, ACT)
    return Policy(SimpleNeuralField(3, 2, 4, activation="tanh", generator=generator), OBS, ACT)


def observations(time: int, batch: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(time, batch, 3)).astype(np.float32)


def test_act_keeps_the_memory_that_a_sequence_has(policy) -> None:
    obs = observations(12, 4)
    starts = np.random.default_rng(1).random((12, 4)) < 0.3
    starts[0] = True
    outputs, _ = policy(torch.as_tensor(obs), episode_starts=torch.as_tensor(starts))
    acted = [policy.act(o, s) for o, s in zip(obs, starts, strict=True)]
    np.testing.assert_allclose(np.stack(acted), policy.head(outputs).detach(), atol=1e-6)


def test_memory_is_on_the_same_observation_gets_another_action_after_another_history(policy) -> None:
    obs = observations(3, 1)[:, 0]
    policy.act(obs[0], True)
    after_first = policy.act(obs[2])
    policy.act(obs[1], True)
    assert not np.allclose(after_first, policy.act(obs[2]))


def test_the_first_action_after_a_reset_in_a_rollout_is_that_of_a_fresh_policy(policy) -> None:
    obs = observations(5, 1)[:, 0]
    for o in obs[:4]:
        policy.act(o)
    np.testing.assert_array_equal(policy.act(obs[4], True), copy.deepcopy(policy).act(obs[4], True))


def test_copies_and_pickles_go_on_in_the_middle_of_an_episode(policy) -> None:
    obs = observations(5, 1)[:, 0]
    for o in obs[:3]:
        policy.act(o)
    copied, pickled = copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))
    for o in obs[3:]:
        action = policy.act(o)
        np.testing.assert_array_equal(copied.act(o), action)
        np.testing.assert_array_equal(pickled.act(o), action)


def test_a_policy_of_your_own_takes_its_own_step(policy) -> None:
    class Still(Policy):
        def step(self, features, potentials, episode_starts, coefficients):
            actions, trace = super().step(features, potentials, episode_starts, coefficients)
            return torch.zeros_like(actions), trace

    still = Still(policy.field, OBS, ACT)
    obs = observations(1, 1)[0, 0]
    assert policy.act(obs).any()
    assert not still.act(obs).any()


class Doubled(SimpleNeuralField):
    """Steps otherwise than it traces."""

    def step(self, inputs, potentials, coefficients=None):
        outputs, after = super().step(inputs, potentials, coefficients)
        return 2 * outputs, after


class DoubledGRU(GRU):
    """Likewise."""

    step = Doubled.step


class Shifted(SimpleNeuralField):
    """Changes the formula where everything goes through it."""

    def trace(self, inputs, potentials, coefficients=None):
        return super().trace(inputs + 1, potentials, coefficients)


def test_a_field_that_overrides_step_and_not_trace_is_refused() -> None:
    set_on_one = SimpleNeuralField(3, 2)
    set_on_one.step = set_on_one.step
    for field in (Doubled(3, 2), DoubledGRU(3, 4, 2), type("Grandchild", (Doubled,), {})(3, 2), set_on_one):
        with pytest.raises(ValueError, match=rf"This {type(field).__name__} overrides step.*: override trace\.$"):
            Policy(field, OBS, ACT)


def test_a_field_that_overrides_trace_acts_by_it_however_it_is_played() -> None:
    policy = Policy(Shifted(3, 2, generator=torch.Generator().manual_seed(0)), OBS, ACT)
    (obs,) = observations(1, 4)
    outcome, _ = policy.step(
        torch.as_tensor(obs), policy.field.start(4), torch.ones(4, dtype=bool), policy.coefficients()
    )
    np.testing.assert_allclose(policy.act(obs), outcome.detach(), atol=1e-6)
    plain = Policy(SimpleNeuralField(3, 2, generator=torch.Generator().manual_seed(0)), OBS, ACT)
    assert (policy.act(obs, True) != plain.act(obs)).all()


def test_changed_parameters_and_statistics_act_from_the_next_episode_on(policy) -> None:
    (obs,) = observations(1, 1)[0]
    before = policy.act(obs, True)
    with torch.no_grad():
        policy.field.output_embedding.weight.neg_()
        policy.normalizer.update(10, torch.full((3,), 2.0), torch.ones(3))
    policy.act(obs)  # with the old ones
    after = policy.act(obs, True)
    assert (before != after).all()
    np.testing.assert_array_equal(after, copy.deepcopy(policy).act(obs, True))


def test_a_batch_that_changes_size_in_mid_episode_is_refused(policy) -> None:
    policy.act(observations(1, 4)[0], True)
    with pytest.raises(ValueError, match="4 environments, the observations of 3"):
        policy.act(observations(1, 3)[0])
    policy.act(observations(1, 3)[0], True)


def test_an_observation_of_another_shape_or_not_finite_is_refused(policy) -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        policy.act(np.zeros(2))
    with pytest.raises(ValueError, match="Entry 1 of an observation is nan"):
        policy.act(np.array([0, np.nan, 0]))


def test_an_episode_gives_the_same_bits_alone_and_in_company(policy) -> None:
    obs = torch.as_tensor(observations(1, 64)[0])
    vector = ParameterVector.of(policy.field)
    parameters = vector.start + torch.randn(64, len(vector), generator=torch.Generator().manual_seed(2))
    potentials = torch.randn(64, policy.field.hidden_size, generator=torch.Generator().manual_seed(3))
    starts = torch.arange(64) % 5 == 0
    with torch.no_grad():
        together, _ = policy.step(obs, potentials, starts, policy.coefficients(parameters))
        for i in (0, 5, 33, 63):
            one = slice(i, i + 1)
            alone, _ = policy.step(obs[one], potentials[one], starts[one], policy.coefficients(parameters[one]))
            assert torch.equal(together[one], alone)


def test_normaliser_has_the_statistics_of_all_features_however_they_were_batched() -> None:
    features = np.random.default_rng(0).normal(5, 3, size=(100, 2))
    normalizer = Normalizer(2).double()
    assert torch.equal(normalizer(torch.ones(1, 2).double()), torch.ones(1, 2).double()), "the identity at first"
    for batch in (features[:7], features[7:60], features[60:]):
        normalizer.update(len(batch), torch.as_tensor(batch.mean(0)), torch.as_tensor(batch.var(0)))
    np.testing.assert_allclose(normalizer.mean, features.mean(0), rtol=1e-12)
    np.testing.assert_allclose(normalizer.var, features.var(0), rtol=1e-12)
    normalised = normalizer(torch.as_tensor(features))
    np.testing.assert_allclose(normalised.std(0, correction=0), 1, rtol=1e-6)


def test_acting_never_changes_the_normaliser(policy) -> None:
    policy.normalizer.update(10, torch.ones(3), torch.ones(3))
    before = copy.deepcopy(policy.normalizer.state_dict())
    for o in observations(20, 4):
        policy.act(o)
    for name, value in policy.normalizer.state_dict().items():
        assert torch.equal(value, before[name])


def test_float64_policies_act_in_float64(policy) -> None:
    policy = policy.double()
    assert policy.act(np.zeros(3), True).dtype == np.float32, "in the action space's type"
    assert policy(torch.zeros(1, 1, 3).double())[0].dtype == torch.float64


def test_a_frozen_policy_steps_as_a_learnable_one(policy) -> None:
    obs, starts = torch.as_tensor(observations(1, 4)[0]), torch.ones(4, dtype=torch.bool)
    potentials = policy.field.start(4)
    actions, _ = policy.step(obs, potentials, starts, policy.coefficients())
    frozen = copy.deepcopy(policy).requires_grad_(False)
    assert torch.equal(frozen.step(obs, potentials, starts, frozen.coefficients())[0], actions)
    np.testing.assert_array_equal(frozen.act(obs.numpy()), policy.act(obs.numpy()))


def test_a_field_that_is_batch_first_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_first=False"):
        Policy(NeuralField(3, 5, 2, batch_first=True), OBS, ACT)


def test_the_memory_follows_to_another_dtype_in_mid_episode(policy) -> None:
    obs = observations(6, 2)
    for o in obs[:3]:
        policy.act(o)
    exact = copy.deepcopy(policy).double()
    single = [policy.act(o, [True, False]) for o in obs[3:]]
    double = [exact.act(o, [True, False]) for o in obs[3:]]
    np.testing.assert_allclose(single, double, atol=1e-6)
    assert exact.normalizer.mean.dtype == torch.float64
    policy.double()  # in place, and at once
    np.testing.assert_array_equal(policy.act(obs[0]).dtype, np.float32)


@pytest.mark.gpu
def test_the_memory_follows_to_another_device_in_mid_episode(policy) -> None:
    obs = observations(6, 2)
    for o in obs[:3]:
        policy.act(o)
    moved = copy.deepcopy(policy).to("cuda")
    for o in obs[3:]:
        np.testing.assert_allclose(moved.act(o, [True, False]), policy.act(o, [True, False]), atol=1e-5)
    back = moved.cpu()
    np.testing.assert_allclose(back.act(obs[0]), policy.act(obs[0]), atol=1e-5)


FIELDS = [
    NeuralField(2, 5, 3, activation="relu"),
    NeuralField(2, 5, 3, activation="tanh"),
    SimpleNeuralField(2, 3),
    GRU(2, 5, 3),
    LSTM(2, 5, 3),
    Memoryless(2, 5, 3),
]


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("entries", [None, [2, 0]])
@pytest.mark.parametrize("field", FIELDS, ids=lambda field: type(field).__name__)
def test_a_memory_takes_the_steps_of_the_pure_function(field, entries, normalised) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(9, 4, 2 if entries is None else 3, generator=generator)
    starts = torch.rand(9, 4, generator=generator) < 0.3
    normalizer = Normalizer(features.shape[-1])
    if normalised:
        normalizer.update(5, features.mean((0, 1)), features.var((0, 1)))
    chosen = None if entries is None else torch.tensor(entries)
    memory = Memory(field, normalizer, field.start(4), chosen)
    potentials, coefficients = field.start(4), field.coefficients()
    with torch.no_grad():
        for x, s in zip(features, starts, strict=True):
            inputs = normalizer(x) if chosen is None else normalizer(x)[:, chosen]
            trace = step(field, torch.nn.Identity(), inputs, potentials, s, coefficients)
            potentials = trace.potentials
            torch.testing.assert_close(memory.step(x, s), trace.outputs, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(memory.potentials, potentials, rtol=1e-5, atol=1e-6)


def test_a_task_of_other_spaces_is_refused_and_one_of_another_dtype_is_not(policy) -> None:
    policy.check_task(spaces.Box(-np.inf, np.inf, (3,), np.float64), spaces.Box(-1, 1, (2,), np.float64))
    for other in (spaces.Box(-np.inf, np.inf, (2,)), spaces.Box(-1, 1, (3,)), spaces.MultiBinary(3)):
        with pytest.raises(ValueError, match=r"The policy sees .* but the task shows"):
            policy.check_task(other, ACT)
    for other in (spaces.Box(-2, 1, (2,)), spaces.Discrete(2), spaces.Dict()):
        with pytest.raises(ValueError, match=r"The policy acts in .* but the task takes"):
            policy.check_task(OBS, other)


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (spaces.Discrete(3), spaces.Discrete(2)),
        (spaces.Discrete(3), spaces.Discrete(3, start=1)),
        (spaces.MultiDiscrete([3, 2]), spaces.MultiDiscrete([2, 3])),
        (spaces.MultiDiscrete([3, 2]), spaces.MultiDiscrete([3, 2], start=[0, 1])),
        (spaces.MultiBinary(4), spaces.MultiBinary((2, 2))),
        (spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1.001, (2,))),
    ],
    ids=str,
)
def test_spaces_of_one_kind_differ_by_their_values(own, other) -> None:
    policy = Policy(NeuralField(3, 5, make_head(own).output_size), OBS, own)
    policy.check_task(OBS, copy.deepcopy(own))
    with pytest.raises(ValueError, match="acts in"):
        policy.check_task(OBS, other)
