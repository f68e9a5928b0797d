"""Settings per task: option values that a command uses where nothing else is given. Every one is an option.

Those of evolve without velocities were chosen on grids (CartPole, MountainCarContinuous) or on a simulation of the
poles outside this repository, on few seeds, and measured on others (docs/evolution.md); `nf-policies tune` finds such.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

Preset = Mapping[str, Any]
BUDGET = ("generations", "steps", "minutes")
"""Settings that end a run."""

FEW = 64
"""Environments side by side, with more of which minibatches are large, whatever a preset says."""

STILL = {"resting_level": 0.01, "activation_scale": 0.01}
"""Scales that leave a resting level and a steepness nearly where they are: symmetric tasks do not need them."""


@dataclass(frozen=True)
class Facts:
    """What the general settings of a task follow from.

    Attributes:
        n_inputs: Features that the policy sees.
        n_outputs: Outputs of a field that the actions need.
        steps: Time limit of an episode.
        discrete: Whether every action is a choice, none a number.
        batched: Whether the task is played in batches, so that more environments cost little.
        lanes: Whether a simulator steps many environments at once, which cost less than one by one.
        workers: Processes that the task is worth, because a step takes long; else 0.
        budget: Steps of the whole run; infinite where time ends it, None where its preset decides.
        changes: Whether a field should feel how its inputs change: they are numbers, and velocities are not among them.
    """

    n_inputs: int = 4
    n_outputs: int = 1
    steps: int = 1000
    discrete: bool = False
    batched: bool = False
    lanes: bool = False
    workers: int = 0
    budget: float | None = None
    changes: bool = False


def general(command: str, facts: Facts) -> dict[str, Any]:
    """The settings for a task without a preset, of which only its facts are known."""
    return {"train": _train, "evolve": _evolve}[command](facts)


def _train(facts: Facts) -> dict[str, Any]:
    """Of PPO: a minibatch holds many short sequences, rewards count up to a horizon that grows to half an episode.

    A pass changes a policy that chooses half as much as one whose actions are numbers: its minibatches are smaller, and
    a little entropy keeps choices open as long as no reward tells them apart. In many of a simulator's lanes the first
    noise is less, which 8 environments do not always bear (docs/training.md).
    """
    of_choices = {"batch_size": 128, "seq_len": 16, "ent_coef": 0.002} if facts.discrete and not facts.batched else {}
    many, horizon = _side_by_side(facts, facts.budget or math.inf), horizon_of(facts)
    return {
        "field": "simple", "hidden_size": _neurons(facts),
        "field_option": {"dynamics": "linear", "changes": facts.changes},
        "num_envs": 8, "n_steps": 256, "batch_size": 512, "seq_len": 32, "n_epochs": 10, "learning_rate": 1e-3,
        "gamma": 1 - 1 / horizon, "horizon_growth": 1.0 if facts.batched else min(max(facts.steps / horizon / 2, 1), 5),
        "gae_lambda": 0.95, "ent_coef": 0.0, "log_std_init": -0.5 if many and not facts.batched else 0.0,
        "use_sde": False, "sde_sample_freq": -1,
        "normalize_rewards": True, "privileged_critic": True, "evaluation_share": 0.1,
        "workers": facts.workers and 8, "minutes": 10.0, "patience": 0.5,
    } | of_choices | many  # fmt: skip


def _side_by_side(facts: Facts, budget: float) -> dict[str, Any]:
    """Sizes where more environments cost little: the larger, the more steps leave a hundred updates in the budget."""
    if facts.batched and budget >= 100 * 512 * 64:
        return {"num_envs": 512, "n_steps": 64, "batch_size": 4096, "seq_len": 64, "n_epochs": 5, "learning_rate": 3e-3}
    if facts.batched or (facts.lanes and budget >= 100 * FEW * 128):
        return {"num_envs": FEW, "n_steps": 128, "batch_size": 1024}
    return {}


def horizon_of(facts: Facts) -> float:
    """Steps that a learner looks ahead at first: a tenth of an episode, 20 to 200."""
    return min(max(facts.steps / 10, 20), 200)


def _neurons(facts: Facts) -> int:
    """Neurons of a simple field for PPO: at most 32, and few enough for 2,000 parameters if 8 can be."""
    sizes = range(32, 8, -4)
    n_inputs = 2 * facts.n_inputs if facts.changes else facts.n_inputs
    return next((n for n in sizes if n * (n_inputs + n + 4 + facts.n_outputs) <= 2000), 8)


def _evolve(facts: Facts) -> dict[str, Any]:
    """Of CMA-ES: few and fast neurons, few and short episodes at first, and larger searches after one at rest.

    Many candidates on few episodes average out chance as few on many do, and learn more: their number grows first.
    """
    many = {"hidden_size": max(facts.n_outputs, 4), "population": 64, "episodes": 8, "episodes_max": 16}
    return {
        "field": "simple", "hidden_size": max(facts.n_outputs, 2), "self_excitation": 0.0, "output_weight": 1.0,
        "scale": {}, "field_option": {
            "dynamics": "linear", "activation": "tanh", "tau_init": 1.5, "tau_min": 1.0, "changes": facts.changes,
        },
        "population": 16, "population_max": 64, "episodes": 1, "episodes_max": 4,
        "horizon": round(horizon_of(facts)), "sigma": 1.0, "sigma_min": 0.0, "restart_after": None,
        "restarts": "grow", "normalise": True, "workers": facts.workers, "minutes": 10.0, "patience": 0.5,
    } | (many if facts.batched else {})  # fmt: skip


# fmt: off
SMALL: Preset = {"field": "neural", "hidden_size": 16, "learning_rate": 3e-3, "horizon_growth": 1.0}
"""A field of about a hundred parameters, which can learn faster than larger ones."""

SEARCH: Preset = {
    "population": 16, "population_max": 16, "episodes": 8, "episodes_max": 32, "horizon": None, "restarts": "none",
    "hidden_size": None, "self_excitation": 1.0, "output_weight": 0.0,
    "field_option": {"tau_init": 5.0, "tau_min": 1e-5},
}
"""One search from slow neurons that excite themselves."""

POLES: Preset = {
    "population": 10, "population_max": 10, "episodes": 1, "episodes_max": 1, "horizon": None, "sigma_min": 1 / 6,
    "restart_after": 60, "restarts": "none", "normalise": False, "hidden_size": 1, "self_excitation": 0.0,
    "output_weight": 0.0, "field_option": {"tau_init": 1.5, "tau_min": 1.0},
    "scale": {"input_embedding": 10.4, "log_tau": 3.0, **STILL},  # small angles need large weights
    "steps": 20_000_000,
}

PRESETS: dict[str, dict[str, Preset]] = {
    "evolve": {
        "CartPole": {**SEARCH, "episodes": 4, "scale": STILL, "target": 498.0, "steps": 3_000_000},
        "DoublePoleDamping": POLES,
        "DoublePole": {**POLES, "scale": {**POLES["scale"], "input_embedding": 7.3}},
        "MountainCarContinuous": {**SEARCH, "target": 92.0, "steps": 3_000_000},
        "MountainCarContinuousNoVel": {
            **SEARCH, "restart_after": 60, "normalise": False, "hidden_size": 1, "target": 94.5, "steps": 100_000_000,
        },
    },
    "train": {
        "CartPole": {**SMALL, "batch_size": 512, "seq_len": 32, "ent_coef": 0.0, "steps": 100_000},
        "Pendulum": {
            "gamma": 0.93, "horizon_growth": 1.0, "learning_rate": 3e-3, "use_sde": True, "sde_sample_freq": 16,
            "steps": 100_000,
        },
        "MountainCarContinuous": {**SMALL, "use_sde": True, "steps": 300_000},
    },
}
# fmt: on
"""By command and by the name in the task's id; "NoVel" at its end where velocities are hidden."""


def setting_names(command: str) -> tuple[str, ...]:
    """The options of a command that presets set."""
    return tuple(dict.fromkeys((*general(command, Facts()), "target", "steps", "minutes", "patience")))


def own_preset(command: str, env_id: str, *, hide_velocity: bool = False) -> Preset:
    """What is known about a task of Gymnasium or nf_envs, perhaps with other observations; empty if nothing is."""
    module, _, id_of_task = env_id.rpartition(":")
    namespace, _, versioned = id_of_task.rpartition("/")
    ours = (module, namespace) in {("", ""), ("", "nf"), ("nf_envs", "nf")}
    name = re.sub(r"-v\d+$", "", versioned) if ours and not _is_somebody_elses(id_of_task) else ""
    bare, table = name.removesuffix("NoVel"), PRESETS[command]
    return table.get(f"{bare}NoVel" if hide_velocity or name != bare else bare) or table.get(bare) or {}


def _is_somebody_elses(env_id: str) -> bool:
    """Whether a registered task is neither Gymnasium's nor of nf_envs."""
    from gymnasium.envs.registration import registry

    spec = registry.get(env_id)
    made_by = spec and (spec.entry_point or spec.vector_entry_point)
    home = made_by if made_by is None or isinstance(made_by, str) else made_by.__module__
    return home is not None and not home.startswith(("gymnasium.", "nf_envs."))


def preset_of(command: str, env_id: str, facts: Facts = Facts(), *, hide_velocity: bool = False) -> dict[str, Any]:
    """The settings for a task: the general ones of its facts, and over them its own, found without changes."""
    if own := own_preset(command, env_id, hide_velocity=hide_velocity):
        facts = replace(facts, changes=False)
    rest = general(command, facts if facts.budget else replace(facts, budget=own.get("steps")))
    if "steps" in own:
        rest |= {"minutes": None, "patience": None}
    if rest.get("num_envs", 0) > FEW:
        own = {name: value for name, value in own.items() if name not in ("batch_size", "seq_len")}
    return {**rest, **own, "field_option": {**rest["field_option"], **own.get("field_option", {})}}
