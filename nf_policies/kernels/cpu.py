"""The solver on a CPU, compiled C++: raw pointers go in, tensors allocated here come out."""

import ctypes
import functools
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nf_policies.kernels import build
from nf_policies.kernels.operator import Gradients, Problem, constant, solver_of

REALS = {torch.float32: "float", torch.float64: "double"}
HIDDEN_MAX = 256
ALIGNMENT = 64
THREADS_PAY_FROM = 100_000
"""Products in a step from which waking a second thread pays."""

IMPORTED_BY = os.getpid()

Run = Callable[[], None]

COUNTS = ("time", "batch", "population", "threads")
STRIDES = ("inputs_time", "inputs_batch", "starts_time", "starts_batch", "potentials_batch")
POINTERS = (
    *("inputs", "potentials", "starts", "lateral", "neurons", "weights_in", "bias_in", "weights_out", "bias_out"),
    *("packed", "trajectory", "outputs", "d_trajectory", "d_outputs", "d_stimuli", "d_potentials", "d_lateral"),
    *("d_neurons", "d_weights_in", "d_bias_in", "d_weights_out", "d_bias_out"),
)


PARAMETERS = ("lateral", "neurons", "weights_in", "bias_in", "weights_out", "bias_out")


class Call(ctypes.Structure):
    """The structure of the same name in `recurrence.cpp`."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in (*COUNTS, *STRIDES)),
        ("c0", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in POINTERS),
    )


class Library:
    """The functions of one compiled library.

    Attributes:
        packed_size: Bytes of work memory for one candidate's parameters.
    """

    def __init__(self, functions: ctypes.CDLL) -> None:
        functions.packed_size.restype = ctypes.c_int64
        self.packed_size = int(functions.packed_size())
        self.prepare: Callable[[object], None] = functions.prepare
        self.forward: Callable[[object], None] = functions.forward
        self.backward: Callable[[object], None] = functions.backward
        for function in (functions.prepare, functions.forward, functions.backward):
            function.argtypes, function.restype = [ctypes.c_void_p], None


@functools.cache
def library(*shape: Any) -> Library | None:
    """The compiled library for a shape, or None where it cannot be had."""
    functions = build.library(build.Shape(*shape))
    return None if functions is None else Library(functions)


@constant
def available(*shape: Any) -> bool:
    """Whether there is a library for a shape; a constant for `torch.compile`, which cannot look into a compiler."""
    return library(*shape) is not None


def shape_of(p: Problem) -> tuple[Any, ...]:
    """What a library for this problem is compiled for: the fields of `build.Shape`."""
    _, _, hidden, outputs = p.sizes
    inputs = 0 if p.weights_in is None else p.weights_in.shape[-1]
    terms = p.neurons.shape[-2] - 5
    return REALS[p.neurons.dtype], hidden, inputs, outputs, p.power, terms, int(p.activation == "tanh")


def fits(p: Problem) -> bool:
    """Whether a library solves a problem: float32 or float64, not too many neurons, and a compiler that works."""
    return p.neurons.dtype in REALS and p.lateral.shape[-1] <= HIDDEN_MAX and available(*shape_of(p))


def library_for(p: Problem) -> Library:
    """The library of a problem that fits."""
    found = library(*shape_of(p))
    assert found is not None
    return found


def forward(p: Problem) -> tuple[Tensor, Tensor]:
    """Outputs (time, batch, output_size) and potentials (time, batch, hidden_size) of all time steps."""
    solver, p = library_for(p), rows_contiguous(p)
    time, batch, hidden, n_outputs = p.sizes
    outputs = p.inputs.new_empty(time, batch, n_outputs)
    trajectory = p.inputs.new_empty(time, batch, hidden)
    packed = torch.empty(solver.packed_size + ALIGNMENT, dtype=torch.uint8)
    call = describe(p, packed, trajectory)
    call.outputs = outputs.data_ptr()
    solver.prepare(ctypes.addressof(call))
    solver.forward(ctypes.addressof(call))
    return outputs, trajectory


def backward(
    p: Problem, trajectory: Tensor, d_outputs: Tensor | None, d_trajectory: Tensor | None, inputs_need_it: bool
) -> Gradients:
    """Gradients of all of a problem's tensors. See `operator.Solver`."""
    solver, p = library_for(p), rows_contiguous(p)
    d_outputs = None if d_outputs is None else d_outputs.contiguous()
    d_trajectory = None if d_trajectory is None else d_trajectory.contiguous()
    d_stimuli = torch.empty_like(trajectory) if inputs_need_it else trajectory.new_empty(0)
    gradients = Gradients(
        d_stimuli,
        p.potentials.new_empty(p.potentials.shape),
        *(like(t, p.neurons) for t in (p.lateral, p.neurons, p.weights_in, p.bias_in, p.weights_out, p.bias_out)),
    )
    packed = torch.empty(solver.packed_size + ALIGNMENT, dtype=torch.uint8)
    call = describe(p, packed, trajectory)
    call.d_outputs, call.d_trajectory = pointer(d_outputs), pointer(d_trajectory)
    call.d_stimuli = pointer(d_stimuli)
    for name, gradient in zip(Gradients._fields[1:], gradients[1:], strict=True):
        setattr(call, f"d_{name}", pointer(gradient))
    solver.prepare(ctypes.addressof(call))
    solver.backward(ctypes.addressof(call))
    if inputs_need_it and p.weights_in is not None:
        gradients = gradients._replace(inputs=d_stimuli @ p.weights_in)
    return gradients


def in_place(p: Problem, outputs: Tensor) -> Run | None:
    """A function that takes one step from `p.inputs` and `p.potentials`, which it overwrites, to `outputs`.

    Args:
        p: One time step on a CPU; its parameters may have a leading population dimension, whose candidates have equal
            parts of the batch. They are read now, inputs and potentials with each call.
        outputs: Contiguous. Shape: (1, batch, output_size).
    Returns: None where no solver fits.
    """
    if p.neurons.device.type != "cpu" or solver_of(p) is None:
        return None
    solver, p = library_for(p), rows_contiguous(p)
    population = len(p.lateral) if p.lateral.dim() == 3 else 1
    packed = torch.empty(solver.packed_size * population + ALIGNMENT, dtype=torch.uint8)
    call = describe(p, packed, p.potentials)
    call.population, call.batch = population, p.inputs.shape[1] // population
    call.outputs = outputs.data_ptr()
    call.threads = threads() if p.inputs.shape[1] * p.lateral.shape[-1] ** 2 > THREADS_PAY_FROM else 1
    solver.prepare(ctypes.addressof(call))
    run = functools.partial(solver.forward, ctypes.addressof(call))
    run.alive = (call, packed, p, outputs)  # type: ignore[attr-defined]  # the call holds only their addresses
    return run


def threads() -> int:
    """How many threads may run: as many as torch says; one in a forked process, where OpenMP would wait for ever."""
    return torch.get_num_threads() if os.getpid() == IMPORTED_BY else 1


def describe(p: Problem, packed: Tensor, trajectory: Tensor) -> Call:
    """The call's counts, strides and those pointers that both passes need."""
    call = Call()
    call.time, call.batch, call.population, call.threads = *p.inputs.shape[:2], 1, threads()
    call.inputs_time, call.inputs_batch = p.inputs.stride()[:2]
    if p.episode_starts is not None:
        call.starts_time, call.starts_batch = p.episode_starts.stride()
        call.starts = p.episode_starts.data_ptr()
    call.potentials_batch = p.potentials.stride(0)
    call.c0 = p.leak
    call.inputs, call.potentials = p.inputs.data_ptr(), p.potentials.data_ptr()
    call.lateral, call.neurons = p.lateral.data_ptr(), p.neurons.data_ptr()
    call.weights_in, call.bias_in = pointer(p.weights_in), pointer(p.bias_in)
    call.weights_out, call.bias_out = pointer(p.weights_out), pointer(p.bias_out)
    call.packed = aligned(packed)
    call.trajectory = trajectory.data_ptr()
    return call


def rows_contiguous(p: Problem) -> Problem:
    """The problem with parameters contiguous and the numbers of each input row side by side, copied only if need be."""
    copied: dict[str, Any] = {name: None if (t := getattr(p, name)) is None else t.contiguous() for name in PARAMETERS}
    for name in ("inputs", "potentials"):
        tensor = getattr(p, name)
        copied[name] = tensor if tensor.stride(-1) == 1 else tensor.contiguous()
    return p._replace(**copied)


def pointer(tensor: Tensor | None) -> int | None:
    """Where a tensor's numbers lie; None for no tensor or an empty one."""
    return None if tensor is None or tensor.numel() == 0 else tensor.data_ptr()


def aligned(memory: Tensor) -> int:
    """The first address in some memory that is a multiple of a vector's size."""
    address = memory.data_ptr()
    return address + -address % ALIGNMENT


def like(tensor: Tensor | None, reals: Tensor) -> Tensor:
    """Contiguous memory for a tensor's gradient; empty for no tensor."""
    return reals.new_empty(0) if tensor is None else reals.new_empty(tensor.shape)
