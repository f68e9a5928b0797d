"""The fused recurrence as one operator of torch, `nf_policies::recurrence`, with its gradient.

Autograd, `torch.compile`, `torch.export`, `functional_call` and `vmap` see one node, whatever solves it: compiled C++
where there is a compiler, Triton where there is a GPU, else the reference. Gradients of gradients are refused; the
reference has them.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nf_policies.kernels import cpu, gpu, reference
from nf_policies.kernels.problem import Gradients, Problem

N_TENSORS = len(Gradients._fields) + 1
"""Tensors of a problem: those with gradients, and the episode starts."""


def _solve(*problem: Any) -> tuple[Tensor, Tensor]:
    p = Problem(*problem)
    if gpu.fits(p):
        with gpu.single_precision():
            return gpu.forward(p)
    solver = cpu.find(p)
    return reference.solve(p) if solver is None else cpu.forward(solver, p)


def _solve_backward(
    d_outputs: Tensor | None, d_trajectory: Tensor | None, trajectory: Tensor, inputs_need_it: bool, *problem: Any
) -> Gradients:
    p = Problem(*problem)
    if gpu.fits(p):
        with gpu.single_precision():
            return gpu.backward(p, trajectory, d_outputs, d_trajectory, inputs_need_it)
    solver = cpu.find(p)
    if solver is None:
        return reference.backward(p, d_outputs, d_trajectory)
    return cpu.backward(solver, p, trajectory, d_outputs, d_trajectory, inputs_need_it)


@torch.library.custom_op("nf_policies::recurrence", mutates_args=())
def recurrence(
    inputs: Tensor,
    potentials: Tensor,
    episode_starts: Tensor | None,
    lateral: Tensor,
    neurons: Tensor,
    weights_in: Tensor | None,
    bias_in: Tensor | None,
    weights_out: Tensor | None,
    bias_out: Tensor | None,
    activation: str,
    power: int,
    leak: float,
) -> tuple[Tensor, Tensor]:
    """Outputs (time, batch, output_size) and potentials (time, batch, hidden_size); arguments as in `Problem`."""
    return _solve(
        inputs,
        potentials,
        episode_starts,
        lateral,
        neurons,
        weights_in,
        bias_in,
        weights_out,
        bias_out,
        activation,
        power,
        leak,
    )


@torch.library.custom_op("nf_policies::recurrence_backward", mutates_args=())
def recurrence_backward(
    d_outputs: Tensor | None,
    d_trajectory: Tensor | None,
    trajectory: Tensor,
    inputs_need_it: bool,
    inputs: Tensor,
    potentials: Tensor,
    episode_starts: Tensor | None,
    lateral: Tensor,
    neurons: Tensor,
    weights_in: Tensor | None,
    bias_in: Tensor | None,
    weights_out: Tensor | None,
    bias_out: Tensor | None,
    activation: str,
    power: int,
    leak: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients in the order of `Gradients`, empty where there is no tensor; arguments as in `cpu.backward`."""
    return _solve_backward(
        d_outputs,
        d_trajectory,
        trajectory,
        inputs_need_it,
        inputs,
        potentials,
        episode_starts,
        lateral,
        neurons,
        weights_in,
        bias_in,
        weights_out,
        bias_out,
        activation,
        power,
        leak,
    )


@recurrence.register_fake
def _(inputs: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    p = Problem(inputs, *others)
    time, batch, hidden, n_outputs = p.sizes
    return inputs.new_empty(time, batch, n_outputs), inputs.new_empty(time, batch, hidden)


@recurrence_backward.register_fake
def _(d_outputs: Tensor, d_trajectory: Tensor, trajectory: Tensor, inputs_need_it: bool, *problem: Any) -> Any:
    p = Problem(*problem)
    tensors = [getattr(p, name) for name in Gradients._fields]
    gradients = [p.neurons.new_empty(0 if t is None else t.shape) for t in tensors]
    if not inputs_need_it:
        gradients[0] = p.neurons.new_empty(0)
    return tuple(gradients)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:N_TENSORS], output[1])
    ctx.options = inputs[N_TENSORS:]
    ctx.set_materialize_grads(False)


def _differentiate(
    ctx: Any,
    d_outputs: Tensor | None,
    d_trajectory: Tensor | None,
    backward: Callable[..., tuple[Tensor, ...]] = recurrence_backward,
) -> tuple[Any, ...]:
    *tensors, trajectory = ctx.saved_tensors
    problem = (*tensors, *ctx.options)
    found = backward(d_outputs, d_trajectory, trajectory, ctx.needs_input_grad[0], *problem)
    gradients = Gradients(*found)._asdict()
    needed = zip(Problem._fields, problem, ctx.needs_input_grad, strict=True)
    return tuple(gradients[name] if wanted and tensor is not None else None for name, tensor, wanted in needed)


class Recurrence(torch.autograd.Function):
    """The operator without torch's dispatcher, which costs a short sequence as much as solving it."""

    @staticmethod
    def forward(ctx: Any, *problem: Any) -> tuple[Tensor, Tensor]:  # noqa: D102
        output = _solve(*problem)
        _keep(ctx, problem, output)
        return output

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor | None, d_trajectory: Tensor | None) -> Any:  # noqa: D102
        if torch.is_grad_enabled():
            return _refuse(ctx)
        return _differentiate(ctx, d_outputs, d_trajectory, _solve_backward)


def _refuse(ctx: Any, *gradients: Any) -> Any:
    raise NotImplementedError(
        "The fused recurrence has no gradients of gradients: set NF_POLICIES_FUSED=0 for those of plain PyTorch."
    )


recurrence.register_autograd(_differentiate, setup_context=_keep)
recurrence_backward.register_autograd(_refuse)


def _one_by_one(operator: Callable[..., tuple[Tensor, ...]]) -> Callable[..., Any]:
    """The vmap of an operator as a loop: each member of a batch is a whole problem already."""

    def batched(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[tuple[Tensor, ...], Any]:
        results = [
            operator(*(a if d is None else a.select(d, i) for a, d in zip(arguments, in_dims, strict=True)))
            for i in range(info.batch_size)
        ]
        stacked = tuple(torch.stack(parts) for parts in zip(*results, strict=True))
        return stacked, (0,) * len(stacked)

    return batched


recurrence.register_vmap(_one_by_one(recurrence))
recurrence_backward.register_vmap(_one_by_one(recurrence_backward))
