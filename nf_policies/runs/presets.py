"""Settings per task: option values that a command uses where nothing else is given. Every one is an option.

Those of evolve without velocities were chosen by searching grids (CartPole, Pendulum, MountainCarContinuous) or on a
simulation of the poles outside this repository, on few seeds, and then measured on others (docs/evolution.md). Those of
Pendulum and MountainCarContinuous with velocities are a target and a budget. `nf-policies tune` finds such settings.
"""

import re
from collections.abc import Mapping
from typing import Any

Preset = Mapping[str, Any]

STILL = {"resting_level": 0.01, "activation_scale": 0.01}
"""Scales that leave a resting level and a steepness nearly where they are: symmetric tasks do not need them."""

# fmt: off
GENERAL: dict[str, Preset] = {
    "evolve": {
        "field": "simple", "hidden_size": None, "self_excitation": 1.0, "scale": {},
        "field_option": {"dynamics": "linear", "activation": "tanh", "tau_init": 5.0, "tau_min": 1e-5},
        "population": 16, "episodes": 8, "episodes_max": 32, "sigma": 1.0, "sigma_min": 0.0, "restart_after": None,
        "restarts": "none", "normalise": True, "target": None, "steps": 1_000_000,
    },
    "train": {
        "field": "neural", "hidden_size": 16, "field_option": {"dynamics": "linear"},
        "num_envs": 8, "n_steps": 128, "batch_size": 256, "seq_len": None, "n_epochs": 20, "learning_rate": 3e-3,
        "gamma": 0.98, "gae_lambda": 0.8, "ent_coef": 0.0, "normalize_rewards": False,
        "use_sde": False, "sde_sample_freq": -1, "log_std_init": 0.0, "steps": 200_000,
    },
}
"""For tasks that are not known, and where a task's own preset says nothing."""

POLES: Preset = {
    "population": 10, "episodes": 1, "episodes_max": 1, "sigma_min": 1 / 6, "restart_after": 60, "normalise": False,
    "hidden_size": 1, "self_excitation": 0.0, "field_option": {"tau_init": 1.5, "tau_min": 1.0},
    "scale": {"input_embedding": 10.4, "log_tau": 3.0, **STILL},  # small angles need large weights
    "steps": 20_000_000,
}

PRESETS: dict[str, dict[str, Preset]] = {
    "evolve": {
        "CartPole": {"episodes": 4, "scale": STILL, "target": 498.0, "steps": 3_000_000},
        "DoublePoleDampingNoVel": POLES,
        "DoublePole": {**POLES, "scale": {**POLES["scale"], "input_embedding": 7.3}},
        "MountainCarContinuous": {"target": 92.0, "steps": 3_000_000},
        "MountainCarContinuousNoVel": {
            "restart_after": 60, "normalise": False, "hidden_size": 1, "target": 94.5, "steps": 100_000_000,
        },
        "PendulumNoVel": {
            "population": 32, "episodes": 32, "sigma": 0.2, "restart_after": 200, "normalise": False,
            "hidden_size": 2, "self_excitation": 0.0, "field_option": {"tau_init": 1.2, "tau_min": 1.0},
            # The torque is the small difference of large numbers: a slope of the angle's sine.
            "scale": {"output_embedding": 100, **STILL},
            "target": -170.0, "steps": 1_000_000_000,
        },
        "Pendulum": {"target": -208.0, "steps": 5_000_000},
    },
    "train": {
        "CartPole": {"n_steps": 125, "batch_size": 250, "n_epochs": 10, "gae_lambda": 0.95, "steps": 100_000},
        "Pendulum": {
            "field": "simple", "hidden_size": 24, "n_steps": 500, "batch_size": 250, "seq_len": 25, "n_epochs": 15,
            "gamma": 0.9, "gae_lambda": 0.95, "normalize_rewards": True, "use_sde": True, "sde_sample_freq": 16,
            "steps": 100_000,
        },
        "MountainCarContinuous": {
            "n_steps": 125, "batch_size": 500, "n_epochs": 10, "gamma": 0.99, "gae_lambda": 0.95,
            "normalize_rewards": True, "use_sde": True, "steps": 300_000,
        },
    },
}
# fmt: on
"""By command and by the name in the task's id; "NoVel" at its end where velocities are hidden."""


def setting_names(command: str) -> tuple[str, ...]:
    """The options of a command that presets set."""
    return tuple(GENERAL[command])


def own_preset(command: str, env_id: str, *, hide_velocity: bool = False) -> Preset:
    """What is known about a task of Gymnasium or nf_envs, perhaps with other observations; empty if nothing is."""
    module, _, id_of_task = env_id.rpartition(":")
    namespace, _, versioned = id_of_task.rpartition("/")
    ours = (module, namespace) in {("", ""), ("", "nf"), ("nf_envs", "nf")}
    name = re.sub(r"-v\d+$", "", versioned) if ours else ""
    bare, table = name.removesuffix("NoVel"), PRESETS[command]
    return table.get(f"{bare}NoVel" if hide_velocity or name != bare else bare) or table.get(bare) or {}


def preset_of(command: str, env_id: str, *, hide_velocity: bool = False) -> dict[str, Any]:
    """The settings for a task: its own, those with other observations, or the general ones."""
    own, general = own_preset(command, env_id, hide_velocity=hide_velocity), GENERAL[command]
    return {**general, **own, "field_option": {**general["field_option"], **own.get("field_option", {})}}
