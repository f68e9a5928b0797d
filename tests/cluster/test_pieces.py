"""A generation in pieces: whoever plays them, in whatever order, leaves the bits of one machine."""

import functools
import pickle
import platform
import random
import sys

import numpy as np
import pytest
import torch
from gymnasium import spaces

from nf_policies import ParameterVector, Policy, SimpleNeuralField, field_sizes
from nf_policies.cluster.player import Failed, Player, Unmade
from nf_policies.evolution.evolution import Evolution
from nf_policies.rollouts.engine import Engine
from nf_policies.rollouts.play import evaluate
from nf_policies.rollouts.spread import Piece, Spread, cut
from nf_policies.tasks.batched import make_batched
from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.side_by_side import make_envs

STEPS = 12


class Shuffled:
    """A pool of players in this process, which get copies and answer in a random order."""

    def __init__(self, make, workers: int, seed: int = 0) -> None:
        self.players = [Player(watched(make)) for _ in range(workers)]
        self.order = random.Random(seed)

    @property
    def room(self) -> int:
        return 2 * len(self.players)

    def play(self, policy, pieces):
        for index in self.order.sample(range(len(pieces)), len(pieces)):
            sent = pickle.loads(pickle.dumps((policy, pieces[index])))
            answer = self.order.choice(self.players).play(*sent)
            yield index, answer.played


def policy_for(space_of, activation: str) -> Policy:
    sizes = field_sizes(space_of.single_observation_space, space_of.single_action_space, None)
    field = SimpleNeuralField(*sizes, 3, activation=activation, generator=torch.Generator().manual_seed(1))
    return Policy(field, space_of.single_observation_space, space_of.single_action_space)


def watched(make):
    return lambda lanes: (make(lanes), make is on_gymnasium)


def on_gymnasium(lanes: int):
    return functools.partial(evaluate, make_envs("Pendulum-v1", lanes, max_episode_steps=STEPS))


def on_engine(lanes: int):
    return Engine(make_batched("nf/Pendulum-v1", max_episode_steps=STEPS))


@pytest.mark.parametrize("activation", ["tanh"])
@pytest.mark.parametrize("make", [on_gymnasium, on_engine])
@pytest.mark.parametrize("workers", [1, 6])
def test_pieces_played_in_any_order_give_the_bits_of_one_machine(make, activation, workers) -> None:
    policy = policy_for(make_envs("Pendulum-v1", 1), activation)
    vector = ParameterVector.of(policy.field)
    noise = np.random.default_rng(0).standard_normal((5, len(vector)))
    population, seeds = vector.start.double().numpy() + noise, [3, 4, 11]
    spread = Spread(Shuffled(make, workers, seed=workers), whole=make is on_engine)
    for candidates, more in ((population, {}), (population, {"limit": 5}), (population, {"stretch": 4}), (None, {})):
        returns, played = make(15)(policy, candidates, seeds, **more)
        mine, pieced = spread(policy, candidates, seeds, **more)
        np.testing.assert_array_equal(mine, returns)
        np.testing.assert_array_equal(pieced.lengths, played.lengths)
        np.testing.assert_array_equal(pieced.stretches, played.stretches)
        for a, b in zip(pieced.moments, played.moments, strict=True):
            assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))


def test_an_evolution_in_pieces_has_the_state_of_one_that_is_not() -> None:
    def evolved(evaluator):
        evolution = Evolution(policy_for(make_envs("Pendulum-v1", 1), "tanh"), evaluator, pop_size=4, episodes=2)
        for _ in range(2):
            evolution.step()
        return evolution.state()

    here, spread = evolved(on_gymnasium(5)), evolved(Spread(Shuffled(on_gymnasium, 3)))
    assert spread.numbers == here.numbers
    assert all(torch.equal(tensor, here.tensors[name]) for name, tensor in spread.tensors.items())


@pytest.mark.parametrize("count", [1, 3, 7, 40])
@pytest.mark.parametrize("candidates", [None, 1, 5])
def test_pieces_hold_every_episode_once_in_order(count, candidates) -> None:
    population = None if candidates is None else np.arange(candidates)[:, None]
    whole = Piece(population, [10, 11, 12, 13])
    pieces = list(cut(whole, count))

    def episodes(piece):
        rows = [None] if piece.population is None else piece.population[:, 0].tolist()
        return [(row, seed) for row in rows for seed in piece.seeds]

    assert [episode for piece in pieces for episode in episodes(piece)] == episodes(whole)
    assert len(pieces) >= min(count, whole.episodes) // 2


def broken(*_, **more):
    raise ZeroDivisionError("no motor")


def test_a_task_that_raises_comes_back_as_a_sentence_that_names_the_line() -> None:
    answer = Player(lambda lanes: (broken, False)).play(None, Piece(None, [1]))
    assert isinstance(answer, Failed)
    assert answer.reason.startswith("ZeroDivisionError: no motor (")
    assert "test_pieces.py, line" in answer.reason


def test_a_task_that_cannot_be_made_comes_back_with_the_name_of_the_machine() -> None:
    answer = Player(broken).play(None, Piece(None, [1]))
    assert isinstance(answer, Unmade)
    assert answer.reason.startswith("ZeroDivisionError: no motor (")
    assert answer.node == platform.node()


def test_a_player_counts_its_steps_so_that_one_that_hangs_is_known() -> None:
    player = Player(watched(on_gymnasium))
    assert player.steps() == 0
    policy = policy_for(make_envs("Pendulum-v1", 1), "tanh")
    player.play(policy, Piece(None, [1, 2]))
    assert player.steps() == STEPS, "two episodes side by side"


def test_without_ray_one_sentence_says_what_to_install(monkeypatch) -> None:
    from nf_policies.cluster.connection import connected

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(TaskError, match=r"^--ray needs Ray: pip install 'nf-policies\[ray\]'\.$"):
        connected("", None)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "There is no Ray cluster at 127.0.0.1:1 (Connection refused)"),
        ("here", "The address of a Ray cluster is HOST:PORT"),
    ],
)
def test_an_address_without_a_cluster_is_told_at_once(address, words) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    from nf_policies.cluster.connection import connected

    with pytest.raises(TaskError) as caught:
        connected(address, None)
    assert words in str(caught.value)


def test_the_problem_told_is_that_of_the_first_episode(tmp_path) -> None:
    """Not of the first in time, which depends on how many are played side by side."""
    import gymnasium as gym

    class Breaks(gym.Env):
        observation_space, action_space = spaces.Box(-1, 1, (2,), np.float64), spaces.Box(-1, 1, (1,), np.float64)

        def reset(self, *, seed=None, options=None):
            self.when, self.entry = (5, 0) if seed == 0 else (1, 1)
            return np.zeros(2), {}

        def step(self, action):
            self.when -= 1
            obs = np.zeros(2)
            obs[self.entry] = np.nan if self.when == 0 else 0
            return obs, 0.0, False, False, {}

    gym.register("test/Breaks-v0", Breaks, max_episode_steps=10)
    for lanes in (1, 2):
        envs = make_envs("test/Breaks-v0", lanes)
        _, played = evaluate(envs, policy_for(envs, "tanh"), None, [0, 1])
        assert "Entry 0" in str(played.problem) or "entry 0" in str(played.problem)
