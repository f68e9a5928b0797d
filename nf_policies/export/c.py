"""A policy as one C99 file and its header: no malloc, nothing but math.h, no variables outside its functions."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from nf_policies.export.form import AFTER, MEMORY, Apply, Constant, Form, Recording, Statement, parts
from nf_policies.export.loops import Index, Loops, is_given
from nf_policies.export.text import clean, fill

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

    def place(self, name: str, index: Index) -> str:
        """As above; the memory is a struct of the caller's, before and after."""
        return f"memory->potentials[{index}]" if name in (MEMORY, AFTER) else f"{name}[{index}]"

    def declare(self, statement: Statement) -> str | None:
        """As above."""
        given = is_given(statement.name) or statement is self.form.statements[-1]
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
    entries = card["observation"]["entries"]
    values = {
        "title": form.title,
        "name": name,
        "real": "double" if double else "float",
        "action": "int" if form.integers else "policy_real",
        "potentials": f"policy_real potentials[{form.memory_size}];" if form.memory_size else "char none;",
        "observation_size": form.observation_size,
        "memory_size": form.memory_size,
        "action_size": form.action_size,
        "version": card["export_version"],
        "rate": printer.number(card["rate_hz"] or 0.0),
        "names_hash": f"0x{names_hash(entries):08x}UL",
        "sees": "\n".join(f" *     {line}" for line in described(entries)),
        "does": "\n".join(f" *     {line}" for line in described(card["action"]["entries"])),
    }
    start = [f"memory->potentials[{i}] = {printer.number(u)};" for i, u in enumerate(form.initial_memory)]
    if not printer.unrolled and form.memory_size:
        start = [f"for (int i = 0; i < {form.memory_size}; i++) memory->potentials[i] = AT(initial_memory, i);"]
    tables = [printer.table(constant.name, constant.values) for constant in printer.tables()]
    if start and "AT" in start[0]:
        tables.append(printer.table("initial_memory", form.initial_memory))
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
