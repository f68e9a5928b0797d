"""Where standing still pays and falling costs every further reward, the next search is for more reward per step."""

import numpy as np
from small_evolution import assert_same, evolution_for, whole_and_continued

from nf_policies.evolution.stages import Plateau, rate_of
from nf_policies.rollouts.play import FeatureSums, Played

WHOLE, FALLS_AFTER = 100, 20


class Walking:
    """An evaluator whose candidates get about 1 per step for standing, and more for moving, but then they fall.

    How fast a candidate moves, at most 3, is the distance of its first parameter from `still`.
    """

    def __init__(self, still: float) -> None:
        self.still = still

    def __call__(self, policy, population, seeds, limit=None):
        first = np.full(1, self.still) if population is None else population[:, 0]
        speeds = np.minimum(np.abs(first - self.still), 3.0)
        lasting = np.minimum(np.where(speeds < 0.3, WHOLE, FALLS_AFTER), limit or WHOLE)
        lengths = lasting[:, None].repeat(len(seeds), 1)
        returns = lengths * (1.0 + np.where(speeds < 0.3, 0.01 * speeds, speeds))[:, None]
        played = returns.reshape(-1), lengths.reshape(-1), FeatureSums.of_nothing(np.zeros(1), 1), None
        return returns, Played(*played)


def walking():
    evolution = evolution_for(
        "test/Constant-v0", grow=lambda stage: evolution_for("test/Constant-v0", neurons=1 + stage).policy
    )
    evolution.evaluate = Walking(float(evolution.vector.start[0]))
    return evolution


def test_the_rate_of_a_search_at_rest_is_that_of_its_median_candidate() -> None:
    lengths = np.array([[100, 100], [100, 100], [100, 100], [10, 30]])
    assert rate_of(2.0 * lengths + [[0], [0], [0], [5]], lengths) == 2.0


def test_there_is_no_such_rate_where_whole_returns_say_more() -> None:
    lengths = np.array([[100, 100], [100, 100], [100, 100], [10, 30]])
    faster = np.array([[0], [0], [0], [5]])
    assert rate_of(2.0 * lengths, lengths) == 0, "every step brings the same, as on CartPole"
    assert rate_of(-1.0 * lengths + faster, lengths) == 0, "an early end is a gain"
    assert rate_of(2.0 * lengths[::-1] + faster, lengths[[3, 3, 3, 0]]) == 0, "most candidates fall"
    assert rate_of(np.full((4, 2), np.nan), lengths) == 0


def test_a_search_is_flat_when_half_as_many_steps_again_brought_no_steep_rise() -> None:
    plateau = Plateau(patience=100)
    for generation, median in enumerate([0, 100, 200, 300, 400], 1):
        plateau.reached(median, 1000 * generation)
    at_most = plateau.level
    flat = []
    for generation in range(6, 12):
        plateau.reached(at_most, 1000 * generation)
        flat.append(plateau.is_flat)
    assert flat == [False, False, False, False, True, True], "5 generations, and 1.5 times the steps"
    plateau.reached(1000, 12_000)
    assert not plateau.is_flat, "a steep rise"
    assert not plateau.reached(1000, 13_000), "and that is not yet a search at rest"


def test_a_search_that_stands_still_is_followed_by_one_for_speed_and_then_by_a_larger_one() -> None:
    evolution = walking()
    rows = [evolution.step()]
    while evolution.stage == 0:
        rows.append(evolution.step())
    rates = [row.rate for row in rows]
    first = next(number for number, rate in enumerate(rates) if rate)
    assert WHOLE <= rows[first].return_median < 1.01 * WHOLE, "it stands"
    assert 1 <= rates[first] < 1.01, "what standing brings per step"
    assert set(rates[first:-1]) == {rates[first]}
    assert ", for more than 1 per step" in rows[first].line(is_short=False)
    assert rows[-1].return_median == FALLS_AFTER * (1 + 3), "as fast as can be, for as long as it lasts"
    assert rates[-1] == 0, "a larger search compares returns again"
    assert WHOLE <= evolution.incumbent.score < 1.01 * WHOLE, "the best policy is the one with the highest return"


def test_a_search_for_speed_continues_byte_for_byte() -> None:
    evolution = walking()
    generations = 0
    while not evolution.rate:
        evolution.step()
        generations += 1
    assert_same(*whole_and_continued(walking, generations + 2, 3))
