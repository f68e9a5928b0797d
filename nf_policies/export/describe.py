"""From a policy to its form: the only place that says what each kind of field, cell and head computes."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nf_policies.export.form import (
    ACTION,
    ACTIVE,
    ACTIVE_BEFORE,
    AFTER,
    MEMORY,
    OBSERVATION,
    Apply,
    Choice,
    Constant,
    Expression,
    Form,
    Join,
    Pick,
    Product,
    Slice,
    Statement,
    Vector,
    function,
    used,
)
from nf_policies.export.text import clean
from nf_policies.fields.activations import names_of
from nf_policies.fields.dynamics import CHANGES_MAX, polynomial
from nf_policies.fields.field import Field
from nf_policies.kernels.operator import POTENTIALS_MAX
from nf_policies.policies.cells import GRU, LSTM, Cell, Memoryless
from nf_policies.policies.policy import CLIP, Policy
from nf_policies.policies.spaces import BoxHead, DiscreteHead, MultiBinaryHead, MultiDiscreteHead, Part


class Lines:
    """The statements so far."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []

    def let(self, name: str, value: Expression, about: str) -> Vector:
        """Give a name to a vector."""
        self.statements.append(Statement(name, value, about))
        return Vector(name, value.size)


@torch.no_grad()
def describe(policy: Policy) -> Form:
    """The form of a policy.

    Raises: ValueError if the policy holds modules or functions of your own, which no target knows.
    """
    policy.field.describe()  # refuses what is no part of this package
    own = type(policy).step is not Policy.step or (isinstance(policy.field, Field) and not policy.field.is_plain())
    kind, like = type(policy.field), policy.normalizer.mean
    if own or (kind not in CELLS and not isinstance(policy.field, Field)):
        raise ValueError(f"A {kind.__name__} with a step of its own cannot be exported: only its own Python knows it.")
    lines = Lines()
    seen = features(lines, policy)
    memory = Vector(MEMORY, len(start := numbers(policy.field.start(1)[0])))
    outputs = CELLS.get(kind, field)(lines, policy.field, seen, memory)
    integers = head(lines, policy.head, outputs)
    name = clean(f"{policy.env_id or 'A policy'}: {kind.__name__}, {policy.n_parameters} parameters")
    dtype = np.dtype(str(like.dtype).removeprefix("torch."))
    size = sum(map(entries_of, policy.encode.parts))
    return Form(name, size, start, used(lines.statements, ACTION, AFTER), integers, dtype)


def numbers(tensor: Tensor) -> np.ndarray:
    """A tensor's numbers, exact."""
    return tensor.detach().cpu().double().numpy()


def entries_of(part: Part) -> int:
    """Number of entries of a part of an observation, laid flat."""
    return len(part.digits[0]) if part.digits else part.total


def features(lines: Lines, policy: Policy) -> Vector:
    """What the field sees of an observation: visible entries, or one-hot digits, normalised."""
    encode, normalizer = policy.encode, policy.normalizer
    observation = Vector(OBSERVATION, sum(map(entries_of, encode.parts)))
    entry: list[int] = []  # of each feature, the entry of the observation that it is read from
    digit: list[float] = []  # and the value for which it is 1, NaN where it is the entry itself
    first = 0
    for part in encode.parts:
        counts, starts = part.digits[:2] if part.digits else ((1,) * part.total, (np.nan,) * part.total)
        for k, (n, start) in enumerate(zip(counts, starts, strict=True)):
            entry += [first + k] * int(n)
            digit += [float(start) + value for value in range(int(n))]
        first += len(counts)
    visible = list(range(encode.total) if encode.visible is None else encode.visible)
    runs = itertools.groupby(visible, lambda feature: bool(np.isnan(digit[feature])))
    shown: list[Expression] = []
    for k, (plain, run) in enumerate(runs):
        ones = list(run)
        read = Pick(observation, tuple(entry[feature] for feature in ones))
        values = Constant(f"digits_{k}", np.array([digit[feature] for feature in ones]))
        shown.append(read if plain else function("equal", read, values))
    about = (
        "the entries that the policy sees" if digit == [] or np.isnan(digit).all() else "1 where a digit has its value"
    )
    seen = lines.let("features", shown[0] if len(shown) == 1 else Join(tuple(shown)), about)
    if not normalizer.count > 0:
        return seen
    mean, std = Constant("mean", numbers(normalizer.mean)), Constant("std", numbers(normalizer.std))
    inputs = function("clip", (seen - mean) / std, -CLIP, CLIP)
    return lines.let("inputs", inputs, "features in standard deviations from their mean")


def field(lines: Lines, field: Field, inputs: Vector, memory: Vector) -> Vector:
    """A `NeuralField` or `SimpleNeuralField`: statements in the names of `fields.dynamics`."""
    c, n, h = field.coefficients(), field.input_size, field.hidden_size
    before: Expression = memory
    known, felt = Slice(memory, h + n, 1), inputs
    if field.kept:
        gain = Constant("change_gain", numbers(field.change_gain))
        differences = inputs - Slice(memory, h, n)
        clipped = function("clip", gain * known * differences, -CHANGES_MAX, CHANGES_MAX)
        changes = lines.let("changes", clipped, "of the inputs since the step before")
        felt, before = lines.let("felt", Join((inputs, changes)), "inputs and their changes"), Slice(memory, 0, h)
    row = {name: Constant(name, numbers(t)) for name, t in c._asdict().items() if isinstance(t, Tensor)}
    form = polynomial(field.dynamics, c.dynamics)
    assert form is not None  # one of the six, as a field that can be described has it

    def activations(name: str, potentials: Expression, about: str) -> Vector:
        shifted = potentials + row["bias"] if "bias" in row else potentials
        return lines.let(name, activate(lines, field, row["scale"] * shifted), about)

    active = activations(ACTIVE_BEFORE, before, "of the potentials before the step")
    external = lines.let("stimuli_external", linear(field.input_embedding, "input_embedding", felt), "of the inputs")
    lateral = Constant("lateral", numbers(c.lateral).reshape(-1, field.hidden_size))
    internal = lines.let("stimuli_internal", Product(lateral, active), "of the neighbours")
    if field.pooling_norm > 1:
        internal = pool(lines, internal, field.hidden_size, field.pooling_norm)
    d = lines.let("deviation", row["resting_level"] - before, "of the potentials from their resting level")
    leak: Expression = Apply("*", (Constant("leak", np.array([form.leak])), d)) if form.leak != 1 else d
    if form.terms:
        power = function("abs", d) if form.power == 1 else d * d
        terms = [Constant(f"decay_{k}", numbers(term)) for k, term in enumerate(form.terms, start=1)]
        size = lines.let("power", power, "of the deviation")
        sum_ = terms[0] * size + form.leak
        leak = d * (sum_ + terms[1] * (size * size) if terms[1:] else sum_)
    after = before + row["rate"] * ((external + internal) + leak)
    clipped = function("clip", after, -POTENTIALS_MAX, POTENTIALS_MAX)
    potentials = lines.let("potentials_after" if field.kept else AFTER, clipped, "one step later")
    activity = activations(ACTIVE, potentials, "of the potentials")
    if field.kept:
        lines.let(
            AFTER, Join((potentials, inputs, known * 0 + 1)), "the memory: potentials, and inputs to compare with"
        )
    return lines.let("outputs", linear(field.output_embedding, "output_embedding", activity), "of the field")


def activate(lines: Lines, field: Field, scaled: Expression) -> Expression:
    """One nonlinearity for all neurons, or runs of neurons with one each."""
    names = names_of(field.activation)
    if isinstance(names, str):
        return function(names, scaled)
    vector = lines.let(f"scaled_{len(lines.statements)}", scaled, "potentials before the nonlinearities")
    return Join(tuple(function(name, Slice(vector, neuron, 1)) for neuron, name in enumerate(names)))


def pool(lines: Lines, channels: Vector, size: int, norm: int) -> Vector:
    """LP pooling: the p-th root of the sum of p-th powers over channels, keeping the sign for odd p."""
    total: Expression | None = None
    for start in range(0, channels.size, size):
        channel = power = Slice(channels, start, size)
        for _ in range(norm - 1):
            power = power * channel  # type: ignore[assignment]
        total = power if total is None else total + power
    assert total is not None
    return lines.let("stimuli_pooled", function("root", total, norm), "of all channels")


def linear(layer: Any, name: str, inputs: Vector | Slice) -> Product:
    """A `torch.nn.Linear`."""
    bias = None if layer.bias is None else Constant(f"{name}_bias", numbers(layer.bias))
    return Product(Constant(name, numbers(layer.weight)), inputs, bias)


def gates(lines: Lines, cell: Cell, inputs: Vector, hidden: Vector | Slice) -> tuple[Vector, Vector]:
    """What inputs and hidden units contribute to the gates of a GRU or LSTM."""
    c: Any = cell.cell
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    w_i, w_h, b_i, b_h = (Constant(name, numbers(getattr(c, name))) for name in names)
    external = lines.let("gates_external", Product(w_i, inputs, b_i), "of the inputs")
    return external, lines.let("gates_internal", Product(w_h, hidden, b_h), "of the memory")


def read_out(lines: Lines, cell: Cell, hidden: Vector | Slice) -> Vector:
    """The outputs of a cell's hidden units."""
    return lines.let("outputs", linear(cell.output_embedding, "output_embedding", hidden), "of the cell")


def gru(lines: Lines, cell: Cell, inputs: Vector, memory: Vector) -> Vector:
    """The reset, update and new gates, as `GRU.advance`."""
    n = cell.hidden_size
    external, internal = gates(lines, cell, inputs, memory)
    (r, z, new), (r_h, z_h, new_h) = (tuple(Slice(v, k * n, n) for k in range(3)) for v in (external, internal))
    reset = lines.let("reset", function("sigmoid", r + r_h), "how much of the memory the new units see")
    update = lines.let("update", function("sigmoid", z + z_h), "how much of the memory is kept")
    candidate = lines.let("candidate", function("tanh", new + reset * new_h), "the new units")
    hidden = lines.let(AFTER, candidate + update * (memory - candidate), "the hidden units, one step later")
    return read_out(lines, cell, hidden)


def lstm(lines: Lines, cell: Cell, inputs: Vector, memory: Vector) -> Vector:
    """The input, forget, candidate and output gates, as `LSTM.advance`."""
    n = cell.hidden_size
    external, internal = gates(lines, cell, inputs, Slice(memory, 0, n))
    i, f, g, o = (Slice(external, k * n, n) + Slice(internal, k * n, n) for k in range(4))
    kept = function("sigmoid", f) * Slice(memory, n, n)
    state = lines.let("cell", kept + function("sigmoid", i) * function("tanh", g), "the cell state, one step later")
    hidden = lines.let("hidden", function("sigmoid", o) * function("tanh", state), "the hidden units")
    lines.let(AFTER, Join((hidden, state)), "the memory: hidden units and cell state")
    return read_out(lines, cell, hidden)


def memoryless(lines: Lines, cell: Cell, inputs: Vector, memory: Vector) -> Vector:
    """Layers of tanh units, as `Memoryless.layers`."""
    hidden, layers = inputs, list(cell.layers.children())  # type: ignore[union-attr]
    for k, layer in enumerate(layers[::2]):
        sums = lines.let(f"sums_{k}", linear(layer, f"layer_{k}", hidden), f"of layer {k}")
        hidden = lines.let(f"hidden_{k}", function("tanh", sums), f"units of layer {k}")
    return read_out(lines, cell, hidden)


CELLS: dict[type, Callable[[Lines, Any, Vector, Vector], Vector]] = {GRU: gru, LSTM: lstm, Memoryless: memoryless}
"""What describes a cell, by its class; all else is a field."""


def head(lines: Lines, head: Any, outputs: Vector) -> bool:
    """The action, as the last statement. Returns whether it is of whole numbers."""
    match head:
        case DiscreteHead():
            lines.let(ACTION, Choice(outputs, (head.n,), (head.start,)), "the choice with the largest logit")
        case MultiDiscreteHead():
            starts = tuple(head.start.tolist())
            lines.let(ACTION, Choice(outputs, tuple(head.nvec), starts), "the choices with the largest logits")
        case MultiBinaryHead():
            lines.let(ACTION, function("positive", outputs), "on where an output is positive")
        case BoxHead():
            low, high = numbers(head.low) / 2, numbers(head.high) / 2
            within = function("tanh", outputs) if head.squash == "tanh" else function("clip", outputs, -1, 1)
            dtype = str(head.low.dtype).removeprefix("torch.")
            middle = Constant("middle", (high.astype(dtype) + low.astype(dtype)).astype(np.float64))
            reach = Constant("reach", (high.astype(dtype) - low.astype(dtype)).astype(np.float64))
            bounds = (Constant(name, numbers(getattr(head, name))) for name in ("lowest", "highest"))
            value: Expression = middle + reach * within
            if head.whole:  # a space of whole numbers
                value = function("round", value)
            lines.let(ACTION, function("clip", value, *bounds), "within the bounds of its space")
            return False
        case _:
            raise ValueError(f"A {type(head).__name__} cannot be exported.")
    return True
