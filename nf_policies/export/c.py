"""A policy as one C99 file and its header: no malloc, nothing but math.h, no variables outside its functions."""

import dataclasses
import json
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from nf_policies.export.form import (
    ACTION,
    ACTIVE,
    ACTIVE_BEFORE,
    AFTER,
    MEMORY,
    Apply,
    Constant,
    Form,
    Recording,
    Statement,
    parts,
    used,
)
from nf_policies.export.loops import Index, Loops
from nf_policies.export.text import clean, fill
from nf_policies.export.torch import at_start

UNROLLED = 64
"""A form of so many numbers or fewer is printed entry by entry, with the numbers in the formulas."""
SLACK = 0.01
"""An observation may leave its range by this share of it."""
TOLERANCE = 1e-4
"""Of the self-test, as a share of the largest action: chips round in their own ways."""

HELPERS = {
    "sigmoid": "1 / (1 + {exp}(-x))",
    "relu": "x > 0 ? x : 0",
    "clip": "x < low ? low : x > high ? high : x",
    "root": "(x < 0 ? -1 : 1) * {pow}({fabs}(x), 1 / p)",
}
ARGUMENTS = {"clip": ("x", "low", "high"), "root": ("x", "p")}
INLINE = {
    "identity": "{0}",
    "abs": "{fabs}({0})",
    "tanh": "{tanh}({0})",
    "equal": "({0} == {1})",
    "round": "{rint}({0})",
    "positive": "({0} > 0)",
}


class CFiles(NamedTuple):
    """The text of both files."""

    source: str
    header: str


class C(Loops):
    """Statements in C, in float32 or float64."""

    def __init__(self, form: Form, *, double: bool) -> None:
        self.keeps = any(statement.name == ACTIVE_BEFORE for statement in form.statements)
        if self.keeps:  # from the step before
            rest = [statement for statement in form.statements if statement.name != ACTIVE_BEFORE]
            form = dataclasses.replace(form, statements=used(rest, ACTION, AFTER))
        super().__init__(form, unrolled=form.numbers <= UNROLLED)
        self.double = double
        self.math = {name: name if double else f"{name}f" for name in ("exp", "tanh", "fabs", "pow", "rint")}

    def number(self, value: float) -> str:
        """As above: the shortest text that is read as the same number."""
        text = repr(float(value)) if self.double else f"{np.float32(value)!s}"
        text = text if any(letter in text for letter in ".en") else f"{text}.0"
        return text if self.double else f"{text}f"

    def entry(self, constant: Constant, index: Index) -> str:
        """As above."""
        return f"AT({constant.name}, {index})"

    def whole(self, text: str) -> str:
        """As above."""
        return f"(int){text}"

    def weight(self, matrix: Constant) -> str:
        """As above; of a matrix that is the same along its diagonals, as those of convolutions, only these are kept."""
        if diagonals(matrix.values) is None:
            return super().weight(matrix)
        return self.entry(matrix, f"{len(matrix.values) - 1} + j - i")

    def place(self, name: str, index: Index) -> str:
        """As above; the memory is a struct of the caller's, before and after."""
        kept = {MEMORY: "potentials", AFTER: "potentials", ACTIVE_BEFORE: "activations", ACTIVE: "activations"}
        return f"memory->{kept[name]}[{index}]" if name in kept else f"{name}[{index}]"

    def declare(self, statement: Statement) -> str | None:
        """As above."""
        given = statement.name in (AFTER, ACTIVE) or statement is self.form.statements[-1]
        return None if given else f"policy_real {statement.name}[{statement.size}];"

    def local(self, name: str, value: str) -> str:
        """As above."""
        return f"policy_real {name} = {value};"

    def truth(self, text: str) -> str:
        """As above."""
        return f"({text})"

    def function(self, name: str, arguments: list[str]) -> str:
        """As above."""
        if name in INLINE:
            return INLINE[name].format(*arguments, **self.math)
        return f"{name}({', '.join(arguments)})"

    def helpers(self) -> Iterator[str]:
        """The functions that the statements use and C does not have."""
        inside = [part for statement in self.form.statements for part in parts(statement.value)]
        called = {part.operation for part in inside if isinstance(part, Apply)}
        for name, value in HELPERS.items():
            if name in called:
                arguments = ", ".join(f"policy_real {argument}" for argument in ARGUMENTS.get(name, ("x",)))
                yield f"static policy_real {name}({arguments}) {{ return {value.format(**self.math)}; }}"

    def table(self, name: str, values: np.ndarray, *, kind: str = "policy_real") -> str:
        """A table of constants."""
        spell = self.number if kind == "policy_real" else str
        text = textwrap.fill(", ".join(map(spell, np.ravel(values).tolist())), 110, break_long_words=False)
        return f"static const {kind} {name}[] TABLE = {{\n{textwrap.indent(text, '    ')}\n}};"


def print_c(form: Form, card: dict[str, Any], recording: Recording, *, name: str, double: bool = False) -> CFiles:
    """The source and the header.

    Args:
        form: To be printed.
        card: Goes into the source in one line.
        recording: What the self-test replays.
        name: Of the files, without their suffix.
        double: Compute in double precision rather than float.
    """
    printer = C(form, double=double)
    kept = {"potentials": form.initial_memory} if form.memory_size else {}
    if printer.keeps:
        kept["activations"] = at_start(form, ACTIVE_BEFORE)
    form = printer.form
    entries = card["observation"]["entries"]
    values = {
        "title": form.title,
        "name": name,
        "real": "double" if double else "float",
        "action": "int" if form.integers else "policy_real",
        "memory": " ".join(f"policy_real {name}[{len(start)}];" for name, start in kept.items()) or "char none;",
        "observation_size": form.observation_size,
        "memory_size": form.memory_size,
        "action_size": form.action_size,
        "version": card["export_version"],
        "rate": printer.number(card["rate_hz"] or 0.0),
        "names_hash": f"0x{names_hash(entries):08x}UL",
        "sees": "\n".join(f" *     {line}" for line in described(entries)),
        "does": "\n".join(f" *     {line}" for line in described(card["action"]["entries"])),
    }
    tables = []
    for constant in printer.tables():
        along = diagonals(constant.values)
        tables.append(printer.table(constant.name, constant.values if along is None else along))
    start = []
    for vector, at_first in kept.items():
        place, alike = f"memory->{vector}", not np.ptp(at_first)
        if not (printer.unrolled or alike):
            tables.append(printer.table(f"initial_{vector}", at_first))
        if printer.unrolled:
            start += [f"{place}[{i}] = {printer.number(value)};" for i, value in enumerate(at_first)]
        else:
            value = printer.number(at_first[0]) if alike else f"AT(initial_{vector}, i)"
            start.append(f"{printer.loop.format(i='i', n=len(at_first))} {place}[i] = {value};")
    step = list(printer.step())
    if not any("memory->" in line for line in step):
        start, step = ["(void)memory;"], ["(void)memory;", *step]
    low, high = ranges(entries)
    more = dict(
        card=json.dumps(card).replace("*/", "*\\/"),
        helpers="\n".join(printer.helpers()),
        tables="\n".join(tables),
        start=textwrap.indent("\n".join(start), "    "),
        step=textwrap.indent("\n".join(step), "    "),
        low=printer.table("lowest_seen", low),
        high=printer.table("highest_seen", high),
        **check_tables(printer, form, recording),
        fabs=printer.math["fabs"],
        tolerance=printer.number(TOLERANCE * max(1.0, float(np.abs(recording.actions).max()))),
    )
    return CFiles(*(fill(f"policy.{suffix}", values | more) for suffix in "ch"))


def diagonals(matrix: np.ndarray) -> np.ndarray | None:
    """The numbers of a matrix along its diagonals, the lowest first; None where they differ within one."""
    if matrix.ndim < 2 or min(matrix.shape) < 2 or (matrix[1:, 1:] != matrix[:-1, :-1]).any():
        return None
    return np.concatenate([matrix[:0:-1, 0], matrix[0]])


def check_tables(printer: C, form: Form, recording: Recording) -> dict[str, Any]:
    """The recorded steps as tables."""
    kind = "int" if form.integers else "policy_real"
    return {
        "steps": len(recording.starts),
        "recorded_observations": printer.table("recorded_observations", recording.observations),
        "recorded_actions": printer.table("recorded_actions", recording.actions, kind=kind),
        "recorded_starts": printer.table("recorded_starts", recording.starts.astype(int), kind="char"),
        "at_action": "READ_INT" if form.integers else "AT",
    }


def described(entries: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each entry of an observation or action, the first few."""
    for entry in entries[:32]:
        unit = f" [{entry['unit']}]" if entry["unit"] else ""
        ends = ["" if entry[side] is None else f"{entry[side]:g}" for side in ("low", "high")]
        span = f", {ends[0]} to {ends[1]}" if any(ends) else ""
        yield clean(f"{entry['index']}: {entry['name']}{unit}{span}")
    if len(entries) > 32:
        yield f"and {len(entries) - 32} more"


def names_hash(entries: list[dict[str, Any]]) -> int:
    """FNV-1a, 32 bits, of the names, each followed by a line feed."""
    value = 2166136261
    for byte in "".join(f"{entry['name']}\n" for entry in entries).encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value


def ranges(entries: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """What an observation must not leave, with some slack; the largest number where there is no end."""
    ends = [[np.nan if entry[side] is None else entry[side] for entry in entries] for side in ("low", "high")]
    low, high = (np.array(end, np.float64) for end in ends)
    slack = np.nan_to_num(SLACK * (high - low))
    most = 3e38
    return np.nan_to_num(low - slack, nan=-most), np.nan_to_num(high + slack, nan=most)
