"""Presets: known tasks by name, and no one else's; what is general follows from the facts of a task."""

import dataclasses
import math

import gymnasium as gym
import pytest

from nf_policies.commands.evolve import Evolve
from nf_policies.commands.task import facts_of
from nf_policies.commands.train import Train
from nf_policies.evolution.start import start_field
from nf_policies.runs.presets import PRESETS, Facts, general, preset_of

COMMANDS = {"evolve": Evolve, "train": Train}


@pytest.mark.parametrize(("command", "name"), [(c, name) for c in PRESETS for name in PRESETS[c]])
def test_every_setting_is_an_option_of_its_command(command, name) -> None:
    assert set(preset_of(command, f"{name}-v1")) <= {field.name for field in dataclasses.fields(COMMANDS[command])}


def test_a_task_without_velocities_has_a_preset_of_its_own_or_that_of_the_whole_task() -> None:
    hidden = preset_of("evolve", "MountainCarContinuous-v0", hide_velocity=True)
    assert hidden == preset_of("evolve", "nf_envs:nf/MountainCarContinuousNoVel-v0")
    assert hidden["target"] == 94.5
    assert preset_of("evolve", "MountainCarContinuous-v0")["target"] == 92.0
    assert preset_of("train", "CartPole-v1", hide_velocity=True) == preset_of("train", "CartPole")
    assert preset_of("train", "CartPole")["field"] == "neural", "an id needs no version"


def test_a_preset_is_not_that_of_somebody_elses_task_of_the_same_name() -> None:
    gym.register("CartPole-v77", "lab:CartPoleEnv")
    try:
        assert preset_of("evolve", "CartPole-v77") == preset_of("evolve", "")
    finally:
        del gym.registry["CartPole-v77"]


@pytest.mark.parametrize("env_id", ["lab:mylab/CartPole-v0", "mylab/CartPole-v1", "lab:CartPole-v1", "Unknown-v0"])
def test_somebody_elses_task_of_a_known_name_has_the_general_settings(env_id) -> None:
    assert preset_of("evolve", env_id) == preset_of("evolve", "")


def test_rewards_count_for_longer_where_episodes_are_longer() -> None:
    gammas = [general("train", Facts(steps=steps))["gamma"] for steps in (1, 50, 400, 1000, 10**6)]
    assert gammas == sorted(gammas)
    assert 0 < gammas[0] < gammas[2] < gammas[-1] < 1
    short, long = Train(env="Acrobot-v1", max_episode_steps=50), Train(env="Acrobot-v1")
    assert short.resolved().gamma < long.resolved().gamma, "the time limit is that of the run"


@pytest.mark.parametrize(("steps", "last"), [(10, 20), (50, 25), (1000, 500), (100_000, 1000)])
def test_the_horizon_grows_to_half_the_episode_or_five_times_the_first(steps, last) -> None:
    settings = general("train", Facts(steps=steps))
    assert settings["horizon_growth"] / (1 - settings["gamma"]) == pytest.approx(last)
    in_lanes = general("train", Facts(steps=steps, lanes=True, budget=10**7))
    assert in_lanes["horizon_growth"] == settings["horizon_growth"]
    assert general("train", Facts(steps=steps, batched=True))["horizon_growth"] == 1


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "MountainCarContinuous-v0"])
def test_tuned_tasks_keep_the_horizon_that_they_were_tuned_with(env_id) -> None:
    assert Train(env=env_id).resolved().horizon_growth == 1


def test_a_discount_that_is_given_holds_throughout() -> None:
    assert Train(env="Acrobot-v1").resolved().horizon_growth == 5
    given = Train(env="Acrobot-v1", gamma=0.95).resolved()
    assert (given.gamma, given.horizon_growth) == (0.95, 1)
    both = Train(env="Acrobot-v1", gamma=0.95, horizon_growth=2.0).resolved()
    assert (both.gamma, both.horizon_growth) == (0.95, 2)


@pytest.mark.parametrize("command", ["train", "evolve"])
@pytest.mark.parametrize("n_outputs", [1, 6, 17])
def test_a_general_field_has_at_most_2000_parameters_wherever_a_small_one_has(command, n_outputs) -> None:
    sizes = []
    for n_inputs in (1, 4, 17, 105, 376, 2000):
        settings = general(command, Facts(n_inputs, n_outputs))
        assert settings["field"] == "simple"
        options = settings["field_option"]
        field = start_field("simple", n_inputs, n_outputs, settings["hidden_size"], **options)
        smallest = start_field("simple", n_inputs, n_outputs, max(n_outputs, 8), **options)
        few = [sum(parameter.numel() for parameter in one.parameters()) for one in (field, smallest)]
        assert few[0] <= max(2000, few[1])
        sizes.append(settings["hidden_size"])
    assert sizes == sorted(sizes, reverse=True), "more to see, no more neurons"


@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize("batched", [False, True])
def test_an_update_is_cut_into_whole_minibatches_of_whole_sequences(batched, discrete) -> None:
    settings = general("train", Facts(discrete=discrete, batched=batched))
    n_steps, batch_size, seq_len = (settings[name] for name in ("n_steps", "batch_size", "seq_len"))
    assert settings["num_envs"] * n_steps % batch_size == 0
    assert n_steps % seq_len == batch_size % seq_len == 0


def test_a_task_in_batches_is_played_in_more_environments() -> None:
    for env_id, more in (("nf/Pendulum-v1", True), ("Acrobot-v1", False)):
        found = preset_of("train", "", facts_of(Train(env=env_id)))["num_envs"]
        assert (found > general("train", Facts())["num_envs"]) == more


def test_a_training_in_batches_keeps_a_hundred_updates_whatever_its_budget() -> None:
    sizes = []
    for budget in (100, 1_000_000, 3_000_000, 4_000_000, 20_000_000, math.inf):
        settings = general("train", Facts(batched=True, budget=budget))
        rollout = settings["num_envs"] * settings["n_steps"]
        assert rollout == 8 * settings["batch_size"]
        assert budget < 1_000_000 or budget / rollout >= 100
        sizes.append(settings["num_envs"])
    assert sizes == sorted(sizes)
    assert sizes[0] == 64
    assert sizes[-1] == 512


def test_a_simulators_lanes_are_more_where_the_budget_leaves_them_a_hundred_updates() -> None:
    few, many = (general("train", Facts(lanes=True, budget=budget)) for budget in (300_000, 1_000_000))
    assert few == general("train", Facts(budget=300_000))
    assert 64 == many["num_envs"] > few["num_envs"]
    assert (few["log_std_init"], many["log_std_init"]) == (0, -0.5)


@pytest.mark.parametrize(
    ("options", "environments"),
    [({}, 512), ({"minutes": 1.0}, 512), ({"steps": 900_000}, 64), ({"steps": 900_000, "minutes": 9.0}, 64)],
)
def test_the_budget_is_that_of_the_options(options, environments) -> None:
    assert Train(env="nf/FurutaSwingUp-v0", **options).resolved().num_envs == environments


def test_the_budget_is_the_presets_where_no_other_is_given() -> None:
    assert Train(env="nf/CartPoleNoVel-v1").resolved().num_envs == 64, "100,000 steps"
    large = Train(env="nf/CartPoleNoVel-v1", minutes=1.0).resolved()
    assert (large.num_envs, large.batch_size, large.hidden_size) == (512, 4096, 16), "the preset's field alone"


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (Train(env="CartPole-v1"), Facts(4, 1, 500, discrete=True)),
        (Evolve(env="CartPole-v1", hide_velocity=True), Facts(2, 1, 500, discrete=True, batched=True, changes=True)),
        (Evolve(env="CartPole-v1", backend="gymnasium"), Facts(4, 1, 500, discrete=True)),
        (Evolve(env="CartPole-v1", workers=2), Facts(4, 1, 500, discrete=True)),
        (Train(env="nf/CartPole-v1", hide=(0,), max_episode_steps=20), Facts(3, 1, 20, discrete=True, batched=True)),
        (Evolve(env="test/Move-v0"), Facts(2, 2, 10, changes=True)),
    ],
)
def test_facts_are_what_is_seen_acted_and_played(options, facts) -> None:
    assert facts_of(options) == facts
