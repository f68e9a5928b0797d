"""Log-probabilities are densities: they integrate to one, and match a histogram of what the task receives."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.distributions import Categorical, Normal

from nf_policies.ppo.distributions import (
    FastCategorical,
    SquashedGaussian,
    action_scaling,
    log_tanh_slope,
    make_distribution,
    parameters_layer,
    squashed_entropy,
)


def gaussian(mean: float, std: float) -> SquashedGaussian:
    return SquashedGaussian(1).proba_distribution(torch.full((1, 1), mean).double(), torch.tensor([std]).double().log())


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.7, 0.3), (-1.5, 0.8)])
def test_the_squashed_density_integrates_to_one_and_gives_the_entropy(mean, std) -> None:
    x = torch.linspace(mean - 9 * std, mean + 9 * std, 20_001, dtype=torch.float64)[:, None]
    squashed = x.tanh()[:, 0]
    distribution = gaussian(mean, std)
    log_density = distribution.log_prob(x)
    density = log_density.exp()
    torch.testing.assert_close(torch.trapezoid(density, squashed), torch.tensor(1.0).double(), atol=1e-4, rtol=0)
    entropy = -torch.trapezoid(density * log_density, squashed)
    torch.testing.assert_close(distribution.entropy()[0], entropy, atol=2e-3, rtol=0)


def test_the_log_slope_of_tanh_is_exact_where_tanh_is_one_in_float32() -> None:
    x = torch.tensor([-30.0, -1.0, 0.0, 2.0, 30.0])
    exact = torch.tensor(
        [2 * np.log(2) - 60, np.log(1 - np.tanh(1) ** 2), 0, np.log(1 - np.tanh(2) ** 2), 2 * np.log(2) - 60]
    )
    torch.testing.assert_close(log_tanh_slope(x), exact.float())


def test_a_choice_that_is_masked_out_is_never_drawn_and_does_not_disturb_the_others() -> None:
    distribution = FastCategorical(3).proba_distribution(torch.tensor([[0.0, -np.inf, 1.0]]).expand(500, 3))
    drawn = distribution.sample()
    assert set(drawn.tolist()) == {0, 2}
    expected = Categorical(logits=torch.tensor([0.0, -np.inf, 1.0])).log_prob(drawn)
    torch.testing.assert_close(distribution.log_prob(drawn), expected)
    assert set(distribution.mode().tolist()) == {2}


def test_a_choice_of_two_is_a_categorical_with_one_logit() -> None:
    logits = torch.tensor([-200.0, -1.5, 0.0, 0.3, 200.0], dtype=torch.float64)
    two = make_distribution(spaces.Discrete(2), "tanh", False, {}).proba_distribution(logits.unsqueeze(-1))
    exact = Categorical(logits=torch.stack((torch.zeros_like(logits), logits), dim=-1))
    for action in (torch.zeros(5), torch.ones(5)):
        torch.testing.assert_close(two.log_prob(action), exact.log_prob(action))
    torch.testing.assert_close(two.entropy(), exact.entropy())
    torch.testing.assert_close(two.distribution.probs, exact.probs)
    assert two.mode().tolist() == [0, 0, 0, 1, 1]
    torch.manual_seed(0)
    drawn = torch.stack([two.sample() for _ in range(4000)]).double()
    torch.testing.assert_close(drawn.mean(0), exact.probs[:, 1], atol=0.03, rtol=0)


def test_the_entropy_has_a_gradient_towards_the_middle() -> None:
    mean = torch.tensor([[1.0]], requires_grad=True)
    squashed_entropy(Normal(mean, torch.tensor([[0.5]]))).sum().backward()
    assert mean.grad is not None
    assert mean.grad.item() < 0


@pytest.mark.parametrize("squash", ["tanh", "clip"])
def test_the_task_receives_actions_in_an_asymmetric_box_with_the_density_that_is_stored(squash) -> None:
    space = spaces.Box(np.float32([-1]), np.float32([3]))
    torch.manual_seed(0)
    distribution = make_distribution(space, squash, False, {})
    distribution.proba_distribution(torch.full((400_000, 1), 0.3), torch.tensor([0.5]).log())
    samples = distribution.sample()
    actions = action_scaling(space, squash)(samples)
    assert actions.min() >= -1
    assert actions.max() <= 3
    # Density of the action by counting, in a bin inside the bounds; the box is four times [-1/2, 1/2].
    inside = ((actions > 1.4) & (actions < 1.6)).squeeze(-1)
    counted = inside.float().mean() / 0.2
    stored = distribution.log_prob(samples).exp()[inside].mean() / 2
    torch.testing.assert_close(counted, stored, rtol=0.02, atol=0)


def test_discrete_actions_count_from_the_spaces_start() -> None:
    assert action_scaling(spaces.Discrete(3, start=-1), "tanh")(torch.tensor([0, 2])).tolist() == [-1, 1]
    shifted = spaces.MultiDiscrete([2, 3], start=[5, 7])
    assert action_scaling(shifted, "tanh")(torch.tensor([[1, 2]])).tolist() == [[6, 9]]


def test_the_first_logit_of_each_choice_is_zero() -> None:
    logits = parameters_layer(4, spaces.MultiDiscrete([2, 1, 3]))(torch.randn(5, 4))
    assert logits.shape == (5, 6)
    assert (logits[:, [0, 2, 3]] == 0).all()
    assert (logits[:, [1, 4, 5]] != 0).all()


def test_the_entropy_of_choices_is_torchs_and_so_is_its_gradient() -> None:
    logits = (4 * torch.randn(50, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).requires_grad_()
    ours = make_distribution(spaces.Discrete(5), "tanh", False, {}).proba_distribution(logits).entropy()
    theirs = Categorical(logits=logits).entropy()
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(entropy.sum(), logits)[0] for entropy in (ours, theirs)]
    torch.testing.assert_close(*gradients)
