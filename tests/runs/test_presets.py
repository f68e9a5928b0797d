"""Presets: known tasks by name, and no one else's."""

import dataclasses

import pytest

from nf_policies.commands.evolve import Evolve
from nf_policies.commands.train import Train
from nf_policies.runs.presets import PRESETS, preset_of

COMMANDS = {"evolve": Evolve, "train": Train}


@pytest.mark.parametrize(("command", "name"), [(c, name) for c in PRESETS for name in PRESETS[c]])
def test_every_setting_is_an_option_of_its_command(command, name) -> None:
    assert set(preset_of(command, f"{name}-v1")) <= {field.name for field in dataclasses.fields(COMMANDS[command])}


def test_a_task_without_velocities_has_a_preset_of_its_own_or_that_of_the_whole_task() -> None:
    hidden = preset_of("evolve", "Pendulum-v1", hide_velocity=True)
    assert hidden == preset_of("evolve", "nf_envs:nf/PendulumNoVel-v1")
    assert hidden["episodes"] == 32
    assert preset_of("evolve", "Pendulum-v1")["episodes"] == 8
    assert preset_of("train", "CartPole-v1", hide_velocity=True) == preset_of("train", "CartPole")
    assert preset_of("train", "CartPole")["n_steps"] == 125, "an id needs no version"


@pytest.mark.parametrize("env_id", ["lab:mylab/CartPole-v0", "mylab/CartPole-v1", "lab:CartPole-v1", "Unknown-v0"])
def test_somebody_elses_task_of_a_known_name_has_the_general_settings(env_id) -> None:
    assert preset_of("evolve", env_id) == preset_of("evolve", "")
