"""The classic tasks are Gymnasium's, step by step, over whole episodes."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch

from nf_envs.base import with_constants
from tests.envs.gymnasium_parity import EDGES, TWINS, episode


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("seed", range(3))
def test_float64_equals_gymnasium_over_whole_episodes(twin, seed):
    assert episode(twin, TWINS[twin](), torch.float64, seed) < 1e-9


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("seed", range(3))
def test_float32_equals_every_step_of_whole_episodes(twin, seed):
    assert episode(twin, TWINS[twin](), torch.float32, seed, reload=True) < 1e-4


@pytest.mark.parametrize("twin", TWINS)
def test_float64_equals_gymnasium_at_every_limit_and_goal(twin):
    for seed, start in enumerate(EDGES[twin]):
        assert episode(twin, TWINS[twin](), torch.float64, seed, start) < 1e-9


CONSTANTS = [(twin, f.name) for twin, task in TWINS.items() for f in dataclasses.fields(task.constants)]


@pytest.mark.parametrize(("twin", "name"), CONSTANTS)
def test_one_per_cent_more_or_less_of_any_constant_is_noticed(twin, name):
    task = TWINS[twin]
    value = getattr(task.constants(), name)
    for factor in (0.99, 1.01):
        changed = value * factor if value else factor - 1
        mutant = task(with_constants(twin, task.constants(), {name: changed}))
        if name.endswith(("start", "start_low", "start_high")):
            rng = torch.full((task.draws.initial, 1), 0.0 if name != "start_high" else 1.0).unbind()
            assert max(abs(a - b).item() for a, b in zip(mutant.initial(rng), task().initial(rng), strict=True)) > 1e-4
            continue
        runs = (episode(twin, mutant, torch.float64, s, start) for s, start in enumerate(EDGES[twin]))
        assert any(error > 1e-9 for error in runs) or episode(twin, mutant, torch.float64, 0) > 1e-9


@pytest.mark.parametrize("twin", TWINS)
def test_the_same_seed_starts_gymnasiums_episode(twin):
    ours, theirs = gym.make(f"nf_envs:nf/{twin}"), gym.make(twin)
    for _ in range(3):
        mine, _ = ours.reset(seed=7)
        np.testing.assert_allclose(mine, theirs.reset(seed=7)[0], atol=1e-7)


@pytest.mark.parametrize("twin", TWINS)
def test_spaces_and_limits_are_gymnasiums(twin):
    ours, theirs = gym.make(f"nf_envs:nf/{twin}"), gym.make(twin)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.spec.max_episode_steps == theirs.spec.max_episode_steps
