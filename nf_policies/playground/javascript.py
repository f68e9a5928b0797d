"""Functions of tensors, printed as JavaScript functions of numbers.

torch traces a function into its core operations. A tensor becomes a tensor of places in a list of JavaScript
expressions, so that torch itself does whatever moves entries, and only arithmetic is printed. A function of one lane,
such as the physics of a task or the step of a field, becomes lines of arithmetic without loops.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from nf_policies.playground.formulas import FORMULAS, MAKES, MOVES, POWERS


class UnknownOperationError(ValueError):
    """An operation without a formula; the message names it."""


def function(name: str, of: Callable[..., Any], **arguments: Any) -> str:
    """A function of tensors as a JavaScript function.

    Args:
        name: Of the JavaScript function.
        of: Takes the arguments by position. It returns tensors, in tuples and the like, or a dict of such by name. No
            branch of it looks at a tensor.
        arguments: Examples by their name in JavaScript: tensors, in tuples and the like.
    Returns: The text. In JavaScript an argument is an array of all its numbers in a row, and so is the result, or each
        entry of an object of results by name.
    Raises: UnknownOperationError.
    """
    leaves, tree = pytree.tree_flatten(tuple(arguments.values()))
    counts: dict[str, int] = {}

    def flat(*tensors: Tensor) -> list[Tensor]:
        results = of(*pytree.tree_unflatten(tensors, tree))
        named = results if isinstance(results, dict) else {"": results}
        parts = {key: pytree.tree_leaves(part) for key, part in named.items()}
        counts.update({key: len(part) for key, part in parts.items()})
        return [tensor for part in parts.values() for tensor in part]

    try:
        with torch.no_grad():
            graph = make_fx(flat)(*(leaf.clone() for leaf in leaves))  # one tensor given twice would be one argument
    except RuntimeError as error:
        reason = " ".join(str(error).partition(". ")[0].split())
        raise UnknownOperationError(f"The page cannot follow the function {name}: {reason}.") from error
    graph.graph.eliminate_dead_code()
    printer = Printer(graph)
    inputs = [
        place
        for argument, value in arguments.items()
        for place in printer.argument(argument, pytree.tree_leaves(value))
    ]
    results = [printer.text(places) for places in printer.run(*inputs, enable_io_processing=False)]
    arrays, start = {}, 0
    for key, count in counts.items():
        arrays[key] = "[" + ", ".join(word for row in results[start : start + count] for word in row) + "]"
        start += count
    of_names = ", ".join(f"{key}: {array}" for key, array in arrays.items())
    result = arrays.get("", f"{{{of_names}}}")
    lines = [f"  const {variable} = {expression};" for expression, variable in printer.names.items()]
    return "\n".join([f"function {name}({', '.join(arguments)}) {{", *lines, f"  return {result};", "}\n"])


class Printer(fx.Interpreter):
    """Runs a traced function on places of expressions; the place 0 holds a zero.

    Attributes:
        names: The name of each expression that is computed, in order.
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.extra_traceback = False  # which would make a paragraph of an error's sentence
        self.words = ["0"]
        self.names: dict[str, str] = {}

    def argument(self, name: str, tensors: list[Tensor]) -> list[Tensor]:
        """Places of the entries of an argument, an array in JavaScript."""
        places, entry = [], 0
        for tensor in tensors:
            words = [f"{name}[{entry + i}]" for i in range(tensor.numel())]
            places.append(self._places(words).reshape(tensor.shape))
            entry += tensor.numel()
        return places

    def text(self, places: Tensor) -> list[str]:
        """The words at places, in a row."""
        return [self.words[place] for place in places.flatten().tolist()]

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Tensor:
        """A tensor that the function holds, as literals."""
        return self._literals(super().get_attr(target, args, kwargs))

    def run_node(self, n: fx.Node) -> Any:
        """Move places, or print arithmetic."""
        if n.op != "call_function":
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        operation: Any = n.target
        name = getattr(operation, "overloadpacket", operation).__name__
        if name == "index_select":
            chosen = torch.tensor([int(word) for word in self.text(args[2])])
            return args[0].index_select(args[1], chosen)
        if name == "getitem" or name in MOVES:
            return operation(*args, **kwargs)
        if name in MAKES:
            shaped = [torch.empty_like(x, dtype=torch.float64) if isinstance(x, Tensor) else x for x in args]
            return self._literals(operation(*shaped, **kwargs))
        result = n.meta["val"]
        if name in ("mm", "bmm", "addmm"):
            return self._product(args, result)
        if name == "sum":
            return self._sum(args[0], result, *args[1:])
        if name == "_to_copy":
            return self._convert(args[0], _before(n), result.dtype)
        if result.dtype == torch.float32:  # torch rounds numbers and constants to it first
            args = tuple(self._rounded(x, given) for x, given in zip(args, n.args, strict=True))
        return self._arithmetic(name, args, kwargs, result)

    def _arithmetic(self, name: str, args: Any, kwargs: Any, result: Tensor) -> Tensor:
        formula, operands = FORMULAS.get(name), list(args)
        if name == "pow" and args[1] in POWERS:
            formula = POWERS[operands.pop()]
        if name == "clamp":
            bounds = [*args[1:], None][:2]
            given = [bound for bound in bounds if bound is not None]
            one_sided = "clamp_max" if bounds[0] is None else "clamp_min"
            formula, operands = FORMULAS["clamp" if len(given) == 2 else one_sided], [args[0], *given]
        of_numbers = name.startswith("bitwise") and result.dtype != torch.bool
        if formula is None or kwargs or of_numbers:
            raise UnknownOperationError(f"The page does not know torch's operation {name}.")
        rows = torch.broadcast_tensors(*(x if isinstance(x, Tensor) else self._literals(x) for x in operands))
        words = zip(*map(self.text, rows), strict=True)
        return self._computed([formula.format(*entries) for entries in words], result.dtype).reshape(rows[0].shape)

    def _product(self, args: Any, result: Tensor) -> Tensor:
        """Of matrices, and of batches of them, with an addend before them or without."""
        *addend, left, right = args
        rows, columns = torch.broadcast_tensors(left.unsqueeze(-2), right.mT.unsqueeze(-3))
        terms = [self._terms(row, column) for row, column in zip(*map(_rows, (rows, columns)), strict=True)]
        for tensor in addend:
            for word, sum_ in zip(self.text(tensor.expand(result.shape)), terms, strict=True):
                sum_.append(word)
        return self._computed([" + ".join(sum_) or "0" for sum_ in terms], result.dtype).reshape(result.shape)

    def _terms(self, row: Tensor, column: Tensor) -> list[str]:
        """The products of two vectors' entries, without those with a zero."""
        pairs = zip(self.text(row), self.text(column), strict=True)
        return [f"{a} * {b}" for a, b in pairs if "0" not in (a, b)]

    def _sum(self, x: Tensor, result: Tensor, dims: list[int] | None = None, *unused: Any) -> Tensor:
        dims = [*range(x.dim())] if dims is None else dims
        rows = _rows(x.movedim(dims, [*range(-len(dims), 0)]).flatten(-len(dims)))
        words = [" + ".join(self.text(row)) for row in rows]
        return self._computed(words, result.dtype).reshape(result.shape)

    def _convert(self, x: Tensor, before: torch.dtype, after: torch.dtype) -> Tensor:
        if before == torch.bool and after != torch.bool:
            formula = "({0} ? 1 : 0)"
        elif after == torch.bool and before != torch.bool:
            formula = "{0} !== 0"
        elif before.is_floating_point and not after.is_floating_point:
            formula = "trunc({0})"
        elif after == torch.float32 and before != torch.float32:
            formula = "{0}"
        else:
            return x
        return self._computed([formula.format(word) for word in self.text(x)], after).reshape(x.shape)

    def _rounded(self, x: Any, given: Any) -> Any:
        """An operand of an operation in float32."""
        if isinstance(x, float):
            return torch.tensor(x, dtype=torch.float32).item()
        is_double = isinstance(given, fx.Node) and given.meta["val"].dtype == torch.float64
        return self._convert(x, torch.float64, torch.float32) if is_double else x

    def _computed(self, expressions: list[str], dtype: torch.dtype) -> Tensor:
        """Places of expressions that get a name each, once; those of float32 are rounded to it."""
        rounded = [f"fround({e})" for e in expressions] if dtype == torch.float32 else expressions
        return self._places([self.names.setdefault(e, f"t{len(self.names)}") for e in rounded])

    def _literals(self, value: Any) -> Tensor:
        """Places of numbers and truth values."""
        dtype = torch.bool if isinstance(value, bool) else torch.float64
        tensor = value if isinstance(value, Tensor) else torch.tensor(value, dtype=dtype)
        return self._places([_literal(x) for x in tensor.flatten().tolist()]).reshape(tensor.shape)

    def _places(self, words: list[str]) -> Tensor:
        first = len(self.words)
        self.words += words
        return torch.arange(first, len(self.words))


def _literal(value: float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if math.isnan(value) or math.isinf(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _rows(places: Tensor) -> Tensor:
    return places.reshape(-1, places.shape[-1])


def _before(node: fx.Node) -> torch.dtype:
    """The dtype of a node's first argument."""
    dtype: torch.dtype = node.args[0].meta["val"].dtype  # type: ignore[union-attr]
    return dtype
