"""Targets that know vectors: how they compute an expression of a form."""

from collections.abc import Callable
from typing import Any, Protocol

from nf_policies.export.form import Apply, Choice, Constant, Expression, Join, Number, Pick, Product, Slice, Vector


class Algebra(Protocol):
    """How a target that knows vectors computes: text of NumPy, tensors of torch, nodes of ONNX."""

    def number(self, value: float) -> Any:
        """A literal."""

    def constant(self, constant: Constant) -> Any:
        """A named constant."""

    def slice(self, vector: Any, start: int, stop: int) -> Any:
        """Entries `start` to `stop`."""

    def pick(self, vector: Any, indices: tuple[int, ...]) -> Any:
        """Entries at indices."""

    def apply(self, operation: str, arguments: list[Any]) -> Any:
        """An operator or function, entry by entry."""

    def product(self, matrix: Any, vector: Any, bias: Any | None) -> Any:
        """A matrix times a vector, plus a bias."""

    def join(self, parts: list[Any]) -> Any:
        """Vectors one after the other."""

    def choice(self, outputs: Any, choice: Choice) -> Any:
        """Whole numbers, one per choice."""


def evaluate(value: Expression, algebra: Algebra, vector: Callable[[str], Any]) -> Any:
    """An expression in an algebra, where `vector` gives what has a name."""

    def of(part: Expression) -> Any:
        match part:
            case Number(value=number):
                return algebra.number(number)
            case Constant():
                return algebra.constant(part)
            case Vector(name=name):
                return vector(name)
            case Slice(vector=whole, start=start, size=size):
                return algebra.slice(of(whole), start, start + size)
            case Pick(vector=whole, indices=indices):
                return algebra.pick(of(whole), indices)
            case Apply(operation=operation, arguments=arguments):
                return algebra.apply(operation, [of(argument) for argument in arguments])
            case Product(matrix=matrix, vector=factor, bias=bias):
                return algebra.product(of(matrix), of(factor), None if bias is None else of(bias))
            case Join(parts=inner):
                return algebra.join([of(one) for one in inner])
            case Choice(outputs=outputs):
                return algebra.choice(of(outputs), part)
        raise TypeError(f"{type(part).__name__} is no expression of a form.")

    return of(value)
