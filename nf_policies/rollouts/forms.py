"""A population of policies as plain functions of tensors, in the two forms that run fast.

`UnrolledPolicy`: few neurons, written out one by one, each value a tensor (lanes,): everything fuses into one loop.
`MatrixPolicy`: any field, its step as it is, for tensors (pop_size, episodes, features).

A lane is one episode of one candidate; candidate-major, so lane = candidate * episodes + episode. Both are used as

    action, memory = form.act(coefficients, features, memory)

with features after normalisation, one tensor (lanes,) each.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nf_policies.fields.activations import PerNeuron
from nf_policies.fields.dynamics import POTENTIALS_MAX, Coefficients, take
from nf_policies.policies import Policy
from nf_policies.policies.spaces import BoxHead, DiscreteHead

UNROLLED_TERMS = 128
"""Products per step up to which a field is written out; beyond it, matrix products are faster."""

Memory = tuple[Tensor, ...]
Numbers = Sequence[Tensor]


class Layout(NamedTuple):
    """Where the entries of one coefficient are among the rows of `UnrolledPolicy.coefficients`."""

    first: int
    shape: tuple[int, ...]

    def __call__(self, rows: Numbers, *index: int) -> Tensor:
        """The row of one entry; an axis of length 1 is shared."""
        at = 0
        for i, n in zip(index, self.shape, strict=True):
            at = at * n + (i if n > 1 else 0)
        return rows[self.first + at]


class UnrolledPolicy:
    """Few neurons, written out: coefficients are rows of one tensor (rows, lanes), memory is tensors (lanes,).

    Args:
        policy: `fits(policy)` must hold.
    """

    group = 1
    """Lanes that must stay together when finished ones are left out."""

    def __init__(self, policy: Policy) -> None:
        field = policy.field
        self.field, self.head, self.hidden_size = field, policy.head, field.hidden_size
        functions = functions_of(field.activation)
        self.functions = functions if len(functions) > 1 else functions * field.hidden_size
        # A bias that is fixed is zero, and adding it would cost an operation per neuron and step.
        self.biased = "activation_bias" in dict(field.named_parameters())
        self.layout: dict[str, Layout] = {}

    @staticmethod
    def fits(policy: Policy) -> bool:
        """Whether a policy can be written out, and should be."""
        field = policy.field
        size = field.hidden_size
        return (
            size * (field.input_size + size + field.output_size) <= UNROLLED_TERMS
            and field.pooling_norm == 1
            and not any(isinstance(f, nn.Module) for f in functions_of(field.activation))
            and all(type(m) is nn.Linear and m.bias is None for m in (field.input_embedding, field.output_embedding))
        )

    def coefficients(self, c: Coefficients, episodes: int) -> Tensor:
        """One row per number that a step uses. Shape: (rows, lanes)."""
        parts = {
            "lateral": c.lateral,
            "resting_level": c.resting_level.squeeze(-2),
            "rate": c.rate.squeeze(-2),
            "scale": c.scale.squeeze(-2),
            **({} if c.bias is None else {"bias": c.bias.squeeze(-2)}),
            "initial_potentials": c.initial_potentials.squeeze(-2),
            "input": c.modules["input_embedding"]["weight"],
            "output": c.modules["output_embedding"]["weight"],
        } | {f"dynamics.{name}": value.squeeze(-2) for name, value in c.dynamics.items()}
        self.layout, first = {}, 0
        for name, value in parts.items():
            self.layout[name] = Layout(first, tuple(value.shape[1:]))
            first += value[0].numel()
        rows = torch.cat([value.reshape(len(value), -1).expand(len(c.rate), -1) for value in parts.values()], dim=1)
        return rows.T.repeat_interleave(episodes, dim=1)

    def pick(self, coefficients: Any, lanes: Tensor) -> Any:
        """The coefficients of some lanes."""
        return coefficients[:, lanes]

    def start(self, coefficients: Tensor) -> Memory:
        """The memory at the start of an episode: potentials, then activations."""
        rows = coefficients.unbind()
        potentials = [self.layout["initial_potentials"](rows, i) for i in range(self.hidden_size)]
        return (*potentials, *self._activations(rows, potentials))

    def act(self, coefficients: Tensor, features: Numbers, memory: Memory) -> tuple[Tensor, Memory]:
        """One step: the actions (lanes, ...) and the memory after it."""
        rows, at, size = coefficients.unbind(), self.layout, self.hidden_size
        before = memory[size:]
        names = [name for name in at if name.startswith("dynamics.")]
        potentials = []
        for i in range(size):
            external = dot([at["input"](rows, i, j) for j in range(len(features))], features)
            internal = dot([at["lateral"](rows, i, j) for j in range(size)], before)
            optional = {name.removeprefix("dynamics."): at[name](rows, i) for name in names}
            u, h, rate = memory[i], at["resting_level"](rows, i), at["rate"](rows, i)
            change = self.field.dynamics(u, external + internal, h, **optional)
            potentials.append(torch.addcmul(u, rate, change).clamp(-POTENTIALS_MAX, POTENTIALS_MAX))
        activations = self._activations(rows, potentials)
        outputs = [
            dot([at["output"](rows, k, i) for i in range(size)], activations) for k in range(self.field.output_size)
        ]
        return action(self.head, outputs), (*potentials, *activations)

    def _activations(self, rows: Numbers, potentials: Numbers) -> list[Tensor]:
        at = self.layout
        if self.biased:
            potentials = [u + at["bias"](rows, i) for i, u in enumerate(potentials)]
        return [f(at["scale"](rows, i) * u) for i, (f, u) in enumerate(zip(self.functions, potentials, strict=True))]


class MatrixPolicy:
    """Any field: coefficients as the field has them, memory is one tensor (pop_size, episodes, hidden_size).

    Args:
        policy: Any.
        episodes: Per candidate.
    """

    def __init__(self, policy: Policy, episodes: int) -> None:
        self.field, self.head, self.group = policy.field, policy.head, episodes

    def coefficients(self, c: Coefficients, episodes: int) -> Coefficients:
        """As they are."""
        return c

    def pick(self, coefficients: Any, lanes: Tensor) -> Any:
        """The coefficients of the candidates of some whole groups of lanes."""
        return take(coefficients, lanes[:: self.group] // self.group)

    def start(self, coefficients: Coefficients) -> Memory:
        """The memory at the start of an episode."""
        initial = coefficients.initial_potentials
        return (initial.expand(-1, self.group, -1).contiguous(),)

    def act(self, coefficients: Coefficients, features: Numbers, memory: Memory) -> tuple[Tensor, Memory]:
        """One step: the actions (lanes, ...) and the memory after it."""
        (potentials,) = memory
        inputs = torch.stack(tuple(features), dim=-1).reshape(*potentials.shape[:2], len(features))
        outputs, potentials = self.field.step(inputs, potentials, coefficients)
        return action(self.head, outputs.flatten(0, 1).unbind(-1)), (potentials,)


Form = UnrolledPolicy | MatrixPolicy


def form_of(policy: Policy, episodes: int) -> Form:
    """The form in which a policy runs fast."""
    return UnrolledPolicy(policy) if UnrolledPolicy.fits(policy) else MatrixPolicy(policy, episodes)


def functions_of(activation: Any) -> tuple[Any, ...]:
    """The nonlinearities of a field: one for all neurons, or one for each."""
    return activation.functions if isinstance(activation, PerNeuron) else (activation,)


def dot(weights: Numbers, values: Numbers) -> Tensor:
    """Sum of products of tensors (lanes,)."""
    total = weights[0] * values[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = torch.addcmul(total, weight, value)
    return total


def action(head: nn.Module, outputs: Numbers) -> Any:
    """What a policy's head makes of its outputs, each (lanes,). Shape: (lanes, ...)."""
    if isinstance(head, DiscreteHead):
        if head.n == 2:
            return (outputs[0] > 0).to(torch.int64) + head.start
        greatest, choice = torch.zeros_like(outputs[0]), torch.zeros_like(outputs[0], dtype=torch.int64)
        for i, logit in enumerate(outputs[: head.n - 1], start=1):
            better = logit > greatest
            greatest, choice = torch.where(better, logit, greatest), torch.where(better, i, choice)
        return choice + head.start
    if isinstance(head, BoxHead) and math.prod(head.shape) == 1:
        return head(outputs[0].unsqueeze(-1))
    return head(torch.stack(tuple(outputs), dim=-1))
