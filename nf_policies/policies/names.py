"""Names, units and bounds of each entry of an observation or an action."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium import Space, spaces

from nf_policies.policies.spaces import parts_of

FORM = re.compile(r"(.+?)(?: \[([^]]*)\])?")
"""A name, and its unit if it is known: "angle [rad]"."""


class Entry(NamedTuple):
    """A number that a policy sees or does, or one of the values of a choice: "gear=2" is 1 where gear is 2."""

    name: str
    unit: str
    """What a value of 1 stands for, such as "rad/s" or "150 N m"; "1" without a dimension, empty if it is not known."""
    low: float
    high: float


def entries_of(space: Space[Any], names: Sequence[str] = (), what: str = "observation") -> tuple[Entry, ...]:
    """The entries of a space, as many as the features that an `ObservationEncoder` makes of it.

    Args:
        space: Of observations or actions.
        names: "name [unit]" for each number of the space, in order, or for each entry; without them, entries are named
            after the keys of Dict spaces and counted.
        what: "observation" or "action", for names and errors.
    Raises: ValueError if there are more or fewer names.
    """
    numbers = list(_numbers(space, what))
    entries = [entry for number in numbers for entry in number]
    if not names:
        return tuple(entries)
    if len(names) not in (len(numbers), len(entries)):
        raise ValueError(f"There are {len(names)} {what}_names, but {len(numbers)} numbers in {space}.")
    found = []
    groups = [[entry] for entry in entries] if len(names) == len(entries) else numbers
    for given, group in zip(names, groups, strict=True):
        name, unit = FORM.fullmatch(given).groups()  # type: ignore[union-attr]
        for entry in group:
            value = entry.name.partition("=")[1:] if len(names) != len(entries) else ()
            found.append(entry._replace(name="".join((name, *value)), unit=unit or ""))
    return tuple(found)


def _numbers(space: Space[Any], what: str) -> Iterator[list[Entry]]:
    """For each number in a space its entries: one, or one for each value of a choice."""
    for keys, part in parts_of(space):
        name = ".".join(map(str, keys)) or what
        shape: tuple[int, ...] = part.shape or ()
        indexed = [f"{name}[{', '.join(map(str, index))}]" if index else name for index in np.ndindex(shape)]
        if isinstance(part, spaces.Discrete | spaces.MultiDiscrete):
            counts = np.reshape(part.n if isinstance(part, spaces.Discrete) else part.nvec, -1)
            starts = np.reshape(part.start, -1)
            for one, count, start in zip(indexed, counts, starts, strict=True):
                yield [Entry(f"{one}={start + k}", "1", 0.0, 1.0) for k in range(count)]
        elif isinstance(part, spaces.Box):
            bounds = zip(indexed, part.low.flat, part.high.flat, strict=True)
            yield from ([Entry(one, "", float(low), float(high))] for one, low, high in bounds)
        else:
            yield from ([Entry(one, "1", 0.0, 1.0)] for one in indexed)
