"""A search continues from its state byte for byte, wherever it was taken, and the state does not grow."""

import itertools
import json

import numpy as np
import pytest
import torch

from nf_policies.evolution.strategy import State, Strategy

RESTARTS = ["none", "ipop", "bipop"]


def returns_of(population: np.ndarray, kind: str, generation: int) -> np.ndarray:
    if kind == "flat":
        return np.full(len(population), 500.0)
    if kind == "nan":
        returns = -np.square(population - 1).sum(1)
        returns[:: 1 + generation % 5] = [np.nan, np.inf, -np.inf][generation % 3]
        return returns
    if kind == "cigar":  # badly scaled, so that pycma changes its coordinates
        return -np.square(population * np.logspace(0, 8, population.shape[1])).sum(1)
    if kind == "rotated":  # nearly singular, so that pycma takes on a linear transformation
        size = population.shape[1]
        axes = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
        return -np.square((population - 1) @ axes * np.logspace(0, 8, size)).sum(1)
    if kind == "noise":
        return np.random.default_rng(generation).normal(size=len(population))
    return -np.square(population - 1).sum(1)


def play(search: Strategy, generations: int, kind: str = "sphere") -> None:
    for _ in range(generations):
        generation = search.generation
        search.tell(returns_of(search.ask(), kind, generation))


def through_a_file(state: State) -> State:
    """The state after being text and bytes, as in a file."""
    numbers = json.loads(json.dumps(state.numbers))
    tensors = {name: torch.from_numpy(np.array(t.numpy())) for name, t in state.tensors.items()}
    return State(numbers, tensors)


def bytes_of(state: State) -> tuple[str, dict[str, bytes]]:
    return json.dumps(state.numbers), {name: t.numpy().tobytes() for name, t in state.tensors.items()}


def assert_equal(a: Strategy, b: Strategy) -> None:
    assert bytes_of(a.state()) == bytes_of(b.state())
    assert a.mean.tobytes() == b.mean.tobytes()


def assert_continued_exactly(make, first: int, second: int, kind: str) -> Strategy:
    whole, half = make(), make()
    play(whole, first + second, kind)
    play(half, first, kind)
    again = make()
    again.load(through_a_file(half.state()))
    assert_equal(half, again)
    play(again, second, kind)
    assert_equal(whole, again)
    return whole


@pytest.mark.parametrize("restarts", RESTARTS)
@pytest.mark.parametrize("kind", ["sphere", "flat", "nan", "cigar", "rotated", "noise"])
def test_a_search_continues_from_its_state_byte_for_byte(restarts, kind) -> None:
    # On flat returns the population doubles with every generation.
    generations = (4, 3) if kind == "flat" and restarts != "none" else (157, 43)
    for size, pop_size, seed in ((2, 4, 0), (7, None, 1), (20, 12, 2)):

        def make(size=size, pop_size=pop_size, seed=seed) -> Strategy:
            scale = np.linspace(0.1, 3, size)
            return Strategy(np.zeros(size), scale, pop_size=pop_size, seed=seed, restarts=restarts)

        assert_continued_exactly(make, *generations, kind)


@pytest.mark.parametrize("options", [{"restart_after": 7}, {"sigma_min": 0.3}, {"restart_after": 60, "sigma_min": 0.1}])
def test_fixed_restarts_and_a_least_step_size_continue_exactly(options) -> None:
    for first, restarts in itertools.product((6, 7, 70), RESTARTS):

        def make(restarts=restarts) -> Strategy:
            return Strategy(np.ones(4), np.ones(4), pop_size=6, seed=3, restarts=restarts, **options)

        assert_continued_exactly(make, first, 30, "sphere")


@pytest.mark.parametrize("after", [0, 1, 30])
@pytest.mark.parametrize("kind", ["sphere", "rotated", "noise"])
def test_a_search_whose_candidates_were_doubled_continues_exactly(after, kind) -> None:
    def make() -> Strategy:
        return Strategy(np.zeros(5), np.linspace(0.1, 3, 5), pop_size=6, seed=3)

    whole = make()
    play(whole, 40, kind)
    whole.double()
    play(whole, after, kind)
    again = make()
    again.load(through_a_file(whole.state()))
    assert_equal(whole, again)
    for search in (whole, again):
        play(search, 20, kind)
    assert_equal(whole, again)


@pytest.mark.parametrize("restarts", ["ipop", "bipop"])
def test_a_state_of_any_generation_around_restarts_continues_exactly(restarts) -> None:
    def make() -> Strategy:
        return Strategy(np.zeros(3), np.ones(3), pop_size=6, seed=1, restarts=restarts)

    whole, states = make(), []
    while whole.stop_reasons.total() < 4:
        before = whole.stop_reasons.total()
        play(whole, 1)
        if whole.stop_reasons.total() > before:  # right after a restart, and a little later
            states.append(through_a_file(whole.state()))
            play(whole, 3)
            states.append(through_a_file(whole.state()))
    for state in states:
        again = make()
        again.load(state)
        play(again, whole.generation - again.generation)
        assert_equal(whole, again)


def test_a_search_that_has_changed_its_coordinates_continues_exactly_and_knows_its_mean() -> None:
    def make() -> Strategy:
        return Strategy(np.zeros(4), np.ones(4), seed=1)

    whole = assert_continued_exactly(make, 900, 100, "rotated")
    np.testing.assert_allclose(whole.mean, whole.ask().mean(0), atol=1e-3)
    np.testing.assert_allclose(whole.mean, 1, atol=1e-3)


def test_a_state_before_the_first_generation_and_states_of_states_continue_exactly() -> None:
    def make() -> Strategy:
        return Strategy(np.zeros(5), np.ones(5), seed=4, restarts="bipop")

    whole, again = make(), make()
    for _ in range(40):
        continued = make()
        continued.load(through_a_file(again.state()))
        again = continued
        play(again, 9)
        play(whole, 9)
    assert_equal(whole, again)


@pytest.mark.slow
def test_thousands_of_generations_continue_exactly() -> None:
    for restarts in RESTARTS:

        def make(restarts=restarts) -> Strategy:
            return Strategy(np.zeros(3), np.ones(3), pop_size=5, seed=8, restarts=restarts)

        half = 2000 if restarts == "none" else 500
        assert assert_continued_exactly(make, half, half, "noise").generation == 2 * half


def test_a_search_of_many_parameters_continues_exactly_and_leaves_the_global_generator_alone() -> None:
    def make() -> Strategy:
        return Strategy(np.zeros(310), np.ones(310), seed=2)

    np.random.seed(5)  # noqa: NPY002 (the point of the test)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert_continued_exactly(make, 11, 9, "sphere")
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.slow
@pytest.mark.parametrize("restart_after", [None, 60])
def test_the_state_of_twenty_thousand_generations_is_no_larger_than_that_of_two_hundred(restart_after) -> None:
    search = Strategy(np.zeros(2), np.ones(2), pop_size=4, sigma_min=1e-6, restart_after=restart_after)

    def size() -> int:
        text, arrays = bytes_of(search.state())
        return len(text) + sum(map(len, arrays.values()))

    play(search, 200, "noise")
    early = size()
    play(search, 19_800, "noise")
    assert size() < 1.2 * early + 1000


def test_a_state_that_does_not_fit_is_refused_in_one_sentence() -> None:
    search = Strategy(np.zeros(3), np.ones(3), seed=1)
    play(search, 3)
    state = through_a_file(search.state())
    for options, message in (
        ({"sigma": 2.0}, "another sigma, 1.0 and not 2.0"),
        ({"pop_size": 9}, "another pop_size"),
        ({"restarts": "ipop"}, "another restarts, none and not ipop"),
    ):
        with pytest.raises(ValueError, match=message):
            Strategy(np.zeros(3), np.ones(3), **options).load(state)
    with pytest.raises(ValueError, match="another start"):
        Strategy(np.zeros(4), np.ones(4)).load(state)
    state.numbers["made_with"]["cma"] = "3.0"
    with pytest.raises(ValueError, match=r"another cma, 3\.0 and not"):
        Strategy(np.zeros(3), np.ones(3)).load(state)
    damaged = through_a_file(search.state())
    damaged.tensors.popitem()
    with pytest.raises(ValueError, match="state"):
        Strategy(np.zeros(3), np.ones(3)).load(damaged)
    search.ask()
    with pytest.raises(ValueError, match="under way"):
        search.state()


def test_what_is_missing_only_where_all_returns_are_alike_is_found_before_it_is_needed() -> None:
    search = Strategy(np.zeros(3), np.ones(3), seed=1, restarts="ipop")
    play(search, 3)
    state = through_a_file(search.state())
    del state.numbers["search"]["attributes"]["fit"]["attributes"]["flatfit_iterations"]
    with pytest.raises(ValueError, match="flatfit_iterations"):
        Strategy(np.zeros(3), np.ones(3), seed=1, restarts="ipop").load(state)
