"""Where a policy earns well without ever doing what is asked, the next search is for the best stretch of an episode."""

import numpy as np
from small_evolution import assert_same, evolution_for, whole_and_continued

from nf_policies.evolution.stages import Horizon
from nf_policies.fields.parameters import ParameterVector
from nf_policies.rollouts.play import FeatureSums, Played

WHOLE = 100


class Balancing:
    """An evaluator of candidates that spin a pole, for 0.5 or so in each step, or balance it for a while.

    For how long, up to the whole episode, is how far a candidate's first parameter is from `spinning`. Balancing brings
    1 in each step, a pole that has fallen nothing: whoever balances for less than half of the time has less.
    """

    def __init__(self, spinning: float) -> None:
        self.spinning = spinning
        self.stretches = []

    def __call__(self, policy, population, seeds, limit=None, stretch=None):
        if played_alone := population is None:
            population = ParameterVector.of(policy.field).start[None].numpy()
        far = np.abs(population[:, 0] - self.spinning)
        balanced = np.where(far < 0.3, 0.0, np.minimum(WHOLE * far / 30, WHOLE))[:, None].repeat(len(seeds), 1)
        spins = balanced == 0
        returns = np.where(spins, WHOLE / 2 + far[:, None], balanced)
        lengths = np.full(returns.size, limit or WHOLE)
        if not played_alone:
            self.stretches.append(stretch)
        best = None if stretch is None else np.where(spins, 0.5, np.minimum(balanced / stretch, 1)).reshape(-1)
        return returns, Played(returns.reshape(-1), lengths, FeatureSums.of_nothing(np.zeros(1), 1), None, best)


def balancing(horizon=(10, WHOLE)):
    evolution = evolution_for(
        "test/Constant-v0",
        grow=lambda stage: evolution_for("test/Constant-v0", neurons=1 + stage).policy,
        horizon=horizon,
    )
    evolution.evaluate = Balancing(float(evolution.vector.start[0]))
    return evolution


def test_a_search_that_spins_is_followed_by_one_for_longer_and_longer_stretches_and_then_by_a_larger_one() -> None:
    evolution = balancing()
    rows = [evolution.step()]
    while evolution.stage == 0:
        rows.append(evolution.step())
    stretches = [row.stretch for row in rows]
    first = next(number for number, stretch in enumerate(stretches) if stretch)
    assert WHOLE / 2 <= rows[first].return_median < WHOLE / 2 + 1, "it spins"
    assert list(dict.fromkeys(stretches)) == [0, 10, 20, 40, 80, WHOLE]
    assert ", for the best 10 steps" in rows[first].line(is_short=False)
    assert rows[-2].return_median == WHOLE, "it balances"
    assert evolution.incumbent.score == WHOLE
    assert set(evolution.evaluate.stretches) == {None, 10, 20, 40, 80}, "whole episodes are compared by their returns"
    assert evolution.horizon == Horizon(10, WHOLE, steps=10), "the next stage begins as the first one"


def test_without_a_short_horizon_a_larger_search_follows_at_once() -> None:
    evolution = balancing(horizon=(WHOLE, WHOLE))
    while evolution.stage == 0:
        assert evolution.step().stretch == 0


def test_a_search_for_a_stretch_continues_byte_for_byte() -> None:
    evolution = balancing()
    generations = 0
    while evolution.horizon.stretch < 20:
        evolution.step()
        generations += 1
    assert_same(*whole_and_continued(balancing, generations + 2, 3))
