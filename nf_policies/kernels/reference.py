"""A problem in plain torch: the definition that the compiled recurrences must equal, on any device and dtype."""

import torch
from torch import Tensor

from nf_policies.fields.activations import ACTIVATIONS
from nf_policies.fields.dynamics import Coefficients, activate, unroll
from nf_policies.kernels.problem import Gradients, Problem


def solve(p: Problem) -> tuple[Tensor, Tensor]:
    """Outputs (time, batch, output_size) and potentials (time, batch, hidden_size), with autograd's gradients."""
    resting_level, rate, scale, bias, initial_potentials, *terms = p.neurons.unsqueeze(-2).unbind(-3)

    def dynamics(u: Tensor, s: Tensor, h: Tensor) -> Tensor:
        d = h - u
        power = d.abs() if p.power == 1 else d**2
        return s + d * (p.leak + sum(c * power ** (i + 1) for i, c in enumerate(terms)))

    c = Coefficients(p.lateral, resting_level, rate, scale, bias, initial_potentials, {}, {})
    activation = ACTIVATIONS[p.activation]
    stimuli = p.inputs if p.weights_in is None else torch.nn.functional.linear(p.inputs, p.weights_in, p.bias_in)
    trajectory = unroll(c, activation, dynamics, 1, stimuli, p.potentials, p.episode_starts)
    if p.weights_out is None:
        return trajectory.new_empty(*trajectory.shape[:2], 0), trajectory
    outputs = torch.nn.functional.linear(activate(c, activation, trajectory), p.weights_out, p.bias_out)
    return outputs, trajectory


def backward(p: Problem, d_outputs: Tensor | None, d_trajectory: Tensor | None) -> Gradients:
    """Gradients of a problem's tensors, by solving it again; empty where the tensor is None."""
    with torch.enable_grad():
        leaves = {
            name: t.detach().requires_grad_() for name in Gradients._fields if (t := getattr(p, name)) is not None
        }
        outputs, trajectory = solve(p._replace(**leaves))
        pairs = [(y, d) for y, d in ((outputs, d_outputs), (trajectory, d_trajectory)) if d is not None]
        ends, adjoints = zip(*pairs, strict=True)
        found = torch.autograd.grad(ends, tuple(leaves.values()), adjoints, materialize_grads=True)
    gradients = dict(zip(leaves, found, strict=True))
    return Gradients(*(gradients.get(name, p.neurons.new_empty(0)) for name in Gradients._fields))
