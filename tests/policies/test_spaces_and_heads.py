"""Every supported space works through `act`, and every other one is refused by name."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from nf_policies import NeuralField, Policy, SimpleNeuralField, UnsupportedSpaceError, field_sizes
from nf_policies.policies.spaces import make_head

OBSERVATIONS = [
    spaces.Box(-1, 1, (4,)),
    spaces.Box(-np.inf, np.inf, (2, 3), np.float64),
    spaces.Box(0, 255, (3, 3), np.uint8),
    spaces.Discrete(5, start=1),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiBinary(4),
]
ACTIONS = [
    spaces.Discrete(2),
    spaces.Discrete(1),
    spaces.Discrete(3, start=-1),
    spaces.MultiDiscrete([3, 4]),
    spaces.MultiDiscrete(np.array([[2, 2], [3, 2]])),
    spaces.MultiBinary(3),
    spaces.Box(-1, 1, (2, 2), np.float64),
    spaces.Box(np.array([-1, 0], np.float32), np.array([2, 5], np.float32)),
]


def policy_for(observation_space: gym.Space, action_space: gym.Space, **options) -> Policy:
    sizes = field_sizes(observation_space, action_space, options.get("visible"))
    field = SimpleNeuralField(*sizes, activation="tanh", generator=torch.Generator().manual_seed(0))
    return Policy(field, observation_space, action_space, **options)


@pytest.mark.parametrize("observation_space", OBSERVATIONS, ids=str)
@pytest.mark.parametrize("action_space", ACTIONS, ids=str)
def test_actions_lie_in_the_action_space(observation_space, action_space) -> None:
    policy = policy_for(observation_space, action_space)
    observation_space.seed(0)
    for start in (True, False, False):
        assert action_space.contains(policy.act(observation_space.sample(), start))
    batch = np.stack([observation_space.sample() for _ in range(3)])
    for action in policy.act(batch, episode_start=True):
        assert action_space.contains(action)


@pytest.mark.parametrize(
    "space",
    [spaces.Dict({"a": spaces.Discrete(2)}), spaces.Tuple([spaces.Discrete(2)]), spaces.Text(5)],
    ids=lambda s: type(s).__name__,
)
def test_other_spaces_are_refused_by_name(space) -> None:
    with pytest.raises(UnsupportedSpaceError, match=type(space).__name__):
        field_sizes(space, spaces.Discrete(2))
    with pytest.raises(UnsupportedSpaceError, match=type(space).__name__):
        field_sizes(spaces.Box(-1, 1), space)


def test_unbounded_and_integer_actions_are_refused_with_what_would_work() -> None:
    with pytest.raises(UnsupportedSpaceError, match="Unbounded Box actions"):
        make_head(spaces.Box(-np.inf, 1, (1,)))
    with pytest.raises(UnsupportedSpaceError, match="MultiDiscrete"):
        make_head(spaces.Box(0, 9, (1,), np.int64))


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
