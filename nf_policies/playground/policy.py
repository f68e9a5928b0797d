"""A policy for the page: its step in JavaScript as a function of its parameters, and their names and values."""

import copy
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from nf_policies.evolution.start import scale_factors
from nf_policies.fields.parameters import ParameterVector
from nf_policies.playground.javascript import function
from nf_policies.playground.task import Part
from nf_policies.policies.policy import Policy

DOUBLE = torch.float64


class _OneStep(nn.Module):
    """What `torch.func.functional_call` calls with other parameters."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.field, self.head = policy.field, policy.head
        self.normalizer = policy.normalizer if policy.normalizer.count > 0 else nn.Identity()

    def forward(self, features: Tensor | None, potentials: Tensor | None) -> Any:
        """Initial potentials (1, memory_size), or all that happens in one step with features (1, input_size)."""
        if features is None:
            return self.field.start(1)
        trace = self.field.trace(self.normalizer(features), potentials, None)
        action = self.head.from_columns(trace.outputs.unbind(-1))
        return {"action": action, **trace._asdict()}


def policy_part(policy: Policy, scales: Mapping[str, float] = MappingProxyType({})) -> Part:
    """A policy that sees a Box and acts in a Discrete or Box space.

    Args:
        policy: What is played.
        scales: Factors of the natural scales of parameters, by the beginning of their names, for the search.
    Returns: The functions start(p), the initial memory, and step(p, u, x), an object of arrays: `action`, and the
        entries of a `Trace`; p are parameters, u the memory, x all entries of an observation.
    """
    policy = copy.deepcopy(policy).cpu().double()
    module, field = _OneStep(policy), policy.field
    vector = ParameterVector.of(field)
    entries = policy.encode.total
    visible = [*range(entries)] if policy.visible is None else list(policy.visible)

    seen = torch.tensor(visible)

    def called(p: Tensor, *arguments: Any) -> Any:
        named = {f"field.{name}": value for name, value in vector.split(p).items()}
        return torch.func.functional_call(module, named, arguments)

    def step(p: Tensor, u: Tensor, x: Tensor) -> Any:
        return called(p, x.index_select(-1, seen), u)

    x = torch.zeros(1, entries, dtype=DOUBLE)
    script = "\n".join(
        (
            function("start", lambda p: called(p, None, None), p=vector.start),
            function("step", step, p=vector.start, u=field.start(1), x=x),
        )
    )
    factors = scale_factors(scales, vector.names)
    about = {
        "kind": type(field).__name__,
        "neurons": field.hidden_size,
        "visible": visible,
        "parameters": [
            {"name": name, "value": value, "scale": scale, "searched": scale * factor}
            for name, value, scale, factor in zip(
                vector.names, vector.start.tolist(), vector.scale.tolist(), factors, strict=True
            )
        ],
    }
    return Part(about, script)
