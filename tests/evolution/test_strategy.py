"""CMA-ES through ask and tell: the sign, the generator, what is not finite, and when it stops."""

import numpy as np
import pytest

from nf_policies.evolution.strategy import Strategy

GOAL = np.array([3.0, -1.0, 0.5])


def sphere(population: np.ndarray) -> np.ndarray:
    """Return 0 at GOAL, less everywhere else."""
    return -np.square(population - GOAL).sum(1)


def strategy(**options) -> Strategy:
    return Strategy(np.zeros(3), np.ones(3), **options)


def test_returns_are_maximised() -> None:
    search = strategy()
    for _ in range(150):
        search.tell(sphere(search.ask()))
    np.testing.assert_allclose(search.mean, GOAL, atol=1e-4)


def test_the_scale_is_the_standard_deviation_of_each_entry() -> None:
    search = Strategy(np.zeros(3), np.array([1.0, 10.0, 0.1]), sigma=2.0, pop_size=2000)
    np.testing.assert_allclose(search.ask().std(0), [2, 20, 0.2], rtol=0.1)


def test_scales_of_entries_are_learnt_in_few_generations_of_few_candidates() -> None:
    weights = np.logspace(0, 3, 50)
    search = Strategy(np.ones(50), np.ones(50), pop_size=16)
    for _ in range(200):
        population = search.ask()
        search.tell(-(population**2) @ weights)
    assert search.mean**2 @ weights < weights.sum() / 1000


def test_a_search_with_twice_the_candidates_goes_on_from_its_mean_and_deviations() -> None:
    as_it_is, doubled = (Strategy(np.zeros(3), np.array([1.0, 10.0, 0.1]), pop_size=1000) for _ in range(2))
    for search in (as_it_is, doubled):
        for _ in range(5):
            search.tell(sphere(search.ask()))
    doubled.double()
    np.testing.assert_array_equal(doubled.mean, as_it_is.mean)
    assert doubled.sigma == as_it_is.sigma
    population = doubled.ask()
    assert len(population) == 2000
    np.testing.assert_allclose(population.std(0), as_it_is.ask().std(0), rtol=0.1)


def test_the_same_seed_gives_the_same_run_and_seed_0_is_a_seed() -> None:
    runs = []
    for seed in (0, 0, 1):
        search = strategy(seed=seed)
        for _ in range(5):
            search.tell(sphere(search.ask()))
        runs.append(search.ask())
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("restarts", ["none", "ipop", "bipop"])
def test_the_global_generator_is_untouched(restarts) -> None:
    np.random.seed(5)  # noqa: NPY002 (the point of the test)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    search = strategy(restarts=restarts, pop_size=4)
    for _ in range(300):
        search.tell(sphere(search.ask()))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_flat_returns_do_not_stop_the_search() -> None:
    search = strategy()
    for _ in range(500):
        search.tell(np.full(len(search.ask()), 500.0))
    assert search.generation == 500
    assert not search.stop_reasons


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_ranks_last_and_is_counted(bad) -> None:
    search = strategy(pop_size=8)
    for _ in range(150):
        population = search.ask()
        returns = sphere(population)
        returns[population[:, 0] > 4] = bad
        search.tell(returns)
    np.testing.assert_allclose(search.mean, GOAL, atol=1e-3)
    population = search.ask()
    before = search.not_finite
    search.tell(np.array([bad, bad, *sphere(population[2:])]))
    assert search.not_finite == before + 2


def test_a_generation_in_which_nothing_is_finite_is_survived() -> None:
    search = strategy()
    search.tell(np.full(len(search.ask()), np.nan))
    assert np.isfinite(search.ask()).all()


def test_ipop_doubles_the_population_and_tells_why() -> None:
    search = strategy(restarts="ipop", pop_size=6)
    sizes = []
    while search.evaluations < 30_000:
        population = search.ask()
        if not sizes or sizes[-1] != len(population):
            sizes.append(len(population))
        search.tell(sphere(population))
    assert sizes == [6 * 2**i for i in range(len(sizes))]
    assert len(sizes) > 3
    assert search.stop_reasons.total() == len(sizes) - 1
    assert all("tol" in reason for reason in search.stop_reasons)


def test_bipop_also_makes_small_runs_and_gives_both_kinds_a_like_budget() -> None:
    search = strategy(restarts="bipop", pop_size=6, seed=1)
    sizes, spent = [], {"small": 0, "large": 0}
    largest = 6
    while search.evaluations < 60_000:
        population = search.ask()
        if not sizes or sizes[-1] != len(population):
            sizes.append(len(population))
        largest = max(largest, len(population))
        spent["large" if len(population) == largest else "small"] += len(population)
        search.tell(sphere(population))
    assert sizes[1] == 12
    assert any(size < max(sizes[:i]) for i, size in enumerate(sizes) if i)
    assert 0.2 < spent["small"] / spent["large"] < 5


@pytest.mark.parametrize("restarts", ["ipop", "bipop"])
def test_restarts_find_the_best_of_many_optima(restarts) -> None:
    def rastrigin(x):
        return -(10 * x.shape[1] + (np.square(x - GOAL) - 10 * np.cos(2 * np.pi * (x - GOAL))).sum(1))

    search, best = strategy(restarts=restarts), -np.inf
    while search.evaluations < 30_000 and best < -1e-6:
        returns = rastrigin(search.ask())
        best = max(best, returns.max())
        search.tell(returns)
    assert best > -1e-6


def test_the_callers_options_are_copied() -> None:
    options = {"CMA_diagonal": True}
    strategy(options=options)
    assert options == {"CMA_diagonal": True}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigma": 0.0}, "sigma must be positive"),
        ({"sigma": np.nan}, "sigma must be positive"),
        ({"pop_size": 2}, "population of at least 3"),
        ({"restarts": "often"}, "Unknown restarts"),
    ],
)
def test_bad_options_get_one_clear_sentence(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        strategy(**arguments)
    with pytest.raises(ValueError, match="at least two finite"):
        Strategy(np.zeros(1), np.ones(1))
    with pytest.raises(ValueError, match="candidates to be told about"):
        strategy().tell(np.zeros(3))


def test_the_step_size_does_not_fall_below_its_bound() -> None:
    free, bound = (Strategy(np.zeros(3), np.ones(3), sigma=1.0, sigma_min=low) for low in (0.0, 0.5))
    sigmas = []
    for strategy in (free, bound):
        for _ in range(60):
            strategy.tell(-np.square(strategy.ask()).sum(1))
            sigmas.append(strategy.sigma)
    assert free.sigma < 0.1
    assert min(sigmas[60:]) == 0.5


def test_a_run_starts_again_after_a_fixed_number_of_generations_and_its_evaluations_count() -> None:
    strategy = Strategy(np.zeros(3), np.ones(3), pop_size=6, restart_after=5)
    for _ in range(12):
        strategy.tell(-np.square(strategy.ask() - 9).sum(1))
    assert strategy.stop_reasons == {"restart_after": 2}
    assert (strategy.generation, strategy.evaluations) == (12, 72)


@pytest.mark.parametrize("option", [{"sigma_min": 2.0}, {"sigma_min": -1.0}, {"restart_after": 0}])
def test_impossible_bounds_are_refused(option) -> None:
    with pytest.raises(ValueError, match="must"):
        Strategy(np.zeros(3), np.ones(3), **option)
