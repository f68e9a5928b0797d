"""The solver on a CPU, compiled C++: raw pointers go in, tensors allocated here come out."""

import ctypes
import functools
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nf_policies.kernels import build
from nf_policies.kernels.operator import Gradients, Problem, constant, empty_gradients, solver_of

REALS = {torch.float32: "float", torch.float64: "double"}
HIDDEN_MAX = 256
ALIGNMENT = 64
THREADS_PAY_FROM = 100_000
"""Products in a step from which waking a second thread pays."""

IMPORTED_BY = os.getpid()

Run = Callable[[], None]

COUNTS = ("time", "batch", "population", "threads")
STRIDES = ("inputs_time", "inputs_batch", "starts_time", "starts_batch", "potentials_batch")
PARAMETERS = ("lateral", "neurons", "weights_in", "bias_in", "weights_out", "bias_out")
POINTERS = (
    *("inputs", "potentials", "starts", *PARAMETERS, "packed", "trajectory", "outputs", "d_trajectory", "d_outputs"),
    *("d_stimuli", "d_potentials", *(f"d_{name}" for name in PARAMETERS)),
)


class Call(ctypes.Structure):
    """The structure of the same name in `memory.h`."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in (*COUNTS, *STRIDES)),
        ("c0", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in POINTERS),
    )


@constant
def available(*shape: Any) -> bool:
    """Whether there is a library for a shape; a constant for `torch.compile`, which cannot look into a compiler."""
    return build.library(*shape) is not None


def shape_of(p: Problem) -> tuple[Any, ...]:
    """What a library for this problem is compiled for: the arguments of `build.library`."""
    _, _, hidden, outputs = p.sizes
    inputs = 0 if p.weights_in is None else p.weights_in.shape[-1]
    terms = p.neurons.shape[-2] - 5
    return REALS[p.neurons.dtype], hidden, inputs, outputs, p.power, terms, int(p.activation == "tanh")


def fits(p: Problem) -> bool:
    """Whether a library solves a problem: float32 or float64, not too many neurons, and a compiler that works."""
    return p.neurons.dtype in REALS and p.lateral.shape[-1] <= HIDDEN_MAX and available(*shape_of(p))


def forward(p: Problem) -> tuple[Tensor, Tensor]:
    """Outputs (time, batch, output_size) and potentials (time, batch, hidden_size) of all time steps."""
    time, batch, hidden, n_outputs = p.sizes
    outputs = p.inputs.new_empty(time, batch, n_outputs)
    trajectory = p.inputs.new_empty(time, batch, hidden)
    call, library = prepared(p, trajectory)
    call.outputs = outputs.data_ptr()
    library.forward(ctypes.addressof(call))
    return outputs, trajectory


def backward(
    p: Problem, trajectory: Tensor, d_outputs: Tensor | None, d_trajectory: Tensor | None, inputs_need_it: bool
) -> Gradients:
    """Gradients of all of a problem's tensors. See `operator.Solver`."""
    d_outputs = None if d_outputs is None else d_outputs.contiguous()
    d_trajectory = None if d_trajectory is None else d_trajectory.contiguous()
    gradients = empty_gradients(p, trajectory if inputs_need_it else None)
    call, library = prepared(p, trajectory)
    call.d_outputs, call.d_trajectory = pointer(d_outputs), pointer(d_trajectory)
    call.d_stimuli = pointer(gradients.inputs)
    for name, gradient in zip(Gradients._fields[1:], gradients[1:], strict=True):
        setattr(call, f"d_{name}", pointer(gradient))
    library.backward(ctypes.addressof(call))
    if inputs_need_it and p.weights_in is not None:
        gradients = gradients._replace(inputs=gradients.inputs @ p.weights_in)
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
    call, library = prepared(p, p.potentials, len(p.lateral) if p.lateral.dim() == 3 else 1)
    call.outputs = outputs.data_ptr()
    if p.inputs.shape[1] * p.lateral.shape[-1] ** 2 <= THREADS_PAY_FROM:
        call.threads = 1
    run = functools.partial(library.forward, ctypes.addressof(call))
    run.alive = (call, outputs)  # type: ignore[attr-defined]  # the call's address keeps nothing alive
    return run


def threads() -> int:
    """How many threads may run: as many as torch says; one in a forked process, where OpenMP would wait for ever."""
    return torch.get_num_threads() if os.getpid() == IMPORTED_BY else 1


def prepared(p: Problem, trajectory: Tensor, population: int = 1) -> tuple[Call, build.Library]:
    """A call with what both passes need, its parameters read already, and the library that takes it."""
    library = build.library(*shape_of(p))
    assert library is not None
    copied = {name: t.contiguous() for name in PARAMETERS if (t := getattr(p, name)) is not None}
    for name in ("inputs", "potentials"):  # only the numbers of a row must lie side by side
        tensor = getattr(p, name)
        copied[name] = tensor if tensor.stride(-1) == 1 else tensor.contiguous()
    packed = torch.empty(library.packed_bytes * population + ALIGNMENT, dtype=torch.uint8)
    call = Call()
    call.alive = (copied, packed, trajectory, p.episode_starts)  # it holds only their addresses
    call.time, batch = p.inputs.shape[:2]
    call.batch, call.population, call.threads = batch // population, population, threads()
    call.inputs_time, call.inputs_batch = copied["inputs"].stride()[:2]
    call.potentials_batch = copied["potentials"].stride(0)
    if p.episode_starts is not None:
        call.starts_time, call.starts_batch = p.episode_starts.stride()
        call.starts = p.episode_starts.data_ptr()
    call.c0 = p.leak
    for name, tensor in copied.items():
        setattr(call, name, pointer(tensor))
    call.packed = packed.data_ptr() + -packed.data_ptr() % ALIGNMENT
    call.trajectory = trajectory.data_ptr()
    library.prepare(ctypes.addressof(call))
    return call, library


def pointer(tensor: Tensor | None) -> int | None:
    """Where a tensor's numbers lie; None for no tensor or an empty one."""
    return None if tensor is None or tensor.numel() == 0 else tensor.data_ptr()
