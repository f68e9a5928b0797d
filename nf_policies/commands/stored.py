"""Options read back from JSON: those of a run that continues, and the settings in the file of `--preset`."""

import json
import math
import types
import typing
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, Union

from nf_policies.runs.directory import CONFIG, RunError, read_config
from nf_policies.runs.presets import BUDGET, PRESETS, setting_names

CALL = ("json", "resume", "out", "ray")
"""Options that say how a command is called, not what its run is."""
INTEGER_MAX = 2**53
"""Of an option that is an integer: larger ones are no floats."""
NAMED = ("field_option", "scale")
"""Settings that are a dictionary in files, and NAME=VALUE words on the command line."""


def continued(options: Any) -> Any:
    """The options with which the run `options.resume` began, except those that may change and are given anew.

    Raises: RunError if that is no run of this command, or an option is given that cannot change.
    """
    stored = read_config(options.resume)
    if (command := stored.pop("command", None)) != options.command:
        raise RunError(f"{options.resume} is not a run of nf-policies {options.command}, but of {command!s:.40}.")
    from nf_policies.runs.checkpoint import agreed_config

    stored = agreed_config(options.resume, stored, options.changeable)
    stored = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
    hints = typing.get_type_hints(type(options))
    for name, value in stored.items():
        if name in CALL or name not in hints or not fits(value, hints[name]):
            raise RunError(f"{options.resume / CONFIG} cannot be continued: {name:.40} is {value!r:.80}.")
    given = {name: value for name, value in vars(options).items() if value != getattr(type(options), name)}
    changed = [name for name in given if name not in options.changeable and given[name] != stored.get(name)]
    if changed:
        names = ", ".join("--" + name.replace("_", "-") for name in changed)
        raise RunError(f"A run continues with the options it began with: {names} cannot change.")
    if is_limited(options):
        stored = without_budget(stored)
    return type(options)(**{**stored, **given})


def is_limited(options: Any) -> bool:
    """Whether an option is given that ends the run."""
    return any(getattr(options, name, None) is not None for name in BUDGET)


def without_budget(values: dict[str, Any]) -> dict[str, Any]:
    """Values of options that end no run: a budget that is given replaces another one whole, and its patience."""
    return values | dict.fromkeys({*BUDGET, "patience"} & values.keys())


def check_numbers(options: Any) -> None:
    """Refuse, with a RunError, numbers that no run can have."""
    for name, value in vars(options).items():
        if demand := demand_of(name, value, options.positive):
            raise RunError(f"--{name.replace('_', '-')} must be {demand}, not {value!s:.40}.")


def demand_of(name: str, value: Any, positive: Collection[str]) -> str:
    """What the number of an option must be, in words, where it is not; else nothing. Those in `positive` are 1 up."""
    if value is None:
        return ""
    if value != value:
        return "a number"
    if value in (math.inf, -math.inf):
        return "finite"  # JSON has no other, so that the run could not be continued
    if isinstance(value, int) and abs(value) > INTEGER_MAX:
        return f"at most {INTEGER_MAX:,} in size"
    if name in positive and value < 1:
        return "at least 1"
    if name in ("seed", "workers", "evaluation_share", "evaluation_envs") and value < 0:
        return "0 or more"
    if name in ("minutes", "step_timeout") and not value > 0:
        return "above 0"
    return "above 0 and at most 1" if name == "patience" and not 0 < value <= 1 else ""


def read_preset(path: Path, options: type[Any]) -> dict[str, Any]:
    """The settings of a command in a file that `nf-policies tune` or `nf-policies presets --json` wrote.

    Args:
        path: JSON: {"env_id": …, "train": {setting: value, …}, "evolve": {…}, "about": …}, one learner or both.
        options: The class of the command's options.
    Raises: RunError naming the file, and what in it does not fit.
    """
    command = options.command
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"The preset {path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"The preset {path} is not JSON: {error}.") from error
    if not isinstance(found, dict) or not any(isinstance(found.get(name), dict) for name in PRESETS):
        raise RunError(f"{path} is not a preset: nf-policies presets ID --json prints one to start from.")
    if not isinstance(settings := found.get(command), dict):
        others = ", ".join(name for name in PRESETS if name in found)
        raise RunError(f"{path} holds settings of {others}, not of {command}.")
    hints, names = typing.get_type_hints(options), setting_names(command)
    for name, value in settings.items():
        if name not in names:
            raise RunError(f"{path}: {name[:40]!r} is not a setting of {command}, which are {', '.join(names)}.")
        known = isinstance(value, dict) if name in NAMED else fits(value, hints[name])
        if not known or demand_of(name, value, options.positive):
            raise RunError(f"{path}: {name} cannot be {value!r:.80}.")
    return settings


def fits(value: Any, hint: Any) -> bool:
    """Whether a value read from JSON is of an option's type."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is tuple:
        return isinstance(value, tuple) and all(fits(entry, parts[0]) for entry in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint
