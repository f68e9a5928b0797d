"""A population of policies as plain functions of tensors, in the two forms that run fast.

`UnrolledPolicy`: few neurons, one by one, each value a tensor (n,): everything fuses into one loop.
`MatrixPolicy`: any field, by its own step, for tensors (pop_size, episodes, features).

The n episodes are candidate-major: number candidate * episodes + episode. Both forms are used as

    action, memory = form.act(form.unpack(coefficients), features, memory)

with features after normalisation, one tensor (n,) each.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nf_policies.fields.activations import PerNeuron
from nf_policies.fields.dynamics import CHANGES_MAX, Coefficients, activate, has_hooks, integrate, take
from nf_policies.fields.field import Field
from nf_policies.policies.policy import Policy
from nf_policies.policies.spaces import BoxHead, DiscreteHead, MultiBinaryHead, MultiDiscreteHead

UNROLLED_TERMS = 128
"""Products per step up to which a field is unrolled; beyond it, matrix products are faster."""
VECTORS = ("resting_level", "rate", "scale", "bias", "initial_potentials")
"""Coefficients with one number per neuron, or one for all."""
HEADS = (DiscreteHead, MultiDiscreteHead, MultiBinaryHead, BoxHead)

Memory = tuple[Tensor, ...]
Numbers = Sequence[Tensor]


class Unrolled(NamedTuple):
    """What a step of few neurons uses, each number a tensor (n,)."""

    neurons: list[Coefficients]
    """Of each neuron, but for the lateral weights."""
    inputs: list[list[Tensor]]
    lateral: list[list[Tensor]]
    outputs: list[list[Tensor]]


class UnrolledPolicy:
    """Few neurons, one by one: coefficients are rows of one tensor (rows, n), memory is tensors (n,)."""

    group = 1
    """Episodes that must stay together when finished ones are left out."""

    def __init__(self, policy: Policy) -> None:
        field = policy.field
        self.field, self.head, self.hidden_size = field, policy.head, field.hidden_size
        functions = functions_of(field.activation)
        self.functions = functions if len(functions) > 1 else functions * field.hidden_size
        self.gains = gains_of(field)
        self.layout: dict[str, int] = {}
        """Rows of each part of the coefficients, in order."""

    @staticmethod
    def fits(policy: Policy) -> bool:
        """Whether a policy can be unrolled, and should be: its step is Field's own, without hooks."""
        field = policy.field
        if not (isinstance(field, Field) and field.is_plain() and is_plain_head(policy.head)):
            return False
        size = field.hidden_size
        return (
            size * (field.felt + size + field.output_size) <= UNROLLED_TERMS
            and field.pooling_norm == 1
            and not any(isinstance(f, nn.Module) for f in functions_of(field.activation))
            and all(
                type(m) is nn.Linear and m.bias is None and not has_hooks(m)
                for m in (field.input_embedding, field.output_embedding)
            )
        )

    def key(self) -> tuple[Any, ...]:
        """What the steps depend on besides tensors, once there are coefficients."""
        field = self.field
        sizes = (field.input_size, self.hidden_size, field.output_size, *self.gains)
        return (*sizes, field.dynamics, *self.functions, *self.layout.items())

    def coefficients(self, c: Coefficients, episodes: int) -> Tensor:
        """One row per number that a step uses. Shape: (rows, n)."""
        weights = {part: c.modules[f"{part}_embedding"]["weight"] for part in ("input", "output")}
        parts = {"lateral": c.lateral} | weights | c.dynamics
        parts |= {name: getattr(c, name) for name in VECTORS if getattr(c, name) is not None}
        self.layout = {name: value[0].numel() for name, value in parts.items()}
        rows = torch.cat([value.reshape(len(value), -1).expand(len(c.rate), -1) for value in parts.values()], dim=1)
        return rows.T.repeat_interleave(episodes, dim=1)

    def pick(self, coefficients: Any, which: Tensor) -> Any:
        """The coefficients of some episodes."""
        return coefficients[:, which]

    def unpack(self, coefficients: Tensor) -> Unrolled:
        """The coefficients, number by number."""
        rows, n = iter(coefficients.unbind()), self.hidden_size
        parts = {name: [next(rows) for _ in range(count)] for name, count in self.layout.items()}

        def matrix(name: str, width: int) -> list[list[Tensor]]:
            return [parts[name][i : i + width] for i in range(0, len(parts[name]), width)]

        def of_neuron(name: str, i: int) -> Any:
            return parts[name][i % len(parts[name])] if name in parts else None  # one number is shared by all

        neurons = [
            Coefficients(
                lateral=parts["lateral"][i],
                dynamics={name: of_neuron(name, i) for name in self.field.uses},
                modules={},
                **{name: of_neuron(name, i) for name in VECTORS},
            )
            for i in range(n)
        ]
        return Unrolled(neurons, matrix("input", self.field.felt), matrix("lateral", n), matrix("output", n))

    def start(self, unrolled: Unrolled) -> Memory:
        """The memory at the start of an episode: potentials, then activations, then what is kept of inputs."""
        potentials = [c.initial_potentials for c in unrolled.neurons]
        return (*potentials, *self._activations(unrolled, potentials), *[0 * potentials[0]] * self.field.kept)

    def act(self, unrolled: Unrolled, features: Numbers, memory: Memory) -> tuple[Tensor, Memory]:
        """One step: the actions (n, ...) and the memory after it."""
        n, dynamics = self.hidden_size, self.field.dynamics
        before, kept = memory[n : 2 * n], memory[2 * n :]
        if kept:
            known = kept[-1]
            felt = [g * known * (x - old) for g, x, old in zip(self.gains, features, kept[:-1], strict=True)]
            changes = [change.clamp(-CHANGES_MAX, CHANGES_MAX) for change in felt]
            features, kept = (*features, *changes), (*features, torch.ones_like(known))
        potentials = [
            integrate(c, dynamics, u, dot(weights, features) + dot(lateral, before))
            for c, u, weights, lateral in zip(unrolled.neurons, memory, unrolled.inputs, unrolled.lateral, strict=False)
        ]
        activations = self._activations(unrolled, potentials)
        outputs = [dot(weights, activations) for weights in unrolled.outputs]
        return self.head.from_columns(outputs), (*potentials, *activations, *kept)

    def _activations(self, unrolled: Unrolled, potentials: Numbers) -> list[Tensor]:
        parts = zip(unrolled.neurons, self.functions, potentials, strict=True)
        return [activate(c, function, u) for c, function, u in parts]


class MatrixPolicy:
    """Any field or cell: coefficients as it has them, memory is one tensor (pop_size, episodes, memory_size)."""

    def __init__(self, policy: Policy, episodes: int) -> None:
        self.field, self.head, self.group = policy.field, policy.head, episodes
        self.plain_head = is_plain_head(policy.head)

    def key(self) -> tuple[Any, ...]:
        """What the steps depend on besides tensors: with modules or steps of your own, on this very field and head."""
        field = self.field
        if not (isinstance(field, Field) and field.is_plain() and self.plain_head):
            return self.group, field, self.head
        parts = (field.input_embedding, field.output_embedding)
        if not all(type(m) is nn.Linear and not has_hooks(m) for m in parts):
            return self.group, field
        sizes, biases = (field.felt, field.hidden_size, field.output_size), (m.bias is None for m in parts)
        formula = field.pooling_norm, field.dynamics, *functions_of(field.activation)
        return (self.group, *sizes, *biases, *gains_of(field), *formula)

    def coefficients(self, c: Coefficients, episodes: int) -> Coefficients:
        """As they are."""
        return c

    def pick(self, coefficients: Any, which: Tensor) -> Any:
        """The coefficients of the candidates of some whole groups of episodes."""
        return take(coefficients, which[:: self.group] // self.group)

    def unpack(self, coefficients: Coefficients) -> Coefficients:
        """As they are."""
        return coefficients

    def start(self, coefficients: Coefficients) -> Memory:
        """The memory at the start of an episode."""
        initial = coefficients.initial_potentials
        return (initial.expand(-1, self.group, -1).contiguous(),)

    def act(self, coefficients: Coefficients, features: Numbers, memory: Memory) -> tuple[Tensor, Memory]:
        """One step: the actions (n, ...) and the memory after it."""
        (potentials,) = memory
        inputs = torch.stack(tuple(features), dim=-1).reshape(*potentials.shape[:2], len(features))
        trace = self.field.trace(inputs, potentials, coefficients)
        outputs = trace.outputs.flatten(0, 1)
        action = self.head.from_columns(outputs.unbind(-1)) if self.plain_head else self.head(outputs)
        return action, (trace.potentials,)


Form = UnrolledPolicy | MatrixPolicy


def form_of(policy: Policy, episodes: int) -> Form:
    """The form in which a policy runs fast."""
    return UnrolledPolicy(policy) if UnrolledPolicy.fits(policy) else MatrixPolicy(policy, episodes)


def functions_of(activation: Any) -> tuple[Any, ...]:
    """The nonlinearities of a field: one for all neurons, or one for each."""
    return activation.functions if isinstance(activation, PerNeuron) else (activation,)


def gains_of(field: Field) -> list[float]:
    """What a field that feels changes multiplies them by, one number per input; none of another."""
    return field.change_gain.tolist() if field.kept else []


def is_plain_head(head: nn.Module) -> bool:
    """Whether a head may be given its outputs one by one: it is one of ours, without hooks."""
    return type(head) in HEADS and not has_hooks(head)


def dot(weights: Numbers, values: Numbers) -> Tensor:
    """Sum of products of tensors (n,)."""
    total = weights[0] * values[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = torch.addcmul(total, weight, value)
    return total
