"""A field over a sequence as one operator of torch, `nf_policies::recurrence`, with its gradient.

Autograd, `torch.compile`, `torch.export`, `functional_call` and `vmap` see one node, whichever solver runs it. Each
device type has one solver: compiled C++ on a CPU, Triton on an NVIDIA GPU. Gradients of gradients are refused.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

POTENTIALS_MAX = 100.0
"""Potentials are clamped to ± this, for numerical stability (as neuralfields 0.5.2 does)."""
PAYS_FROM = 128
"""Rows (time steps x batch) of a sequence from which the second that compiling takes, once per user, pays."""
WIDTH_MAX = 4096
"""Inputs or outputs up to which a solver takes an embedding; a tile of them lies on a thread's stack."""


class Problem(NamedTuple):
    """A field over a sequence. All tensors have one dtype, float32 or float64, and one device.

    Attributes:
        inputs: (time, batch, input_size), or external stimuli (time, batch, hidden_size) without `weights_in`.
        potentials: Before the first step. (batch, hidden_size)
        episode_starts: Bool, (time, batch), or None for nowhere.
        lateral: (hidden_size, hidden_size)
        neurons: One row each: resting level, rate, scale, bias, initial potentials, then the polynomial's
            coefficients c1, c2, as many as it has. (5 + terms, hidden_size)
        weights_in: (hidden_size, input_size), or None.
        bias_in: (hidden_size,), or None.
        weights_out: (output_size, hidden_size), or None for no outputs.
        bias_out: (output_size,), or None.
        activation: "sigmoid" or "tanh".
        power: k of the polynomial, 1 or 2.
        leak: c0 of the polynomial.
    """

    inputs: Tensor
    potentials: Tensor
    episode_starts: Tensor | None
    lateral: Tensor
    neurons: Tensor
    weights_in: Tensor | None
    bias_in: Tensor | None
    weights_out: Tensor | None
    bias_out: Tensor | None
    activation: str
    power: int
    leak: float

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """time, batch, hidden_size and output_size (0 for no outputs)."""
        time, batch = self.inputs.shape[:2]
        return time, batch, self.lateral.shape[-1], 0 if self.weights_out is None else self.weights_out.shape[-2]


class Gradients(NamedTuple):
    """Gradients of a problem's tensors, in their order; empty where the tensor is None or none is needed."""

    inputs: Tensor
    potentials: Tensor
    lateral: Tensor
    neurons: Tensor
    weights_in: Tensor
    bias_in: Tensor
    weights_out: Tensor
    bias_out: Tensor


N_FIELDS = len(Problem._fields)
N_TENSORS = len(Gradients._fields) + 1
"""Tensors come first among a problem's fields: those with gradients, and the episode starts."""


class Solver(Protocol):
    """Compiled steps for one type of device."""

    def fits(self, p: Problem) -> bool:
        """Whether this solver can be had here for such a problem. `torch.compile` traces through it."""

    def forward(self, p: Problem) -> tuple[Tensor, Tensor]:
        """Outputs (time, batch, output_size) and potentials (time, batch, hidden_size) of all time steps."""

    def backward(
        self,
        p: Problem,
        trajectory: Tensor,
        d_outputs: Tensor | None,
        d_trajectory: Tensor | None,
        inputs_need_it: bool,
    ) -> Gradients:
        """Gradients of all of a problem's tensors, those of the inputs only where they need it.

        Given are the potentials that `forward` returned and the gradients of both that it returned, None for zero.
        """


def constant(function: Callable[..., T]) -> Callable[..., T]:
    """Let `torch.compile` call a function of constants while it traces, and keep the result.

    As `torch.compiler.assume_constant_result`, whose call imports the whole compiler.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


SOLVERS: dict[str, Solver] = {}
"""By device type; `nf_policies.kernels` fills it."""


def solver_of(p: Problem) -> Solver | None:
    """The solver for a problem; None where none fits or the user has turned them off with `NF_POLICIES_FUSED=0`."""
    solver = SOLVERS.get(p.neurons.device.type)
    return solver if solver is not None and os.environ.get("NF_POLICIES_FUSED") != "0" and solver.fits(p) else None


def solve(p: Problem) -> tuple[Tensor, Tensor] | None:
    """Outputs and potentials of all time steps; None where no solver fits.

    None also inside the transforms of `torch.func`, which do not support operators with a gradient of their own.
    """
    solver = None if torch._C._are_functorch_transforms_active() else solver_of(p)
    if solver is None:
        return None
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():  # tracers must see the operator
        return recurrence(*p)
    return EagerRecurrence.apply(solver, *p)


def pays(inputs: Tensor) -> bool:
    """Whether a sequence is long enough to be solved; by its shape alone, so that the same call gives the same bits.

    `NF_POLICIES_FUSED=1` says that every sequence of more than one step is.
    """
    time, batch = inputs.shape[:2]
    long = time * batch >= PAYS_FROM or os.environ.get("NF_POLICIES_FUSED") == "1"
    return time > 1 and batch > 0 and long


def demand(p: Problem) -> Solver:
    """The solver for a problem that must have one."""
    solver = solver_of(p)
    if solver is None:
        raise ValueError(
            "No solver for the recurrence works here (no C++ compiler, no Triton, or NF_POLICIES_FUSED=0): set "
            "NF_POLICIES_FUSED=0 when the field is compiled or exported, and its graph is of plain PyTorch."
        )
    return solver


PROBLEM = (
    "Tensor inputs, Tensor potentials, Tensor? episode_starts, Tensor lateral, Tensor neurons, Tensor? weights_in, "
    "Tensor? bias_in, Tensor? weights_out, Tensor? bias_out, str activation, SymInt power, float leak"
)
D_OUTPUT = "Tensor trajectory, Tensor? d_outputs, Tensor? d_trajectory, bool inputs_need_it"
GRADIENTS = ", ".join(["Tensor"] * len(Gradients._fields))


@torch.library.custom_op("nf_policies::recurrence", mutates_args=(), schema=f"({PROBLEM}) -> (Tensor, Tensor)")
def recurrence(*problem: Any) -> tuple[Tensor, Tensor]:
    """`Solver.forward` of a problem's fields."""
    p = Problem(*problem)
    return demand(p).forward(p)


@torch.library.custom_op(
    "nf_policies::recurrence_backward", mutates_args=(), schema=f"({PROBLEM}, {D_OUTPUT}) -> ({GRADIENTS})"
)
def recurrence_backward(*arguments: Any) -> Gradients:
    """`Solver.backward` of a problem's fields and its other arguments."""
    p = Problem(*arguments[:N_FIELDS])
    return demand(p).backward(p, *arguments[N_FIELDS:])


@recurrence.register_fake
def _(*problem: Any) -> tuple[Tensor, Tensor]:
    p = Problem(*problem)
    time, batch, hidden, n_outputs = p.sizes
    return p.inputs.new_empty(time, batch, n_outputs), p.inputs.new_empty(time, batch, hidden)


@recurrence_backward.register_fake
def _(*arguments: Any) -> Gradients:
    p, inputs_need_it = Problem(*arguments[:N_FIELDS]), arguments[-1]
    return empty_gradients(p, p.inputs if inputs_need_it else None)


def empty_gradients(p: Problem, inputs: Tensor | None) -> Gradients:
    """Contiguous memory for gradients of a problem's tensors, and for that of its inputs as large as `inputs`."""
    tensors = (inputs, *(getattr(p, name) for name in Gradients._fields[1:]))
    return Gradients(*(p.neurons.new_empty(0 if t is None else t.shape) for t in tensors))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:N_TENSORS], output[1])
    ctx.options = inputs[N_TENSORS:]
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, *d_output: Tensor | None, backward: Any = None) -> tuple[Tensor | None, ...]:
    """One gradient for each of a problem's fields, None where it is not a tensor or needs none."""
    *tensors, trajectory = ctx.saved_tensors
    p, needed = Problem(*tensors, *ctx.options), ctx.needs_input_grad[-N_FIELDS:]
    arguments = (trajectory, *d_output, needed[0])
    found = recurrence_backward(*p, *arguments) if backward is None else backward(p, *arguments)
    named = dict(zip(Gradients._fields, found, strict=True))
    fields = zip(p._fields, p, needed, strict=True)
    return tuple(named[name] if wanted and value is not None else None for name, value, wanted in fields)


class EagerRecurrence(torch.autograd.Function):
    """The operator without torch's dispatcher, which costs a short sequence as much as solving it."""

    @staticmethod
    def forward(ctx: Any, solver: Solver, *problem: Any) -> tuple[Tensor, Tensor]:  # noqa: D102
        output = solver.forward(Problem(*problem))
        ctx.solver = solver
        _keep(ctx, problem, output)
        return output

    @staticmethod
    def backward(ctx: Any, *d_output: Tensor | None) -> Any:  # noqa: D102
        if torch.is_grad_enabled():
            return _refuse(ctx)
        return None, *_differentiate(ctx, *d_output, backward=ctx.solver.backward)


def _refuse(ctx: Any, *gradients: Any) -> Any:
    raise NotImplementedError(
        "The fused recurrence has no gradients of gradients: set NF_POLICIES_FUSED=0 for those of plain PyTorch."
    )


recurrence.register_autograd(_differentiate, setup_context=_keep)
recurrence_backward.register_autograd(_refuse)


@recurrence.register_vmap
def _(info: Any, in_dims: tuple[int | None, ...], *problem: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """A loop, as each member of a batch is a whole problem already."""
    solved = [
        recurrence(
            *(value if dim is None else value.select(dim, i) for value, dim in zip(problem, in_dims, strict=True))
        )
        for i in range(info.batch_size)
    ]
    return tuple(torch.stack(parts) for parts in zip(*solved, strict=True)), (0, 0)
