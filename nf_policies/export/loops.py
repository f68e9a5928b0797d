"""What C and JavaScript have in common: statements as loops over entries, or entry by entry where there are few."""

from collections.abc import Iterator

import numpy as np

from nf_policies.export.form import (
    PRECEDENCE,
    Apply,
    Choice,
    Constant,
    Expression,
    Form,
    Join,
    Number,
    Pick,
    Product,
    Slice,
    Statement,
    Vector,
    parts,
)

Index = int | str


class Loops:
    """Prints the statements of a form; a subclass says how its language spells numbers, places and functions.

    Args:
        form: To be printed.
        unrolled: Whether to print entry by entry, with the constants' numbers in the formulas.
    """

    indent = "    "
    loop = "for (int {i} = 0; {i} < {n}; {i}++)"

    def __init__(self, form: Form, *, unrolled: bool) -> None:
        self.form, self.unrolled = form, unrolled

    # What a language spells in its own way.

    def number(self, value: float) -> str:
        """A literal."""
        raise NotImplementedError

    def entry(self, constant: Constant, index: Index) -> str:
        """An entry of a table of constants, a matrix laid flat by rows."""
        return f"{constant.name}[{index}]"

    def whole(self, text: str) -> str:
        """A number of a table as an index."""
        return text

    def place(self, name: str, index: Index) -> str:
        """An entry of a vector."""
        return f"{name}[{index}]"

    def declare(self, statement: Statement) -> str | None:
        """The line that makes room for a statement's vector, if it needs one."""
        raise NotImplementedError

    def local(self, name: str, value: str) -> str:
        """A local number that is changed later."""
        raise NotImplementedError

    def function(self, name: str, arguments: list[str]) -> str:
        """A function of the form, applied."""
        raise NotImplementedError

    def truth(self, text: str) -> str:
        """A comparison as 1 or 0."""
        return text

    # What they share.

    def step(self) -> Iterator[str]:
        """The lines of a step."""
        for statement in self.form.statements:
            yield f"// {statement.name.replace('_', ' ')}: {statement.about}"
            if line := self.declare(statement):
                yield line
            yield from self.assign(statement)

    def tables(self) -> tuple[Constant, ...]:
        """The constants that stand in tables; none where the numbers are in the formulas."""
        if self.unrolled:
            return ()
        inside = (part for statement in self.form.statements for part in parts(statement.value))
        scattered = [part for part in inside if isinstance(part, Pick) and shift(part.indices) is None]
        return (*self.form.constants, *map(entries, scattered))

    def assign(self, statement: Statement) -> Iterator[str]:
        """The lines that compute a statement's vector."""
        match statement.value:
            case Product() as product:
                yield from self.product(statement, product)
            case Choice() as choice:
                yield from self.choice(statement, choice)
            case Join(parts=inner):
                first = 0
                for part in inner:
                    yield from self.fill(statement.name, part, first)
                    first += part.size
            case value:
                yield from self.fill(statement.name, value, 0)

    def fill(self, name: str, value: Expression, first: int) -> Iterator[str]:
        """Entries of a vector from `first` on."""
        if self.unrolled or value.size == 1:
            for i in range(value.size):
                yield f"{self.place(name, first + i)} = {self.at(value, i)};"
        else:
            target = self.place(name, shifted("i", first))
            yield f"{self.loop.format(i='i', n=value.size)} {target} = {self.at(value, 'i')};"

    def product(self, statement: Statement, product: Product) -> Iterator[str]:
        """A matrix times a vector: sums from the first column to the last."""
        rows, columns = product.matrix.values.shape
        if self.unrolled:
            for i in range(rows):
                terms = [self.at(product.bias, i)] if product.bias else []
                for j in range(columns):
                    factor = self.number(product.matrix.values[i, j])
                    terms.append(f"{factor} * {self.at(product.vector, j)}")
                yield f"{self.place(statement.name, i)} = {' + '.join(terms)};"
            return
        start = self.at(product.bias, "i") if product.bias else self.number(0.0)
        weight = self.weight(product.matrix)
        yield f"{self.loop.format(i='i', n=rows)} {{"
        yield f"{self.indent}{self.local('sum', start)}"
        loop = self.loop.format(i="j", n=columns)
        yield f"{self.indent}{loop} sum += {weight} * {self.at(product.vector, 'j')};"
        yield f"{self.indent}{self.place(statement.name, 'i')} = sum;"
        yield "}"

    def weight(self, matrix: Constant) -> str:
        """The entry of a matrix in row i and column j."""
        return self.entry(matrix, f"i * {matrix.values.shape[1]} + j")

    def choice(self, statement: Statement, choice: Choice) -> Iterator[str]:
        """Of each choice, the first of the largest logits; that of its first action is 0."""
        for i, (first, logits, start) in enumerate(choice.columns()):
            target = self.place(statement.name, i)
            if logits < 2:
                on = self.truth(f"{self.place(choice.outputs.name, first)} > 0")
                yield f"{target} = {plus(start, on)};" if logits else f"{target} = {start};"
                continue
            logit = self.place(choice.outputs.name, shifted("j", first))
            yield "{"
            yield f"{self.indent}{self.local('best', self.number(0.0))}"
            yield f"{self.indent}{target} = {start};"
            yield f"{self.indent}{self.loop.format(i='j', n=logits)}"
            yield f"{self.indent * 2}if ({logit} > best) {{"
            yield f"{self.indent * 3}best = {logit};"
            yield f"{self.indent * 3}{target} = {shifted('j', start + 1)};"
            yield f"{self.indent * 2}}}"
            yield "}"

    def at(self, value: Expression, i: Index, inside: int = 0) -> str:
        """An entry of an expression, in brackets where an operator of precedence `inside` needs them."""
        match value:
            case Number(value=number):
                return self.number(number)
            case Constant(values=values):
                index: Index = 0 if len(values) == 1 else i
                return self.number(values[int(index)]) if self.unrolled else self.entry(value, index)
            case Vector(name=name, size=size):
                return self.place(name, 0 if size == 1 else i)
            case Slice(vector=vector, start=start, size=size):
                return self.place(vector.name, shifted(0 if size == 1 else i, start))
            case Pick(vector=vector):
                return self.place(vector.name, self.picked(value, i))
            case Apply(operation=operation, arguments=(left, right)) if operation in PRECEDENCE:
                mine = PRECEDENCE[operation]
                text = f"{self.at(left, i, mine)} {operation} {self.at(right, i, mine + 1)}"
                return f"({text})" if mine < inside else text
            case Apply(operation=operation, arguments=arguments):
                return self.function(operation, [self.at(argument, i) for argument in arguments])
        raise TypeError(f"{type(value).__name__} has no entries of its own.")

    def picked(self, pick: Pick, i: Index) -> Index:
        """Which entry of its vector an entry of a pick is."""
        if isinstance(i, int):
            return pick.indices[i]
        offset = shift(pick.indices)
        return shifted(i, offset) if offset is not None else self.whole(self.entry(entries(pick), i))


def entries(pick: Pick) -> Constant:
    """A table of the indices of a pick."""
    return Constant(f"entries_of_{pick.vector.name}", np.array(pick.indices))


def plus(start: int, text: str) -> str:
    """A whole number plus a term."""
    return f"{start} + {text}" if start else text


def shift(indices: tuple[int, ...]) -> int | None:
    """The first index where the others follow one by one, else None."""
    return indices[0] if indices == tuple(range(indices[0], indices[0] + len(indices))) else None


def shifted(index: Index, by: int) -> Index:
    """An index plus a number."""
    if isinstance(index, int):
        return index + by
    return f"{index} + {by}" if by > 0 else f"{index} - {-by}" if by < 0 else index
