"""Random problems, their solution in plain torch, which every solver must equal, and comparisons with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from nf_policies.fields.activations import ACTIVATIONS
from nf_policies.fields.dynamics import Coefficients, activate, integrate, internal_stimuli, reset
from nf_policies.kernels.operator import SOLVERS, Gradients, Problem

TENSORS = Gradients._fields


def reference(p: Problem) -> tuple[Tensor, Tensor]:
    """Outputs (time, batch, output_size) and potentials (time, batch, hidden_size), with autograd's gradients."""
    resting_level, rate, scale, bias, initial_potentials, *terms = p.neurons.unsqueeze(-2).unbind(-3)

    def dynamics(u: Tensor, s: Tensor, h: Tensor) -> Tensor:
        d = h - u
        power = d.abs() if p.power == 1 else d**2
        return s + d * (p.leak + sum(c * power ** (i + 1) for i, c in enumerate(terms)))

    c = Coefficients(p.lateral, resting_level, rate, scale, bias, initial_potentials, {}, {})
    activation = ACTIVATIONS[p.activation]
    stimuli = p.inputs if p.weights_in is None else torch.nn.functional.linear(p.inputs, p.weights_in, p.bias_in)
    potentials, steps = p.potentials, []
    for t, external in enumerate(stimuli):
        potentials = potentials if p.episode_starts is None else reset(c, potentials, p.episode_starts[t])
        internal = internal_stimuli(c, activate(c, activation, potentials), 1)
        potentials = integrate(c, dynamics, potentials, external + internal)
        steps.append(potentials)
    trajectory = torch.stack(steps)
    if p.weights_out is None:
        return trajectory.new_empty(*trajectory.shape[:2], 0), trajectory
    outputs = torch.nn.functional.linear(activate(c, activation, trajectory), p.weights_out, p.bias_out)
    return outputs, trajectory


def reference_backward(p: Problem, d_outputs: Tensor | None, d_trajectory: Tensor | None) -> Gradients:
    """Gradients of a problem's tensors, by solving it again; empty where the tensor is None."""
    leaves = {name: t.detach().requires_grad_() for name in TENSORS if (t := getattr(p, name)) is not None}
    pairs = zip(reference(p._replace(**leaves)), (d_outputs, d_trajectory), strict=True)
    ends, adjoints = zip(*((y, d) for y, d in pairs if d is not None), strict=True)
    found = torch.autograd.grad(ends, tuple(leaves.values()), adjoints, materialize_grads=True)
    gradients = dict(zip(leaves, found, strict=True))
    return Gradients(*(gradients.get(name, p.neurons.new_empty(0)) for name in TENSORS))


def random_problem(
    time: int = 12,
    batch: int = 5,
    inputs: int = 3,
    hidden: int = 8,
    outputs: int = 2,
    *,
    terms: int = 1,
    power: int = 2,
    activation: str = "tanh",
    leak: float = 1.0,
    starts: float | None = 0.2,
    biases: bool = False,
    gain: float = 1.0,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Problem:
    """A problem with moderate potentials; no inputs or outputs (0) means stimuli come, or potentials go, directly."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return (scale * torch.randn(*shape, generator=g)).to(dtype)

    neurons = torch.stack(
        [
            normal(hidden, scale=0.5),
            torch.rand(hidden, generator=g).to(dtype) * 0.6 + 0.1,
            torch.rand(hidden, generator=g).to(dtype) + 0.5,
            normal(hidden, scale=0.3),
            normal(hidden),
            *(torch.rand(hidden, generator=g).to(dtype) * 0.02 for _ in range(terms)),
        ]
    )
    return Problem(
        normal(time, batch, inputs or hidden, scale=gain),
        normal(batch, hidden),
        None if starts is None else torch.rand(time, batch, generator=g) < starts,
        normal(hidden, hidden, scale=hidden**-0.5),
        neurons,
        normal(hidden, inputs) if inputs else None,
        normal(hidden) if biases and inputs else None,
        normal(outputs, hidden, scale=hidden**-0.5) if outputs else None,
        normal(outputs) if biases and outputs else None,
        activation,
        power,
        leak,
    )


def double(p: Problem) -> Problem:
    """The same problem in float64."""
    return p._replace(**{name: t.double() for name in TENSORS if (t := getattr(p, name)) is not None})


def solved_with_gradients(solve: Any, p: Problem, seed: int = 1) -> dict[str, Tensor]:
    """Outputs, potentials and all gradients of a weighted sum of both."""
    leaves = {name: t.detach().clone().requires_grad_() for name in TENSORS if (t := getattr(p, name)) is not None}
    outputs, trajectory = solve(p._replace(**leaves))
    g = torch.Generator().manual_seed(seed)
    loss = sum(
        (y * torch.randn(y.shape, generator=g, dtype=torch.float64).to(y)).sum()
        for y in (outputs, trajectory)
        if y.numel()
    )
    gradients = torch.autograd.grad(loss, tuple(leaves.values()), materialize_grads=True)
    named = {f"d_{name}": gradient for name, gradient in zip(leaves, gradients, strict=True)}
    return {"outputs": outputs.detach(), "trajectory": trajectory.detach(), **named}


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Largest deviation over the largest expected magnitude; NaN stays NaN."""
    if expected.numel() == 0:
        return 0.0
    return ((found.double() - expected.double()).abs().max() / expected.abs().max().clamp(min=1e-30)).item()


def assert_parity(solve: Any, p: Problem, forward: float = 2e-6, backward: float = 1e-5) -> None:
    """A solver in the problem's dtype agrees with the reference in float64, its gradients with autograd's."""
    found = solved_with_gradients(solve, p)
    expected = solved_with_gradients(reference, double(p))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        limit = backward if name.startswith("d_") else forward
        error = relative_error(found[name], value)
        assert error <= limit, f"{name}: {error:.1e}"


@contextmanager
def watched_solver() -> Iterator[list[Problem]]:
    """The problems that the solver of a CPU is given inside the `with`."""
    solver, given = SOLVERS["cpu"], []

    def forward(p: Problem) -> tuple[Tensor, Tensor]:
        given.append(p)
        return solver.forward(p)

    SOLVERS["cpu"] = SimpleNamespace(fits=solver.fits, forward=forward, backward=solver.backward)
    try:
        yield given
    finally:
        SOLVERS["cpu"] = solver
