"""A search that looks ahead a few steps at first, and further where its candidates last so long."""

import numpy as np
import pytest
from small_evolution import assert_same, evolution_for, through_a_file, whole_and_continued

from nf_policies.evolution.stages import Horizon
from nf_policies.rollouts.play import FeatureSums, Played

WHOLE = 100


class Falling:
    """An evaluator whose candidates fall after so many steps, the first one at once; each step brings 1."""

    def __init__(self, falls_after: int, one_falls: bool = True) -> None:
        self.falls_after, self.one_falls, self.limits = falls_after, one_falls, []

    def __call__(self, policy, population, seeds, limit=None, stretch=None):
        shape = 1 if population is None else len(population), len(seeds)
        self.limits.append((population is not None, limit))
        lengths = np.full(shape, min(self.falls_after, limit or WHOLE))
        if population is not None and self.one_falls:
            lengths[0] = 1
        sums = FeatureSums.of_nothing(np.zeros(1), 1)
        return lengths.astype(float), Played(lengths.reshape(-1).astype(float), lengths.reshape(-1), sums, None)


def falling_after(steps: int, **options):
    evolution = evolution_for("test/Constant-v0", horizon=(10, WHOLE), pop_size=40, **options)
    evolution.evaluate = Falling(steps)
    return evolution


def test_the_horizon_grows_while_candidates_last() -> None:
    evolution = falling_after(30)
    horizons = [evolution.step().horizon for _ in range(8)]
    assert horizons == [13, 17, 22, 28, 35, 35, 35, 35], "by a quarter, up to the first one that is out of reach"
    assert not evolution.is_judged


def test_where_no_episode_ends_early_they_are_whole_from_the_second_generation_on() -> None:
    evolution = falling_after(WHOLE)
    evolution.evaluate = Falling(WHOLE, one_falls=False)
    assert [evolution.step().horizon for _ in range(2)] == [WHOLE, WHOLE]
    assert [limit for of_generation, limit in evolution.evaluate.limits if of_generation] == [10, None]


def test_generations_are_cut_and_the_best_policy_plays_whole_episodes() -> None:
    evolution = falling_after(WHOLE)
    while not evolution.is_judged:
        evolution.step()
    assert {limit for of_generation, limit in evolution.evaluate.limits if not of_generation} == {None}
    assert evolution.incumbent.score == WHOLE
    evolution.step()
    assert evolution.evaluate.limits[-1] == (True, None), "and in the end all do"


def test_a_search_at_rest_sees_whole_episodes_before_a_larger_one_begins() -> None:
    evolution = falling_after(5, grow=lambda stage: evolution_for("test/Constant-v0", neurons=1 + stage).policy)
    seen = []
    while evolution.stage == 0:
        seen.append(evolution.step().horizon)
    assert seen.index(WHOLE) >= 20
    assert seen[-2] == WHOLE, "the stage ends at rest on whole episodes"
    assert evolution.horizon.steps == 10, "and the next one begins with short ones"


def test_an_evolution_with_a_short_horizon_continues_byte_for_byte() -> None:
    def make():
        return evolution_for("test/Recall-v0", horizon=(2, 5), seed=3)

    assert_same(*whole_and_continued(make, 2, 7))


@pytest.mark.parametrize("damage", [{"steps": 2 * WHOLE}, {"steps": 0}, {"stretch": 2 * WHOLE}, {"stretch": -1}])
def test_a_horizon_beyond_the_episodes_is_refused(damage) -> None:
    evolution = falling_after(5)
    evolution.step()
    numbers, tensors = through_a_file(evolution.state())
    with pytest.raises(ValueError, match="its horizon is not of these episodes"):
        falling_after(5).load(({**numbers, "horizon": {**numbers["horizon"], **damage}}, tensors))


def test_half_of_the_episodes_of_the_median_candidate_decide() -> None:
    horizon = Horizon(10, WHOLE, steps=10)
    lasting, half, falling = [10, 10, 10, 10], [10, 3, 10, 3], [10, 3, 3, 3]
    assert horizon.is_reached(np.array([lasting, half, falling]))
    assert not horizon.is_reached(np.array([lasting, falling, falling]))
