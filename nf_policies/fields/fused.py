"""Whether a field's sequence can be solved by the fused recurrence, and how it is put to it."""

import os
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nf_policies.fields.dynamics import Coefficients
from nf_policies.fields.polynomial import polynomial
from nf_policies.kernels import cpu, gpu
from nf_policies.kernels.operator import Problem, Recurrence, recurrence

if TYPE_CHECKING:
    from nf_policies.fields.field import Field

DEVICES = ("cpu", "cuda")
WORTH_A_COMPILER = 128
"""Rows (time steps x batch) of a sequence from which the second that compiling takes, once per user, pays."""
WIDTH_MAX = 4096
"""Inputs or outputs up to which an embedding is fused; a tile of them lies on a thread's stack."""
FUNCTIONS = {torch.sigmoid: "sigmoid", torch.tanh: "tanh"}
MODULES: dict[type, str] = {nn.Sigmoid: "sigmoid", nn.Tanh: "tanh"}


def pays(inputs: Tensor) -> bool:
    """Whether a sequence is long enough to be fused; by its shape alone, so that the same call gives the same bits.

    `NF_POLICIES_FUSED=1` says that every sequence of more than one step is.
    """
    time, batch = inputs.shape[:2]
    return time > 1 and (time * batch >= WORTH_A_COMPILER or os.environ.get("NF_POLICIES_FUSED") == "1")


def problem(
    field: "Field", c: Coefficients, inputs: Tensor, potentials: Tensor, episode_starts: Tensor | None
) -> Problem | None:
    """A field over a sequence as a `Problem`; None where only the reference can solve it.

    That is: where not all tensors are on one CPU or NVIDIA GPU and of one dtype, float32 or float64, with more than
    256 neurons or 4096 inputs, with an activation, potential dynamics or input embedding of the user's own (a subclass
    or a hook make it so), or where the pooling over channels is not a sum. An output embedding of the user's own is
    left to the caller.

    Args:
        field: Its embeddings, activation and dynamics.
        c: Its coefficients. Those of a population are for `Stepper` alone: each candidate has its own part of
            the batch, one after the other.
        inputs: Shape: (time, batch, input_size).
        potentials: Before the first step. Shape: (batch, hidden_size).
        episode_starts: Bool, shape: (time, batch), or None for nowhere.
    """
    name = nonlinearity(field.activation)
    if (
        name is None
        or field.pooling_norm != 1
        or not is_plain(field.input_embedding, field.input_size, field.hidden_size)
        or inputs.shape[-1] != field.input_size
        or inputs.numel() == 0
        or field.hidden_size > cpu.HIDDEN_MAX
        or inputs.dtype not in cpu.REALS
        or inputs.device.type not in DEVICES
        or (form := polynomial(field.dynamics, c.dynamics)) is None
    ):
        return None
    rows = (c.resting_level, c.rate, c.scale, c.bias, c.initial_potentials, *form.terms)
    weights_in, bias_in = weights(field, c, "input_embedding")
    reads = is_plain(field.output_embedding, field.hidden_size, field.output_size)
    weights_out, bias_out = weights(field, c, "output_embedding") if reads else (None, None)
    reals = (inputs, potentials, c.lateral, *rows, weights_in, bias_in, weights_out, bias_out)
    if any(t is not None and (t.dtype != inputs.dtype or t.device != inputs.device) for t in reals):
        return None  # their bytes would be read as what they are not
    if episode_starts is not None and episode_starts.device != inputs.device:
        return None
    whole = c.resting_level.shape
    neurons = torch.stack([row if row.shape == whole else row.expand(whole) for row in rows], dim=-2)
    return Problem(
        inputs,
        potentials,
        episode_starts,
        c.lateral,
        neurons if neurons.dim() == 2 else neurons.squeeze(1),  # the axis of one beside a population
        weights_in,
        bias_in,
        weights_out,
        bias_out,
        name,
        form.power,
        form.leak,
    )


def weights(field: "Field", c: Coefficients, name: str) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a linear embedding, a population's where there is one."""
    embedding: Any = getattr(field, name)
    own = c.modules[name] or {"weight": embedding.weight, "bias": embedding.bias}
    return own["weight"], own.get("bias")


def is_plain(module: nn.Module, fan_in: int, fan_out: int) -> bool:
    """Whether a module is `nn.Linear` itself, of these sizes, not too wide and without hooks that must run."""
    if type(module) is not nn.Linear or has_hooks(module) or max(fan_in, fan_out) > WIDTH_MAX:
        return False
    return module.weight.shape == (fan_out, fan_in)


def nonlinearity(activation: Any) -> str | None:
    """The name of torch's own logistic function or hyperbolic tangent, as function or module; None for all else."""
    if isinstance(activation, nn.Module):  # a subclass may compute something else
        return None if has_hooks(activation) else MODULES.get(type(activation))
    return next((name for function, name in FUNCTIONS.items() if function is activation), None)


def has_hooks(module: nn.Module) -> bool:
    """Whether something is to run when the module does."""
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(hooks)


def solve(p: Problem) -> tuple[Tensor, Tensor] | None:
    """Outputs and potentials of all time steps; None if the reference is to do it.

    That is if the user has turned the fused recurrence off, if no backend can be had here, or inside the transforms of
    `torch.func`, which torch's operators with a gradient of their own do not support.
    """
    if not cpu.wanted() or torch._C._are_functorch_transforms_active():
        return None
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():  # whoever watches must see the operator
        return recurrence(*p)
    return Recurrence.apply(*p) if gpu.fits(p) or cpu.find(p) else None
