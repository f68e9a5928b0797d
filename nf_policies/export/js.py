"""A policy as one ES module without dependencies, for browsers and Node.js. It computes in double precision."""

import json
import textwrap
from typing import Any

import numpy as np

from nf_policies.export.form import AFTER, MEMORY, Constant, Form, Statement
from nf_policies.export.loops import Index, Loops

FUNCTIONS = {
    "identity": "{0}",
    "sigmoid": "(1 / (1 + Math.exp(-({0}))))",
    "tanh": "Math.tanh({0})",
    "relu": "Math.max({0}, 0)",
    "abs": "Math.abs({0})",
    "clip": "Math.min(Math.max({0}, {1}), {2})",
    "equal": "Number({0} === {1})",
    "round": "Math.round({0})",
    "positive": "Number({0} > 0)",
    "root": "(Math.sign({0}) * Math.abs({0}) ** (1 / {1}))",
}

MODULE = """\
// {title}. Written by nf-policies; it needs nothing else.
//
//     import {{ policyInit, policyStep }} from "./policy.js";
//     const memory = policyInit();                       // a new episode
//     const action = policyStep(memory, observation);    // remembers in `memory`

/** What the policy is, sees and does. */
export const policy = {card};

{tables}
/** The numbers of the formulas below, by name (matrices by rows); what is written here is used in the next step. */
export const coefficients = {{ {names} }};

/** The memory at the start of an episode. */
export function policyInit() {{
    return Float64Array.of({initial});
}}

/** The action for an observation (both flat arrays of numbers); changes the memory. */
export function policyStep(memory, observation) {{
{step}
    return action;
}}
"""


class JavaScript(Loops):
    """Statements in JavaScript."""

    loop = "for (let {i} = 0; {i} < {n}; {i}++)"

    def number(self, value: float) -> str:
        """As above."""
        return json.dumps(float(value)).removesuffix(".0")

    def place(self, name: str, index: Index) -> str:
        """As above; the memory is one array, before and after."""
        return f"{MEMORY if name == AFTER else name}[{index}]"

    def declare(self, statement: Statement) -> str | None:
        """As above."""
        if statement.name == AFTER:
            return None
        return f"const {statement.name} = new Array({statement.size});"

    def local(self, name: str, value: str) -> str:
        """As above."""
        return f"let {name} = {value};"

    def function(self, name: str, arguments: list[str]) -> str:
        """As above."""
        return FUNCTIONS[name].format(*arguments)

    def truth(self, text: str) -> str:
        """As above."""
        return f"Number({text})"


def table(constant: Constant, printer: JavaScript) -> str:
    """A table of constants."""
    return f"const {constant.name} = [{', '.join(map(printer.number, np.ravel(constant.values)))}];"


def print_js(form: Form, card: dict[str, Any]) -> str:
    """The module's text; `card` becomes its `policy`."""
    printer = JavaScript(form, unrolled=False)
    return MODULE.format(
        title=form.title,
        card=json.dumps(card, indent=4),
        tables="".join(f"{table(constant, printer)}\n" for constant in printer.tables()),
        names=", ".join(constant.name for constant in form.constants),
        initial=", ".join(map(printer.number, form.initial_memory)),
        step=textwrap.indent("\n".join(printer.step()), "    "),
    )
