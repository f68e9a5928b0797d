"""Advantages against sums done by hand."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer

from nf_policies.ppo.buffer import gae


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def flags(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.bool)[:, None]


def test_advantages_of_three_steps_equal_the_sum_written_out() -> None:
    # deltas: 1 + .5*4 - 2 = 1, 0 + .5*6 - 4 = -1, 2 + .5*8 - 6 = 0; discount times lambda = .25
    advantages = gae(column(1, 0, 2), column(2, 4, 6), column(4, 6, 8), flags(0, 0, 0), flags(0, 0, 0), 0.5, 0.5)
    torch.testing.assert_close(advantages, column(1 - 0.25, -1.0, 0.0))


def test_a_termination_stops_bootstrap_and_sum() -> None:
    advantages = gae(column(1, 0, 2), column(2, 4, 6), column(4, 6, 8), flags(0, 1, 0), flags(0, 0, 0), 0.5, 0.5)
    torch.testing.assert_close(advantages, column(1 + 0.25 * -4, -4.0, 0.0))


def test_a_truncation_stops_the_sum_and_keeps_the_bootstrap() -> None:
    advantages = gae(column(1, 0, 2), column(2, 4, 6), column(4, 6, 8), flags(0, 0, 0), flags(0, 1, 0), 0.5, 1.0)
    torch.testing.assert_close(advantages, column(1 + 0.5 * -1, -1.0, 0.0))


def test_terminated_wins_where_both_are_set() -> None:
    both = gae(column(1), column(3), column(5), flags(1), flags(1), 0.9, 0.9)
    torch.testing.assert_close(both, column(-2.0))


def test_an_exact_critic_has_no_advantage_at_a_time_limit() -> None:
    ten = column(*[10] * 12)
    cut = flags(*[0] * 9, 1, 0, 0)
    advantages = gae(column(*[1] * 12), ten, ten, torch.zeros_like(cut), cut, 0.9, 0.95)
    torch.testing.assert_close(advantages, torch.zeros_like(ten), atol=1e-12, rtol=0)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.9, 1.0])
def test_advantages_equal_those_of_sb3_where_episodes_terminate(gae_lambda: float) -> None:
    rng = np.random.default_rng(0)
    time, num_envs = 20, 3
    rewards, values = rng.normal(size=(2, time, num_envs)).astype(np.float32)
    last_values = rng.normal(size=num_envs).astype(np.float32)
    dones = rng.random((time, num_envs)) < 0.2
    buffer = RolloutBuffer(time, spaces.Discrete(2), spaces.Discrete(2), "cpu", gae_lambda, 0.97, num_envs)
    starts = np.vstack((np.ones((1, num_envs)), dones[:-1]))
    for t in range(time):
        buffer.add(
            np.zeros(num_envs),
            np.zeros(num_envs),
            rewards[t],
            starts[t],
            torch.tensor(values[t]),
            torch.zeros(num_envs),
        )
    buffer.compute_returns_and_advantage(torch.tensor(last_values), dones[-1])
    ours = gae(
        torch.tensor(rewards),
        torch.tensor(values),
        torch.tensor(np.vstack((values[1:], last_values))),
        torch.tensor(dones),
        torch.zeros(time, num_envs, dtype=torch.bool),
        0.97,
        gae_lambda,
    )
    torch.testing.assert_close(ours, torch.tensor(buffer.advantages))
