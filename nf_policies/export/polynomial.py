"""A form without exponentials: tanh and sigmoid as a polynomial, for chips on which they take most of a step.

tanh(x) is x P(x^2) for x within ± REACH, and the value there beyond it; sigmoid(x) is (1 + tanh(x / 2)) / 2.
"""

import dataclasses

import numpy as np

from nf_policies.export.form import Apply, Constant, Expression, Form, Join, Statement, Vector, function

REACH = 2.45
COEFFICIENTS = (0.965685, -0.231191, 0.0362172, -0.00221035)
"""Of the smallest largest difference from tanh, for four of them."""
ERROR = 0.0082
"""That difference; from sigmoid it is half as large."""
SQUASHING = ("tanh", "sigmoid")


def without_exponentials(form: Form) -> Form:
    """The form with the polynomial in place of every tanh and sigmoid."""
    statements: list[Statement] = []
    for statement in form.statements:
        before: list[Statement] = []
        value = replaced(statement.value, statement.name, before)
        statements += [*before, dataclasses.replace(statement, value=value)]
    return dataclasses.replace(form, statements=tuple(statements))


def replaced(value: Expression, name: str, before: list[Statement]) -> Expression:
    """An expression with polynomials; `before` gets the statements that they need."""
    if isinstance(value, Join):
        return Join(tuple(replaced(part, name, before) for part in value.parts))
    if not isinstance(value, Apply):
        return value
    arguments = tuple(replaced(argument, name, before) for argument in value.arguments)
    if value.operation not in SQUASHING:
        return Apply(value.operation, arguments)
    half = value.operation == "sigmoid"
    tanh = polynomial(arguments[0] * 0.5 if half else arguments[0], f"{name}_{len(before)}", before)
    return tanh * 0.5 + 0.5 if half else tanh


def polynomial(x: Expression, name: str, before: list[Statement]) -> Expression:
    """X P(x^2) within ± REACH."""
    clipped = Vector(f"{name}_within", x.size)
    square = Vector(f"{name}_square", x.size)
    before += [
        Statement(clipped.name, function("clip", x, -REACH, REACH), "where the polynomial holds"),
        Statement(square.name, clipped * clipped, "of it"),
    ]
    names = (f"tanh_{k}" for k in range(len(COEFFICIENTS)))
    constants = [Constant(name, np.array([value])) for name, value in zip(names, COEFFICIENTS, strict=True)]
    sum_: Expression = constants[-1]
    for constant in constants[-2::-1]:
        sum_ = sum_ * square + constant
    return clipped * sum_
