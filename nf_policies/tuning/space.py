"""What is searched: settings of a learner, the values they may take, and how a proposal becomes valid settings.

A proposal is made of the names in `SPACES`. Some are settings themselves; the others say the same in a way in which
every combination is valid: a discount is a horizon in steps, a batch a share of what an update plays.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Settings = dict[str, Any]
"""In the format of a preset: {"field_option": {…}, "hidden_size": …, …}."""
Proposal = dict[str, Any]


class Suggests(Protocol):
    """A trial of Optuna."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...  # noqa: D102
    def suggest_categorical(self, name: str, choices: Any) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class Range:
    """Numbers between two bounds, evenly by their logarithm if `log`; wider where the start lies outside."""

    low: float
    high: float
    log: bool = False

    def suggest(self, trial: Suggests, name: str, start: Any) -> float:
        """A trial's value; `start` is that of the settings to begin with."""
        return trial.suggest_float(name, min(self.low, start), max(self.high, start), log=self.log)


@dataclass(frozen=True)
class Choice:
    """One of some values, or that of the start."""

    values: tuple[Any, ...]

    def suggest(self, trial: Suggests, name: str, start: Any) -> Any:
        """As that of a `Range`."""
        return trial.suggest_categorical(name, self.values if start in self.values else (*self.values, start))


Space = Mapping[str, Range | Choice]
YES_OR_NO = Choice((False, True))
FACTORS = Choice((0.25, 0.5, 1.0, 2.0, 4.0))

SPACES: dict[str, Space] = {
    "train": {
        "field": Choice(("neural", "simple")),
        "hidden_size": Choice((8, 16, 24, 32, 48, 64)),
        "times_num_envs": FACTORS,
        "times_n_steps": FACTORS,
        "minibatches": Choice((2, 4, 8, 16)),
        "n_epochs": Choice((3, 5, 10, 20)),
        "learning_rate": Range(3e-4, 1e-2, log=True),
        "horizon": Range(5, 1000, log=True),
        "gae_lambda": Range(0.8, 1.0),
        "ent_coef": Choice((0.0, 1e-4, 1e-3, 1e-2)),
        "normalize_rewards": YES_OR_NO,
        "use_sde": YES_OR_NO,
        "log_std_init": Range(-2.0, 0.5),
    },
    "evolve": {
        "hidden_size": Choice((None, 1, 2, 4, 8)),
        "times_population": FACTORS,
        "episodes": Choice((1, 2, 4, 8, 16)),
        "times_episodes_max": Choice((1, 4)),
        "sigma": Range(0.1, 3.0, log=True),
        "tau_init": Range(1.0, 20.0, log=True),
        "self_excitation": Range(0.0, 1.5),
        "output_weight": Choice((0.0, 1.0)),
        "normalise": YES_OR_NO,
        "restarts": Choice(("none", "grow", "ipop", "bipop")),
        "restart_after": Choice((None, 30, 100)),
    },
}
"""By command. `times_X` multiplies the start's X. `minibatches` per update set the batch size, and `horizon` =
1 / (1 - gamma). `tau_init` is an option of the field."""
OF_BOXES = {"use_sde", "log_std_init"}
"""What only the actions of a Box have."""
LEAST_SEQUENCE = 16
"""Steps through which gradients flow at least, or as many as an update plays in each environment."""


def space_of(command: str, *, discrete: bool, only: tuple[str, ...] = ()) -> Space:
    """What is searched for a learner, with discrete actions or not.

    Raises: ValueError if one of `only`, to which the search is limited, is not in it.
    """
    space = {name: values for name, values in SPACES[command].items() if not (discrete and name in OF_BOXES)}
    if unknown := [name for name in only if name not in space]:
        raise ValueError(f"{unknown[0]!r} is not searched with {command} on this task: {', '.join(space)} are.")
    return {name: values for name, values in space.items() if name in only or not only}


def start_of(space: Space, start: Settings) -> Proposal:
    """The proposal that stands for the settings to begin with."""
    known = {name: start[name] for name in space if name in start}
    if "horizon" in space:
        known["horizon"] = 1 / (1 - min(start["gamma"], 0.9999))
    if "minibatches" in space:
        known["minibatches"] = start["num_envs"] * start["n_steps"] / start["batch_size"]
    if "tau_init" in space:
        known["tau_init"] = start["field_option"]["tau_init"]
    if "times_episodes_max" in space:
        known["times_episodes_max"] = max(1, start["episodes_max"] / start["episodes"])
    return {name: known.get(name, 1.0) for name in space}


def propose(trial: Suggests, space: Space, start: Settings) -> Proposal:
    """What a trial tries, around the settings to begin with."""
    first = start_of(space, start)
    return {name: values.suggest(trial, name, first[name]) for name, values in space.items()}


def settings_of(proposal: Proposal, start: Settings) -> Settings:
    """The settings that a proposal stands for: those of the start, with what it changes."""
    if proposal == start_of(dict.fromkeys(proposal), start):  # type: ignore[arg-type]  # only the names matter
        return start
    settings = start | {name: value for name, value in proposal.items() if name in start}
    for name in ("num_envs", "n_steps", "population"):
        if f"times_{name}" in proposal:
            settings[name] = max(round(start[name] * proposal[f"times_{name}"]), 4 if name == "population" else 1)
    if "horizon" in proposal:
        settings["gamma"] = 1 - 1 / proposal["horizon"]
    if "tau_init" in proposal:
        settings["field_option"] = {**start["field_option"], "tau_init": proposal["tau_init"]}
    if settings.get("field") == "simple":
        settings["field_option"] = {"dynamics": "linear", **settings["field_option"]}
    else:
        settings["field_option"] = {n: v for n, v in settings["field_option"].items() if n != "dynamics"}
    if "episodes" in start:
        growth = proposal.get("times_episodes_max", max(1, start["episodes_max"] / start["episodes"]))
        settings["episodes_max"] = round(settings["episodes"] * growth)
    if "batch_size" in start:
        played = settings["num_envs"] * settings["n_steps"]
        minibatches = proposal.get("minibatches", start["num_envs"] * start["n_steps"] / start["batch_size"])
        settings["batch_size"] = batch_size(played, settings["n_steps"], played / minibatches)
        settings["seq_len"] = None
    return settings


def batch_size(played: int, n_steps: int, wanted: float) -> int:
    """The size nearest to the wanted one that divides what an update plays, and holds sequences that are not short.

    Args:
        played: Steps of an update, of all environments.
        n_steps: Of one environment.
        wanted: Steps in a minibatch, at least about.
    """
    least = min(LEAST_SEQUENCE, n_steps)
    small = (divisor for divisor in range(1, math.isqrt(played) + 1) if played % divisor == 0)
    divisors = {size for divisor in small for size in (divisor, played // divisor)}
    fitting = (size for size in divisors if math.gcd(size, n_steps) >= least)
    return min(fitting, key=lambda size: (abs(math.log(size / wanted)), size))
