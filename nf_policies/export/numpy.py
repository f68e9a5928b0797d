"""A policy as one Python module that needs NumPy alone."""

import pprint
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from nf_policies.export.algebra import evaluate
from nf_policies.export.form import AFTER, MEMORY, PRECEDENCE, Choice, Constant, Form

FUNCTIONS = {
    "identity": "{0}",
    "sigmoid": "(1 / (1 + np.exp(-({0}))))",
    "tanh": "np.tanh({0})",
    "relu": "np.maximum({0}, 0)",
    "abs": "np.abs({0})",
    "clip": "np.clip({0}, {1}, {2})",
    "equal": "np.equal({0}, {1}).astype(DTYPE)",
    "round": "np.rint({0})",
    "positive": "({0} > 0).astype(np.int64)",
    "root": "(np.sign({0}) * np.abs({0}) ** DTYPE(1 / {1}))",
}

MODULE = '''\
"""{title}. Written by nf-policies; it needs NumPy alone.

    memory = policy_init()                             # a new episode
    action, memory = policy_step(memory, observation)  # remembers in `memory`

Both also take several episodes at once, with leading axes. `Runner` does the same with checks, for a robot.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

DTYPE = np.{dtype}
CARD = {card}
{constants}
initial_memory = np.array([{initial}], DTYPE)


def policy_init(*leading):
    """The memory at the start of episodes. Shape: (*leading, {memory_size})."""
    return np.tile(initial_memory, (*leading, 1))


def policy_step(memory, observation):
    """Actions (..., {action_size}) and the memory after, of observations (..., {observation_size}), laid flat."""
    observation = np.asarray(observation, DTYPE)
{step}
    return action, {after}
'''


class Text(str):
    """Python source of a vector; `binds` is the precedence of its outermost operator."""

    binds: int = 3

    def inside(self, binds: int) -> str:
        """In brackets where an operator of that precedence needs them."""
        return f"({self})" if self.binds < binds else str(self)


class Source:
    """The algebra of Python source."""

    def number(self, value: float) -> Text:
        """As above."""
        return Text(f"{value:g}")

    def constant(self, constant: Constant) -> Text:
        """As above."""
        return Text(constant.name)

    def slice(self, vector: Text, start: int, stop: int) -> Text:
        """As above."""
        return Text(f"{vector}[..., {start}:{stop}]")

    def pick(self, vector: Text, indices: tuple[int, ...]) -> Text:
        """As above."""
        return Text(f"{vector}[..., {list(indices)}]")

    def apply(self, operation: str, arguments: list[Text]) -> Text:
        """As above."""
        if operation in FUNCTIONS:
            return Text(FUNCTIONS[operation].format(*arguments))
        binds = PRECEDENCE[operation]
        left, right = arguments
        text = Text(f"{left.inside(binds)} {operation} {right.inside(binds + 1)}")
        text.binds = binds
        return text

    def product(self, matrix: Text, vector: Text, bias: Text | None) -> Text:
        """As above."""
        return Text(f"{vector} @ {matrix}.T" + ("" if bias is None else f" + {bias}"))

    def join(self, parts: list[Text]) -> Text:
        """As above."""
        return Text(f"np.concatenate([{', '.join(parts)}], axis=-1)")

    def choice(self, outputs: Text, choice: Choice) -> Text:
        """As above."""
        chosen = []
        for first, logits, start in choice.columns():
            part = f"{outputs}[..., {first}:{first + logits}]"
            largest = f"np.argmax(np.concatenate([np.zeros_like({outputs}[..., :1]), {part}], -1), -1)"
            one = f"({outputs}[..., {first}] > 0).astype(np.int64)" if logits == 1 else largest
            chosen.append(f"{one} + {start}" if logits else f"np.full({outputs}.shape[:-1], {start})")
        return Text(f"np.stack([{', '.join(chosen)}], axis=-1)")


def array(name: str, values: np.ndarray) -> str:
    """A constant as a line of Python."""
    return f"{name} = np.array({values.tolist()}, DTYPE)"


def print_numpy(form: Form, card: dict[str, Any]) -> str:
    """The module's text, with the checks of `runner.py`."""
    lines = []
    for statement in form.statements:
        value = evaluate(statement.value, Source(), Text)
        lines.append(f"{statement.name} = {value}  # {statement.about}")
    remembers = any(statement.name == AFTER for statement in form.statements)
    module = MODULE.format(
        title=form.title,
        dtype=form.dtype,
        card=pprint.pformat(card, width=110, sort_dicts=False),
        constants="\n".join(array(constant.name, constant.values) for constant in form.constants),
        initial=", ".join(map(repr, form.initial_memory.tolist())),
        memory_size=form.memory_size,
        action_size=form.action_size,
        observation_size=form.observation_size,
        step=textwrap.indent("\n".join(lines), "    "),
        after=AFTER if remembers else MEMORY,
    )
    runner = (Path(__file__).parent / "runner.py").read_text(encoding="utf-8").partition("# From here on\n")[2]
    return f"{module}\n\n{runner.strip()}\n"
