"""Constants drawn for each episode: within bounds, with the right moments, told in info, fixed at a reset."""

import math

import gymnasium as gym
import pytest
import torch

from nf_envs.sensing import LogUniform, Normal, Uniform
from tests.envs.all_tasks import vector

U = torch.linspace(0, 1 - 2.0**-24, 200_001, dtype=torch.float64)


@pytest.mark.parametrize(
    ("distribution", "mean", "std"),
    [
        (Uniform(2.0, 5.0), 3.5, 3 / 12**0.5),
        (LogUniform(0.5, 2.0), 1.5 / math.log(4), (3.75 / (2 * math.log(4)) - (1.5 / math.log(4)) ** 2) ** 0.5),
        # Cut off at one deviation: variance 1 - 2 phi(1) / (2 Phi(1) - 1).
        (Normal(3.0, 0.5, 2.5, 3.5), 3.0, 0.5 * 0.2911252**0.5),
        (Normal(3.0, 0.5, -7.0, 13.0), 3.0, 0.5),
    ],
)
def test_distributions_have_their_moments_and_keep_their_bounds(distribution, mean, std):
    x = distribution.quantile(U)
    assert x.min() >= distribution.low
    assert x.max() <= distribution.high
    assert torch.isfinite(distribution.quantile(U.float())).all()
    assert (x.diff() >= 0).all()
    assert x.mean().item() == pytest.approx(mean, rel=1e-3)
    assert x.std().item() == pytest.approx(std, rel=2e-3)


def test_a_log_uniform_constant_is_as_often_doubled_as_halved():
    assert LogUniform(0.5, 2.0).quantile(torch.tensor(0.5)).item() == pytest.approx(1)


def test_each_episode_of_each_environment_draws_its_own_and_info_tells():
    env = vector(
        "nf/Pendulum-v1", 50, constants={"mass": Uniform(0.5, 2), "length": LogUniform(0.5, 2)}, max_episode_steps=3
    )
    _, info = env.reset(seed=0)
    drawn = info["constants"]
    assert set(drawn) == {"mass", "length"}
    assert len(drawn["mass"].unique()) == 50
    for _ in range(2):
        *_, info = env.step(torch.zeros(50, 1))
        torch.testing.assert_close(info["constants"], drawn)
    *_, info = env.step(torch.zeros(50, 1))
    torch.testing.assert_close(info["final_info"]["constants"], drawn)
    assert not (info["constants"]["mass"] == drawn["mass"]).any()


def test_the_drawn_constant_is_the_one_that_acts():
    env = vector("nf/Pendulum-v1", 8, constants={"mass": Uniform(0.5, 2)}, dtype=torch.float64)
    _, info = env.reset(seed=0, options={"state": (0.0, 0.0)})
    obs, *_ = env.step(torch.ones(8, 1))
    torch.testing.assert_close(obs[:, 2], (0.05 * 3 / info["constants"]["mass"]).float())


def test_reset_options_fix_a_random_constant_until_the_next_reset():
    env = vector("nf/Pendulum-v1", 4, constants={"mass": Uniform(0.5, 2)})
    _, info = env.reset(seed=0, options={"constants": {"mass": 1.5}})
    assert info["constants"]["mass"].tolist() == [1.5] * 4
    _, info = env.reset(options={"constants": {"mass": [1.0, 1.1, 1.2, 1.3]}})
    assert info["constants"]["mass"].tolist() == pytest.approx([1.0, 1.1, 1.2, 1.3])
    _, info = env.reset(options={"constants": {"mass": Uniform(7.0, 8.0)}})
    assert (info["constants"]["mass"] >= 7).all()
    _, info = env.reset()
    assert (info["constants"]["mass"] <= 2).all()


def test_one_environment_draws_and_tells_too():
    env = gym.make("nf/Pendulum-v1", constants={"mass": Uniform(0.5, 2)})
    masses = [env.reset(seed=0 if i == 0 else None)[1]["constants"]["mass"] for i in range(5)]
    assert len(set(masses)) == 5
    assert all(0.5 <= m <= 2 for m in masses)
    assert env.reset(seed=0)[1]["constants"]["mass"] == masses[0]
    assert env.reset(options={"constants": {"mass": 1.25}})[1]["constants"]["mass"] == 1.25
