"""The intermediate form of a policy: a few statements on vectors that every printer can print.

A statement gives a name to a vector, entry by entry: `potentials = clip(memory + rate * (…), -100, 100)`. Operands
are numbers, constants with a name, and vectors that have a name already. `observation` and `memory` are given; the
statement `potentials` is the memory after the step, and the last one is `action`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

OBSERVATION, MEMORY, AFTER, ACTION = "observation", "memory", "potentials", "action"
"""Names that every form has: what goes in, the memory before and after the step, and what comes out."""
ACTIVE_BEFORE, ACTIVE = "activations_before", "activations"
"""Of a field: the same function of the memory before and after, so that a target may keep it from step to step."""


class Expression:
    """A vector of `size` entries, or one number for all entries."""

    size: int

    def __add__(self, other: Any) -> "Apply":
        return Apply("+", (self, lift(other)))

    def __sub__(self, other: Any) -> "Apply":
        return Apply("-", (self, lift(other)))

    def __mul__(self, other: Any) -> "Apply":
        return Apply("*", (self, lift(other)))

    def __truediv__(self, other: Any) -> "Apply":
        return Apply("/", (self, lift(other)))


@dataclass(frozen=True, eq=False)
class Number(Expression):
    """A literal."""

    value: float
    size = 1


@dataclass(frozen=True, eq=False)
class Constant(Expression):
    """Numbers by their name in the field's equations. Shape of values: (size,), (1,) for all entries, or a matrix."""

    name: str
    values: np.ndarray

    @property
    def size(self) -> int:  # type: ignore[override]
        """Number of entries, of a matrix that of its rows."""
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Vector(Expression):
    """A vector that has been given a name."""

    name: str
    size: int


@dataclass(frozen=True, eq=False)
class Slice(Expression):
    """The entries of a vector from `start` on."""

    vector: Vector
    start: int
    size: int


@dataclass(frozen=True, eq=False)
class Pick(Expression):
    """Some entries of a vector, in the order of `indices`."""

    vector: Vector
    indices: tuple[int, ...]

    @property
    def size(self) -> int:  # type: ignore[override]
        """Number of indices."""
        return len(self.indices)


PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}
"""Of the operators, the higher the tighter."""
FUNCTIONS = ("identity", "sigmoid", "tanh", "relu", "abs", "clip", "equal", "positive", "round", "root")
"""Of one entry. clip(x, low, high); equal(x, y) and positive(x) are 1 or 0; root(x, p) keeps the sign of x."""


@dataclass(frozen=True, eq=False)
class Apply(Expression):
    """An operator (+ - * /) or a function of `FUNCTIONS`, entry by entry."""

    operation: str
    arguments: tuple[Expression, ...]

    @property
    def size(self) -> int:  # type: ignore[override]
        """That of the widest argument."""
        return max(argument.size for argument in self.arguments)


@dataclass(frozen=True, eq=False)
class Product(Expression):
    """A matrix times a vector, and a bias; a statement's whole value."""

    matrix: Constant
    vector: Vector | Slice
    bias: Constant | None = None

    @property
    def size(self) -> int:  # type: ignore[override]
        """Rows of the matrix."""
        return len(self.matrix.values)


@dataclass(frozen=True, eq=False)
class Join(Expression):
    """Vectors one after the other; a statement's whole value."""

    parts: tuple[Expression, ...]

    @property
    def size(self) -> int:  # type: ignore[override]
        """Sum of the parts'."""
        return sum(part.size for part in self.parts)


@dataclass(frozen=True, eq=False)
class Choice(Expression):
    """Choices side by side: of each, the largest of a 0 and its n - 1 outputs (one, not read, if n is 1).

    A statement's whole value.
    """

    outputs: Vector
    counts: tuple[int, ...]
    starts: tuple[int, ...]
    """Numbers of the first actions."""

    @property
    def size(self) -> int:  # type: ignore[override]
        """Number of choices."""
        return len(self.counts)

    def columns(self) -> Iterator[tuple[int, int, int]]:
        """(first output, number of outputs, number of the first action) of each choice."""
        first = 0
        for n, start in zip(self.counts, self.starts, strict=True):
            yield first, n - 1, start
            first += max(n - 1, 1)


@dataclass(frozen=True, eq=False)
class Statement:
    """A vector gets a name."""

    name: str
    value: Expression
    about: str
    """What it is, in words."""

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.value.size


@dataclass(frozen=True, eq=False)
class Form:
    """A whole policy: features, field and head."""

    title: str
    observation_size: int
    initial_memory: np.ndarray
    statements: tuple[Statement, ...]
    integers: bool
    """Whether actions are whole numbers."""
    dtype: np.dtype[Any]
    """Of the policy's parameters: float32 or float64."""

    @property
    def memory_size(self) -> int:
        """Number of potentials; 0 for a policy without a memory."""
        return len(self.initial_memory)

    @property
    def action_size(self) -> int:
        """Number of entries of an action, laid flat."""
        return self.statements[-1].size

    @cached_property
    def constants(self) -> tuple[Constant, ...]:
        """All named constants, in the order in which they are used."""
        found = (c for s in self.statements for c in parts(s.value) if isinstance(c, Constant))
        return tuple({constant.name: constant for constant in found}.values())

    @property
    def numbers(self) -> int:
        """How many numbers the constants are."""
        return sum(constant.values.size for constant in self.constants)


class Recording(NamedTuple):
    """Steps one after the other, with resets in their midst, to hold every target to."""

    observations: np.ndarray
    """Laid flat. Shape: (steps, observation_size)."""
    starts: np.ndarray
    """Where an episode begins; the first step is one. Shape: (steps,)."""
    actions: np.ndarray
    """Laid flat. Shape: (steps, action_size)."""


def lift(value: Any) -> Expression:
    """An expression as it is, a number as a literal."""
    return value if isinstance(value, Expression) else Number(float(value))


def function(name: str, *arguments: Any) -> Apply:
    """A function of `FUNCTIONS`, applied."""
    return Apply(name, tuple(map(lift, arguments)))


def children(value: Expression) -> tuple[Expression, ...]:
    """What an expression is made of."""
    match value:
        case Slice(vector=vector) | Pick(vector=vector):
            return (vector,)
        case Apply(arguments=arguments):
            return arguments
        case Product(matrix=matrix, vector=vector, bias=bias):
            return (matrix, vector) if bias is None else (matrix, vector, bias)
        case Join(parts=inner):
            return inner
        case Choice(outputs=outputs):
            return (outputs,)
    return ()


def parts(value: Expression) -> Iterator[Expression]:
    """An expression and all that it is made of."""
    yield value
    for child in children(value):
        yield from parts(child)


def used(statements: Sequence[Statement], *names: str) -> tuple[Statement, ...]:
    """The statements that vectors of these names depend on."""
    needed = set(names)
    kept: list[Statement] = []
    for statement in reversed(statements):
        if statement.name in needed:
            kept.append(statement)
            needed |= {part.name for part in parts(statement.value) if isinstance(part, Vector)}
    return tuple(reversed(kept))
