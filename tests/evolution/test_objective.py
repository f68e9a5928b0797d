"""Objectives: by hand, with NaN, and named by a user; one currency for all comparisons; and when noise dominates."""

import numpy as np
import pytest

from nf_policies.evolution.objective import (
    KEPT,
    Incumbent,
    cvar,
    episodes_of,
    mean,
    noise_dominates,
    objective_of,
    worst,
)

RETURNS = np.array([[1.0, 2.0, 3.0, 10.0], [4.0, 4.0, 4.0, 4.0], [0.0, np.nan, 9.0, 9.0]])


def test_mean_worst_and_cvar_are_those_computed_by_hand() -> None:
    np.testing.assert_array_equal(mean(RETURNS), [4, 4, np.nan])
    np.testing.assert_array_equal(worst(RETURNS, 2), [1.5, 4, np.nan])
    np.testing.assert_array_equal(cvar(RETURNS, 0.75), [2, 4, np.nan])
    np.testing.assert_array_equal(cvar(RETURNS, 0.3), worst(RETURNS, 2))
    np.testing.assert_array_equal(cvar(RETURNS, 1.0), mean(RETURNS))


def test_a_name_gives_the_function_and_a_wrong_one_a_sentence() -> None:
    np.testing.assert_array_equal(objective_of("worst:2")(RETURNS), worst(RETURNS, 2))
    np.testing.assert_array_equal(objective_of("cvar:0.25")(RETURNS), worst(RETURNS, 1))
    for name in ("median", "worst", "worst:0", "cvar:2", "cvar:x", "mean:3"):
        with pytest.raises(ValueError, match="worst"):
            objective_of(name)


def test_noise_dominates_where_halves_of_the_episodes_rank_candidates_differently() -> None:
    rng = np.random.default_rng(0)
    skill, luck = np.arange(40.0)[:, None], rng.normal(size=(40, 8))
    assert not noise_dominates(skill + luck)
    verdicts = [noise_dominates(rng.normal(size=(40, 8))) for _ in range(50)]
    assert np.mean(verdicts) > 0.7
    assert not noise_dominates(np.ones((40, 8)))


@pytest.mark.parametrize("draw", [lambda rng: rng.normal(size=(40, 2)), lambda rng: rng.integers(2, size=(40, 2))])
def test_two_episodes_are_enough_to_notice_noise_even_where_many_returns_are_equal(draw) -> None:
    rng = np.random.default_rng(0)
    skill = np.arange(40.0)[:, None]
    assert not any(noise_dominates(skill + draw(rng)) for _ in range(50))
    assert np.mean([noise_dominates(draw(rng)) for _ in range(100)]) > 0.7


def test_what_is_kept_of_an_incumbent_does_not_grow_with_its_duels() -> None:
    incumbent = Incumbent(None, np.full(20, 100.0))  # a lucky start
    for _ in range(300):
        incumbent = incumbent.with_returns(np.tile([0.0, 2.0], 10))
    assert (len(incumbent.returns), incumbent.score) == (KEPT, 1.0)


def test_of_single_episodes_every_fifth_generation_has_two() -> None:
    assert [episodes_of(generation, 1, 16) for generation in range(10)] == [1, 1, 1, 1, 2] * 2
    assert [episodes_of(generation, 1, 1) for generation in range(5)] == [1] * 5, "where it may not have more"
    assert [episodes_of(generation, 4, 16) for generation in range(5)] == [4] * 5
