"""Continue a command's run with the options it began with."""

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from nf_policies.runs.directory import CONFIG, RunError, read_config


class Resumable(Protocol):
    """The options of a command, a dataclass whose defaults are all given."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    resume: Path | None


NOT_STORED = ("json", "resume", "out")
"""Options that say how a command is called and not what its run is."""

Options = TypeVar("Options", bound=Resumable)


def given(options: Resumable) -> dict[str, Any]:
    """The options that are not the defaults."""
    defaults = type(options)()
    values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    return {name: value for name, value in values.items() if value != getattr(defaults, name)}


def configuration(options: Resumable) -> dict[str, Any]:
    """What a run's folder keeps of the options."""
    values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    return {name: value for name, value in values.items() if name not in NOT_STORED}


def continued(options: Options, changeable: Collection[str], what: str) -> Options:
    """The options with which a run began, with those that may change where they are given anew.

    Args:
        options: As given, with `resume` set to the run's folder.
        changeable: Names of options that a resumed run may have anew.
        what: What such a run is, "an evolution", for the message.
    Raises: RunError if there is no such run there, or another option was given too.
    """
    assert options.resume is not None
    stored = read_config(options.resume)
    unknown = set(stored) - {f.name for f in dataclasses.fields(options)}
    if unknown:
        raise RunError(f"{options.resume / CONFIG} is not of {what}: it has {', '.join(sorted(unknown))}.")
    stored = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
    new = given(options)
    changed = [name for name, value in new.items() if name not in changeable and value != stored.get(name)]
    if changed:
        raise RunError(
            "A run continues with the options it began with: "
            f"{', '.join('--' + name.replace('_', '-') for name in changed)} cannot change."
        )
    return type(options)(**{**stored, **new})
