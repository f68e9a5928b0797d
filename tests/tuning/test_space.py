"""What is searched: every proposal stands for valid settings, and one for the settings to begin with."""

import math
import random

import pytest

from nf_policies.runs.presets import PRESETS, preset_of
from nf_policies.tuning.space import SPACES, Choice, Range, batch_size, propose, settings_of, space_of, start_of


class Dice:
    """Suggests as Optuna does, at random."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        assert low < high
        return math.exp(self.random.uniform(math.log(low), math.log(high))) if log else self.random.uniform(low, high)

    def suggest_categorical(self, name: str, choices: tuple) -> object:
        return self.random.choice(choices)


STARTS = [(command, task) for command in SPACES for task in ("", *PRESETS[command])]


@pytest.mark.parametrize(("command", "task"), STARTS)
def test_one_proposal_stands_for_the_settings_to_begin_with(command, task) -> None:
    start, space = preset_of(command, f"{task}-v1"), space_of(command, discrete=False)
    first = start_of(space, start)
    assert settings_of(first, start) == start
    assert set(first) == set(space)


@pytest.mark.parametrize("task", ["", *PRESETS["train"]])
def test_every_proposal_for_train_divides_what_an_update_plays(task) -> None:
    start, space = preset_of("train", f"{task}-v1"), space_of("train", discrete=False)
    for seed in range(200):
        settings = settings_of(propose(Dice(seed), space, start), start)
        played = settings["n_steps"] * settings["num_envs"]
        assert played % settings["batch_size"] == 0
        assert math.gcd(settings["n_steps"], settings["batch_size"]) >= min(16, settings["n_steps"])
        assert 0 < settings["gamma"] < 1
        assert ("dynamics" in settings["field_option"]) == (settings["field"] == "simple")
        assert set(settings) == set(start)


@pytest.mark.parametrize("task", ["", *PRESETS["evolve"]])
def test_every_proposal_for_evolve_has_room_for_its_episodes(task) -> None:
    start, space = preset_of("evolve", f"{task}-v1"), space_of("evolve", discrete=True)
    for seed in range(100):
        settings = settings_of(propose(Dice(seed), space, start), start)
        assert settings["population"] >= 4
        assert settings["episodes_max"] >= settings["episodes"] >= 1
        assert set(settings) == set(start)


@pytest.mark.parametrize(
    ("played", "n_steps", "wanted", "size"),
    [
        (1024, 128, 256, 256),
        (500, 125, 62.5, 50),  # 62.5 is no number of steps; 125 is further away
        (1000, 125, 3, 25),  # a shorter sequence would be too short
        (40, 10, 1, 10),  # no sequence is longer than what an environment plays
    ],
)
def test_the_size_of_a_minibatch_is_the_nearest_that_fits(played, n_steps, wanted, size) -> None:
    assert batch_size(played, n_steps, wanted) == size


def test_values_include_that_of_the_start() -> None:
    assert Range(0.1, 1).suggest(Dice(0), "x", 1e6) > 1
    assert {Choice((1, 2)).suggest(Dice(seed), "x", 5) for seed in range(50)} == {1, 2, 5}


def test_discrete_actions_have_no_noise_to_set_and_an_unknown_name_is_refused() -> None:
    assert "use_sde" in space_of("train", discrete=False)
    assert "use_sde" not in space_of("train", discrete=True)
    assert list(space_of("train", discrete=True, only=("horizon",))) == ["horizon"]
    with pytest.raises(ValueError, match="'gamma' is not searched with train on this task: field, hidden_size"):
        space_of("train", discrete=True, only=("gamma",))
