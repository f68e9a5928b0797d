"""Every supported space works through `act`, and every other one is refused by name."""

import copy
import time

import gymnasium as gym
import numpy as np
import pytest
import torch
from every_space import ACTIONS, OBSERVATIONS, batch_of
from gymnasium import spaces

from nf_policies import NeuralField, Policy, SimpleNeuralField, UnsupportedSpaceError, field_sizes
from nf_policies.policies.kinds import make_head
from nf_policies.policies.spaces import ObservationEncoder, each, first_logit_zero


def policy_for(observation_space: gym.Space, action_space: gym.Space, **options) -> Policy:
    sizes = field_sizes(observation_space, action_space, options.get("visible"))
    field = SimpleNeuralField(*sizes, activation="tanh", generator=torch.Generator().manual_seed(0))
    return Policy(field, observation_space, action_space, **options)


def act_in_turn(policy: Policy) -> None:
    """Single observations and batches of them lead to actions in the space."""
    seen, acts_in = policy.observation_space, policy.action_space
    seen.seed(0)
    for start in (True, False, False):
        assert acts_in.contains(policy.act(seen.sample(), start))
    for action in policy.act(batch_of(seen, 3), episode_start=True):
        assert acts_in.contains(np.asarray(action))


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_a_policy_sees_every_observation_space(name) -> None:
    act_in_turn(policy_for(OBSERVATIONS[name], spaces.Box(-1, 1, (2,))))


@pytest.mark.parametrize("name", ACTIONS)
def test_actions_lie_in_every_action_space(name) -> None:
    for seen in ("vector", "nested"):
        act_in_turn(policy_for(OBSERVATIONS[seen], ACTIONS[name]))


@pytest.mark.parametrize("space", [spaces.Text(5), spaces.Sequence(spaces.Discrete(2))], ids=lambda s: type(s).__name__)
def test_other_spaces_are_refused_by_name(space) -> None:
    name = type(space).__name__
    with pytest.raises(UnsupportedSpaceError, match=f"{name} observations.*ObservationWrapper of your own"):
        field_sizes(space, spaces.Discrete(2))
    with pytest.raises(UnsupportedSpaceError, match=name):
        field_sizes(spaces.Box(-1, 1), space)


def test_nested_actions_are_refused_by_name() -> None:
    for space in (spaces.Dict({"a": spaces.Discrete(2)}), spaces.Tuple([spaces.Discrete(2)])):
        with pytest.raises(UnsupportedSpaceError, match=f"{type(space).__name__} actions"):
            make_head(space)


class Unbounded(gym.Env):
    """Acts in all numbers."""

    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Box(-np.inf, np.inf, (1,))


def test_unbounded_actions_are_refused_with_what_would_work() -> None:
    with pytest.raises(UnsupportedSpaceError, match=r"Unbounded Box actions.*TransformAction"):
        make_head(Unbounded.action_space)
    followed = gym.wrappers.TransformAction(Unbounded(), lambda action: action, spaces.Box(-3, 3, (1,)))
    assert make_head(followed.action_space).output_size == 1


def test_whole_numbers_get_equal_parts_of_the_outputs() -> None:
    head = make_head(spaces.Box(0, 3, (1,), np.int64), "clip")
    outputs = torch.linspace(-1, 1, 4001)[:, None]
    chosen, counts = head(outputs).unique(return_counts=True)
    assert chosen.tolist() == [0, 1, 2, 3]
    assert counts.max() - counts.min() <= 2
    with pytest.raises(UnsupportedSpaceError, match="beyond or between"):
        make_head(spaces.Box(0, 2**40, (1,), np.int64))


def test_box_head_squashes_zero_to_the_middle_and_large_outputs_to_the_bounds() -> None:
    head = make_head(spaces.Box(np.array([-1.0, 0.0]), np.array([2.0, 5.0]), dtype=np.float64))
    actions = head(torch.tensor([[0.0, 0.0], [50.0, -50.0]], dtype=torch.float64))
    np.testing.assert_allclose(actions, [[0.5, 2.5], [2.0, 0.0]])


def test_discrete_head_weighs_n_minus_1_logits_against_zero() -> None:
    head = make_head(spaces.Discrete(3, start=5))
    assert head.output_size == 2
    assert head(torch.tensor([[-1.0, -2.0], [1.0, 2.0], [1.0, -2.0]])).tolist() == [5, 7, 6]


def test_observations_can_be_left_out_and_are_then_never_read() -> None:
    space = spaces.Box(-np.inf, np.inf, (4,))
    policy = policy_for(space, spaces.Box(-1, 1, (1,)), visible=[0, 2])
    a = policy.act(np.array([1, np.nan, 2, np.inf], np.float32), True)
    b = policy.act(np.array([1, 7, 2, 9], np.float32), True)
    np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"different indices of the 4"):
        policy_for(space, spaces.Discrete(2), visible=[0, 4])


def test_one_hot_features_start_at_the_spaces_start() -> None:
    space = spaces.Discrete(3, start=4)
    encode = policy_for(space, spaces.Discrete(2)).encode
    np.testing.assert_array_equal(encode(np.array([4, 6])), [[1, 0, 0], [0, 0, 1]])


def test_a_field_of_the_wrong_size_is_refused_with_the_right_sizes() -> None:
    with pytest.raises(ValueError, match="input_size=4 and output_size=1"):
        Policy(NeuralField(3, 5, 1), spaces.Box(-1, 1, (4,)), spaces.Discrete(2))


@pytest.mark.parametrize("visible", [None, [1, 0]], ids=["all", "two"])
@pytest.mark.parametrize("name", OBSERVATIONS)
def test_tensors_are_encoded_as_arrays_are(name, visible) -> None:
    space = OBSERVATIONS[name]
    encode = ObservationEncoder(space, None if name == "scalar" else visible)
    obs = batch_of(space, 7)
    for encoder in (encode, copy.deepcopy(encode)):
        features, same = encoder(obs), encoder.of_tensors(each(torch.as_tensor, obs))
        assert same.numpy().dtype == features.dtype
        np.testing.assert_array_equal(same, features)


def test_integers_become_one_hot_features_side_by_side() -> None:
    space = spaces.MultiDiscrete(np.array([[2, 3], [1, 2]]), start=np.array([[0, -1], [5, 2]]))
    obs = np.array([[[1, 1], [5, 2]]])
    np.testing.assert_array_equal(ObservationEncoder(space)(obs), [[0, 1, 0, 0, 1, 1, 1, 0]])


@pytest.mark.parametrize("wrong", [3, 7, 8])
def test_an_integer_outside_its_space_is_refused(wrong) -> None:
    encode = ObservationEncoder(spaces.Discrete(3, start=4))
    with pytest.raises(ValueError, match="outside Discrete"):
        encode(np.array([4, wrong]))
    with pytest.raises(ValueError, match="outside Discrete"):
        encode.of_tensors(torch.tensor([4, wrong]))


def test_a_large_discrete_space_is_encoded_without_its_square() -> None:
    encode = ObservationEncoder(spaces.Discrete(200_000))
    began = time.perf_counter()
    (features,) = encode(np.array([3]))
    assert time.perf_counter() - began < 0.5
    assert features.sum() == features[3] == 1


def saturated(space: spaces.Box, sign: float, **options) -> np.ndarray:
    """The action of outputs far beyond what the squash maps into the bounds."""
    policy = policy_for(spaces.Box(-1, 1, (1,)), space, **options)
    with torch.no_grad():
        policy.field.get_parameter("resting_level").fill_(20.0 * sign)
        policy.field.output_embedding.weight.fill_(1e6)
    for _ in range(9):
        action = policy.act(np.ones(1, np.float32))
    return action


@pytest.mark.parametrize("squash", ["tanh", "clip"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bound", [0.1, 0.3, 1 / 3, 2.7, 1e-3, 12345.678])
def test_actions_at_the_bounds_are_in_the_space_to_the_last_bit(bound, dtype, squash) -> None:
    space = spaces.Box(-bound, bound / 3, (2,), dtype)
    for sign, limit in ((-1, space.low), (1, space.high)):
        action = saturated(space, sign, squash=squash)
        assert space.contains(action), action
        np.testing.assert_allclose(action, limit, rtol=1e-6)


def test_actions_in_the_widest_space_are_finite() -> None:
    space = spaces.Box(np.finfo(np.float32).min, np.finfo(np.float32).max, (1,), np.float32)
    head = make_head(space)
    actions = head(torch.tensor([[0.0], [-50.0], [50.0]])).numpy()
    np.testing.assert_array_equal(actions[:, 0], [0, space.low[0], space.high[0]])


@pytest.mark.parametrize("bounds", [(-1e300, 1e300), (0.1, 0.1)])
def test_bounds_that_float32_cannot_tell_are_refused(bounds) -> None:
    with pytest.raises(UnsupportedSpaceError, match=r"beyond or between the numbers of torch\.float32"):
        make_head(spaces.Box(*bounds, (1,), np.float64))


@pytest.mark.parametrize("name", ACTIONS)
def test_heads_take_outputs_in_columns_too(name) -> None:
    head = make_head(ACTIONS[name])
    outputs = torch.randn(50, head.output_size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(head.from_columns(outputs.unbind(-1)), head(outputs))


def test_the_first_logit_of_each_choice_is_zero() -> None:
    outputs = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    logits = torch.tensor([[0.0, 1.0, 2.0, 0.0, 0.0, 4.0]])
    assert torch.equal(first_logit_zero(outputs, [3, 1, 2]), logits)
    assert torch.equal(first_logit_zero(outputs.T, [3, 1, 2], dim=0), logits.T)


def test_the_parts_of_dict_and_tuple_observations_lie_side_by_side_in_the_order_of_the_space() -> None:
    encode = ObservationEncoder(OBSERVATIONS["dict"])
    obs = {"gear": np.array([3, 1]), "speed": np.float32([[0.5, -2], [7, 8]])}
    np.testing.assert_array_equal(encode(obs), [[0.5, -2, 0, 0, 1], [7, 8, 1, 0, 0]])
    encode = ObservationEncoder(OBSERVATIONS["tuple"], visible=[2, 0])
    np.testing.assert_array_equal(encode((np.array([0.25]), np.int8([[0, 1]]))), [[1, 0.25]])


def test_parts_of_an_observation_must_agree_on_the_batch_axis() -> None:
    policy = policy_for(OBSERVATIONS["dict"], spaces.Discrete(2))
    with pytest.raises(ValueError, match="some have none"):
        policy.act({"speed": np.zeros((1, 2), np.float32), "gear": 1})
    with pytest.raises(ValueError, match=r"An observation 'speed' of this policy has shape \(2,\)"):
        policy.act({"speed": np.zeros(3, np.float32), "gear": 1})


class Grid(gym.Env):
    """As minigrid: an image, and a mission in words."""

    observation_space = spaces.Dict({"image": spaces.Box(0, 255, (3, 3), np.uint8), "mission": spaces.Text(9)})
    action_space = spaces.Discrete(2)


def test_words_among_observations_are_refused_with_what_would_work() -> None:
    with pytest.raises(UnsupportedSpaceError, match=r"Text.*FilterObservation shows a Dict without 'mission'"):
        field_sizes(Grid.observation_space, spaces.Discrete(2))
    followed = gym.wrappers.FilterObservation(Grid(), ["image"])
    assert field_sizes(followed.observation_space, followed.action_space) == (9, 1)


def test_the_pixels_of_an_image_share_their_statistics_and_a_vectors_entries_do_not() -> None:
    image, vector = spaces.Box(0, 255, (2, 2), np.uint8), spaces.Box(0, 255, (4,), np.uint8)
    both = policy_for(spaces.Tuple([image, vector]), spaces.Discrete(2), visible=[0, 1, 2, 4, 5])
    features = torch.tensor([[0.0, 10, 200, 30, 30], [0.0, 20, 100, 50, 30]], dtype=torch.float64)
    pixels = features[:, :3]
    for rows in features.split(1):  # merged one by one
        both.normalizer.update(1, rows.mean(0), rows.var(0, correction=0))
    mean, var = both.normalizer.mean, both.normalizer.var
    np.testing.assert_allclose(mean, [*[pixels.mean()] * 3, 40, 30])
    np.testing.assert_allclose(var, [*[pixels.var(correction=0)] * 3, 100, 0], rtol=1e-6)
