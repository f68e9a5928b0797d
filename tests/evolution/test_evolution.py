"""Evolution learns what needs memory, compares on fresh episodes, survives bad returns, and continues exactly."""

import copy

import numpy as np
import pytest
from small_evolution import assert_same, evolution_for, through_a_file, whole_and_continued

from nf_policies import Policy
from nf_policies.evolution import Evolution, Incumbent
from nf_policies.evolution.objective import duel, objective_of, rounds, worst
from nf_policies.evolution.stages import Plateau, larger
from nf_policies.fields.parameters import ParameterVector
from nf_policies.rollouts import rollout
from nf_policies.rollouts.play import FeatureSums, Played, evaluate, first_seed
from nf_policies.tasks.make import make_task
from nf_policies.tasks.side_by_side import make_envs


def test_a_neuron_learns_to_remember_a_cue() -> None:
    evolution = evolution_for("test/Recall-v0", episodes=8)
    for _ in range(40):
        evolution.step()
    best = evolution.best()
    assert rollout(best, "test/Recall-v0", episodes=100).returns.mean() == 1.0
    forgetful = copy.deepcopy(best)
    env, returns = make_task("test/Recall-v0"), []
    for seed in range(100):
        obs, over = env.reset(seed=seed)[0], False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(forgetful.act(obs, episode_start=True))
            over = terminated or truncated
        returns.append(reward)
    assert np.mean(returns) < 0.7, "without its memory the same policy can only guess"


def test_float64_actions_on_an_asymmetric_box_are_maximised_not_minimised() -> None:
    evolution = evolution_for("test/Move-v0", episodes=1)
    for _ in range(60):
        evolution.step()
    assert rollout(evolution.best(), "test/Move-v0", episodes=1).returns[0] > -0.01


def test_the_reported_score_of_pure_noise_is_noise() -> None:
    evolution = evolution_for("test/Noise-v0", episodes=1, pop_size=16)
    best = max(evolution.step().return_best for _ in range(30))
    assert best > 2, "a lucky candidate looks good in each generation"
    assert abs(rollout(evolution.best(), "test/Noise-v0", episodes=400, seed=10**6).returns.mean()) < 0.2
    assert evolution.incumbent is not None
    assert evolution.incumbent.score < 1


def test_a_search_on_one_episode_goes_on_with_more_where_returns_are_noise() -> None:
    noise, skill = (evolution_for(f"test/{name}-v0", episodes=1, episodes_max=4) for name in ("Noise", "Move"))
    for _ in range(60):
        noise.step()
        skill.step()
    assert noise.episodes == 4
    assert skill.episodes == 1


def test_candidates_grow_before_episodes_where_returns_are_noise() -> None:
    def make() -> Evolution:
        return evolution_for("test/Noise-v0", episodes=1, pop_size=4, episodes_max=2, pop_size_max=16)

    whole, again, sizes = make(), make(), []
    for _ in range(80):
        continued = make()
        continued.load(through_a_file(again.state()))
        again = continued
        again.step()
        sizes.append((whole.step().pop_size, whole.episodes))
    assert_same(whole, again)
    assert list(dict.fromkeys(sizes)) == [(4, 1), (8, 1), (16, 1), (16, 2)]


def test_every_generation_has_fresh_episodes_the_same_for_all_candidates() -> None:
    played = []
    for _ in range(2):
        evolution, seeds = evolution_for("test/Noise-v0", episodes=4, pop_size=4), []

        def watched(policy, population, wanted, play=evolution.evaluate, seeds=seeds):
            seeds.extend(wanted)
            return play(policy, population, wanted)

        evolution.evaluate = watched
        record = evolution.step()
        evolution.reached(-100.0)
        for _ in range(2):
            evolution.step()
        played.append(seeds)
    assert played[0] == played[1]
    fresh = played[0][: 4 + 5 + 100]
    assert len(set(fresh)) == len(fresh), "a generation, a duel and a confirmation have seeds of their own"
    assert record.evaluations == 6, "four candidates, the mean, and the mean again in a duel"
    population = np.random.default_rng(0).normal(size=(40, evolution.policy.n_parameters))
    returns, _ = evaluate(make_envs("test/Noise-v0", 16), evolution.policy, population, range(3))
    for of_episode in returns.T:
        assert len(set(of_episode)) == 2, "all candidates choose between the same two numbers"


def test_constant_returns_run_to_the_end_of_the_budget() -> None:
    evolution = evolution_for("test/Constant-v0")
    for _ in range(120):
        record = evolution.step()
    assert record.generation == 120
    assert record.return_incumbent == 1


def test_candidates_with_nan_returns_rank_last_and_are_counted() -> None:
    evolution = evolution_for("test/Broken-v0")
    for _ in range(30):
        record = evolution.step()
    assert record.not_finite > 0
    assert evolution.problem is not None
    assert evolution.problem.startswith("A reward is nan: a task must return finite numbers")
    assert rollout(evolution.best(), "test/Broken-v0", episodes=5).returns.mean() == 1


def test_the_normaliser_follows_what_is_seen_and_the_incumbent_keeps_its_own() -> None:
    evolution = evolution_for("CartPole-v1")
    for _ in range(6):
        evolution.step()
    assert evolution.policy.normalizer.count > 0
    assert evolution.incumbent is not None
    assert evolution.incumbent.policy.normalizer.count < evolution.policy.normalizer.count


@pytest.mark.parametrize("restarts", ["none", "ipop", "bipop"])
@pytest.mark.parametrize("env_id", ["test/Recall-v0", "test/Broken-v0", "test/Move-v0"])
def test_an_evolution_continues_from_its_state_byte_for_byte(restarts, env_id) -> None:
    def make() -> Evolution:
        return evolution_for(env_id, restarts=restarts, seed=3, episodes_max=8, objective=objective_of("worst:2"))

    whole, second = whole_and_continued(make, 5, 4)
    assert_same(whole, second)
    assert whole.reached(1.0) == second.reached(1.0)
    assert_same(whole, second)


def test_continuing_right_after_restarts_and_before_the_first_generation_is_exact() -> None:
    def make() -> Evolution:
        return evolution_for("test/Constant-v0", restart_after=3, episodes=1, pop_size=4, sigma_min=0.5)

    whole, again = make(), make()
    for _ in range(10):
        continued = make()
        continued.load(through_a_file(again.state()))
        again = continued
        again.step()
        whole.step()
        assert_same(whole, again)
    assert whole.summary()["restarts"] == 3


def test_a_search_at_rest_is_followed_by_larger_ones_with_more_candidates_and_neurons_in_turn() -> None:
    def make() -> Evolution:
        def grow(stage: int) -> Policy:
            return evolution_for("test/Constant-v0", neurons=larger(stage)[1]).policy

        return evolution_for("test/Constant-v0", neurons=1, grow=grow, episodes=1, pop_size=40)

    whole, again, sizes = make(), make(), []
    for _ in range(75):
        continued = make()
        continued.load(through_a_file(again.state()))
        again = continued
        again.step()
        record = whole.step()
        sizes.append((record.pop_size, whole.policy.field.hidden_size, record.generation))
    assert_same(whole, again)
    stages = [sizes[i][:2] for i in range(75) if not i or sizes[i][:2] != sizes[i - 1][:2]]
    assert stages[:3] == [(40, 1), (80, 1), (80, 2)]
    assert [generation for *_, generation in sizes] == list(range(1, 76))
    assert whole.summary()["restarts"] == whole.stage >= 2
    assert whole.best().field.hidden_size == 1, "the incumbent keeps its size"


class Far:
    """An evaluator: 1 for candidates whose first parameter is five deviations from its start or more, 0 for all others.

    As on a mountain car whose position alone is seen, few policies do anything that is better than nothing.
    """

    def __init__(self, start: float, scale: float) -> None:
        self.start, self.scale = start, scale

    def __call__(self, policy, population, seeds, limit=None, stretch=None):
        first = np.full(1, self.start) if population is None else population[:, 0]
        found = np.abs(first - self.start) >= 5 * self.scale
        returns = found[:, None].repeat(len(seeds), 1).astype(float)
        lengths = np.ones(returns.size, dtype=np.int64)
        return returns, Played(returns.reshape(-1), lengths, FeatureSums.of_nothing(np.zeros(1), 1), None)


def test_what_no_candidate_reaches_is_found_by_the_next_search_which_begins_wider() -> None:
    def make() -> Evolution:
        evolution = evolution_for(
            "test/Constant-v0", grow=lambda stage: evolution_for("test/Constant-v0", neurons=1 + stage).policy
        )
        evolution.evaluate = Far(float(evolution.vector.start[0]), float(evolution.vector.scale[0]))
        return evolution

    evolution, continued = make(), make()
    while evolution.stage == 0:
        assert evolution.step().return_best == 0
    continued.load(through_a_file(evolution.state()))
    assert any(evolution.step().return_best == 1 for _ in range(5))
    assert any(continued.step().return_best == 1 for _ in range(5))


def test_a_search_whose_median_changed_is_not_followed_by_a_wider_one() -> None:
    evolution = evolution_for(
        "test/Constant-v0", grow=lambda stage: evolution_for("test/Constant-v0", neurons=1).policy, sigma=0.5
    )
    evolution.evaluate = Far(float(evolution.vector.start[0]), float(evolution.vector.scale[0]) / 10)
    while evolution.stage == 0:
        evolution.step()
    assert evolution.strategy.sigma == 0.5


def test_a_search_that_rises_is_not_at_rest() -> None:
    rising, resting = Plateau(10), Plateau(10)
    assert not any(rising.reached(0.1 * generation) for generation in range(100))
    found = [resting.reached(min(generation, 5)) for generation in range(100)]
    assert 10 < found.index(True) < 100
    empty = Plateau(3)
    assert [empty.reached(float("nan")) for _ in range(3)] == [False, False, True]


def test_a_state_of_another_seed_or_a_damaged_one_is_refused() -> None:
    evolution = evolution_for("test/Constant-v0")
    evolution.step()
    numbers, tensors = through_a_file(evolution.state())
    with pytest.raises(ValueError, match="has seed 1, its state is of seed 0"):
        evolution_for("test/Constant-v0", seed=1).load((numbers, tensors))
    with pytest.raises(ValueError, match="another population"):
        evolution_for("test/Constant-v0", pop_size=9).load((numbers, tensors))
    with pytest.raises(ValueError, match="not whole"):
        evolution_for("test/Constant-v0").load((numbers, {n: t for n, t in tensors.items() if "policy" not in n}))


def test_an_evolution_interrupted_within_a_generation_has_no_state() -> None:
    evolution = evolution_for("test/Constant-v0")

    def interrupted(*_arguments):
        raise KeyboardInterrupt

    evolution.step()
    evolution.evaluate = interrupted
    with pytest.raises(KeyboardInterrupt):
        evolution.step()
    with pytest.raises(ValueError, match="under way"):
        evolution.state()


class NoisyHill:
    """An evaluator: returns fall with the squared distance of the parameters to 1; noise per episode and candidate."""

    def __init__(self, deviation: float) -> None:
        self.deviation, self.calls, self.rows, self.rng = deviation, 0, 0, np.random.default_rng(0)

    def quality(self, vectors: np.ndarray) -> np.ndarray:
        return 100 - 100 * np.square(vectors - 1).sum(1)

    def __call__(self, policy, population, seeds):
        if population is None:
            population = ParameterVector.of(policy.field).start[None].double().numpy()
        self.rows += len(population)
        returns = self.quality(population)[:, None] + self.deviation * self.rng.normal(
            size=(len(population), len(seeds))
        )
        nothing = FeatureSums.of_nothing(np.zeros(1), 1)
        return returns, Played(returns.reshape(-1), np.full(returns.size, 7), nothing, None)


@pytest.mark.parametrize("name", ["mean", "worst:1", "cvar:0.25"])
def test_the_best_policy_is_chosen_by_the_objective_and_goes_on_changing(name) -> None:
    evolution = evolution_for("test/Constant-v0", episodes=8, pop_size=16, objective=objective_of(name))
    hill = NoisyHill(50.0)
    evolution.evaluate = hill
    changes, last = [], None
    for generation in range(120):
        evolution.step()
        if evolution.best() is not last:
            changes.append(generation)
            last = evolution.best()
    quality = hill.quality(ParameterVector.of(evolution.best().field).start[None].double().numpy())
    assert quality > hill.quality(evolution.strategy.mean[None]) - 3
    assert quality > 88
    assert changes[-1] > 56, "the incumbent is not frozen by a comparison of two currencies"


def test_every_policy_and_step_that_is_played_is_counted() -> None:
    evolution = evolution_for("test/Constant-v0", episodes=8, pop_size=16)
    hill = evolution.evaluate = NoisyHill(50.0)
    steps = 0
    for _ in range(20):
        record = evolution.step()
        evolution.reached(50.0)
    assert evolution.evaluations == hill.rows > 20 * 17
    assert record["evaluations"] == record.evaluations
    steps = evolution.env_steps
    evolution.count(1000)
    assert (evolution.env_steps, evolution.evaluations) == (steps + 1000, hill.rows + 1)


def test_a_score_is_over_as_many_episodes_as_a_candidate_plays() -> None:
    returns = np.random.default_rng(0).normal(size=4000)
    few = Incumbent("policy", returns[:40], objective_of("worst:1"), 8)  # type: ignore[arg-type]
    many = few.with_returns(returns)
    assert abs(many.score - few.score) < 0.7
    assert many.score > worst(many.returns[None], 1)[0] + 1
    assert Incumbent("policy", returns).score == returns.mean()  # type: ignore[arg-type]


def test_first_seeds_of_purposes_runs_and_iterations_are_far_from_each_other() -> None:
    rows = [first_seed(s, p, i) for s in range(20) for p in range(8) for i in range(5)]
    assert all(0 <= seed < 2**31 for seed in rows)
    assert np.diff(sorted(rows)).min() > 100
    assert first_seed(1, 2, 3) == first_seed(1, 2, 3)


def test_rows_have_the_columns_and_a_line_for_people() -> None:
    evolution = evolution_for("test/Constant-v0")
    record = evolution.step()
    assert tuple(record) == evolution.columns
    assert evolution.columns[0] == "generation"
    assert dict(record)["return_incumbent"] == 1
    assert evolution.line().startswith("best so far 1.0, mean 1.0")


def meet(incumbent, challenger, *, returns, seen=None):
    """The winner of a duel whose policies are names, each with its returns by seed."""

    def play(policy, seeds):
        if seen is not None:
            seen.append((policy, list(seeds)))
        return np.array([returns[policy](seed) for seed in seeds], dtype=float)

    return duel(incumbent, Incumbent(challenger, np.empty(0)), play, rounds(range(20), 5))


def test_a_lucky_incumbent_is_corrected_before_it_turns_down_a_better_policy() -> None:
    returns = {"lucky": lambda _: 1.0, "better": lambda _: 2.0}
    assert meet(Incumbent("lucky", np.full(20, 1.9)), "better", returns=returns).policy == "better"
    assert meet(Incumbent("better", np.full(20, 2.0)), "lucky", returns=returns).policy == "better"


def test_a_duel_is_as_long_as_it_is_unclear_who_is_better() -> None:
    luck = np.random.default_rng(0).normal(size=20)
    returns = {
        "held": lambda seed: luck[seed],
        "far better": lambda seed: luck[seed] + 10,
        "a little better": lambda seed: luck[seed] + 0.1,
        "worse": lambda seed: luck[seed] - 0.1,
    }

    def of(challenger):
        meet(Incumbent("held", luck[:5]), challenger, returns=returns, seen=(seen := []))
        return [(policy, len(seeds)) for policy, seeds in seen]

    assert of("far better") == [("far better", 5), ("held", 5)]
    assert of("a little better") == [
        (policy, episodes) for episodes in (5, 5, 10) for policy in ("a little better", "held")
    ]
    assert len(of("worse")) <= 2, "who is behind loses at once"


@pytest.mark.parametrize(("known", "winner"), [(5, "a little better"), (20, "sure")])
def test_a_policy_that_seldom_fails_does_not_replace_one_that_is_known_not_to(known, winner) -> None:
    returns = {"sure": lambda seed: 10.0 + seed / 1e6, "a little better": lambda seed: 0.0 if seed == 12 else 10.1}
    sure = Incumbent("sure", np.full(known, 10.0))
    assert meet(sure, "a little better", returns=returns).policy == winner


def test_a_target_is_confirmed_on_a_hundred_fresh_episodes() -> None:
    evolution = evolution_for("test/Noise-v0", episodes=1)
    evolution.step()
    evolution.incumbent = Incumbent(evolution.last(), np.ones(20))
    assert not evolution.reached(0.9), "the luck of twenty episodes does not last for a hundred"
    assert evolution.incumbent.returns.size == 120
    constant = evolution_for("test/Constant-v0")
    constant.step()
    assert constant.reached(1.0)


@pytest.mark.parametrize(
    ("option", "message"), [({"episodes": 0}, "at least one episode"), ({"seed": -1}, "seed must")]
)
def test_bad_options_get_one_clear_sentence(option, message) -> None:
    with pytest.raises(ValueError, match=message):
        evolution_for("test/Constant-v0", **option)
