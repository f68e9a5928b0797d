"""The solver on an NVIDIA GPU: Triton kernels do what is sequential, torch the products over the whole sequence.

The latter keep to `torch.set_float32_matmul_precision`, float32 by default.
"""

import contextlib
import functools
import importlib.util
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from nf_policies.kernels.operator import Gradients, Problem, constant

SHARED_MEMORY = {64: 40 * 1024, 128: 144 * 1024}
"""Bytes of shared memory that a program takes with up to so many neurons: its matrix, in two parts of TF32, and more.
With more neurons it would fit into no GPU's multiprocessor, and with more than 64 into no gaming GPU's."""
DOT_HIDDEN_MIN = 16
"""Smaller fields are summed by each thread for its own sequence."""
TENSOR_CORES_FROM = 64
"""Neurons from which a product is faster in tensor cores, where three in TF32 ("tf32x3") make up one in float32, than
in float32 itself ("ieee"). Measured on an H200, as the tilings below."""
CAPABILITY_MIN = (8, 0)
"""Ampere, the first architecture with TF32."""
NUMBERS_MAX = 2**31
"""Numbers in one time step, which the kernels count in 32 bits."""


class Tiling(NamedTuple):
    """How a field is cut into programs."""

    hidden_tile: int
    """Neurons, with padding to a power of two."""
    forward: int
    """Sequences of one program in the forward pass."""
    backward: int
    """The same in the backward pass, whose sums need more registers."""
    warps: int
    """Warps of one program. They are few, as they wait for each other in every step."""
    precision: str
    """Of the product with the interaction matrix."""


def tiling(hidden: int) -> Tiling:
    """How a field of some size is cut, such that no register spills (at 128 neurons: hardly any)."""
    rows = 1 << (hidden - 1).bit_length()
    if rows < DOT_HIDDEN_MIN:
        tile = 32 if rows < 8 else 16
        return Tiling(rows, tile, tile, 1, "sum")
    precision = "ieee" if rows < TENSOR_CORES_FROM else "tf32x3"
    return Tiling(rows, 16, 16 if rows == DOT_HIDDEN_MIN else 8, max(rows // 16, 2), precision)


def fits(p: Problem) -> bool:
    """Whether the kernels solve a problem: float32, neither empty nor too large, on a GPU with Triton."""
    time, batch, hidden, _ = p.sizes
    whole = time > 0 and 0 < batch * hidden < NUMBERS_MAX
    return whole and p.neurons.dtype == torch.float32 and hidden <= hidden_max(p.neurons.device)


@constant
def hidden_max(device: torch.device) -> int:
    """The most neurons that the kernels can do on a device: 128, 64, or 0 where it lacks what they use."""
    return neurons_max(device)


@functools.cache
def neurons_max(device: torch.device) -> int:
    """The same, cached; Triton is looked for, not imported."""
    if importlib.util.find_spec("triton") is None or torch.version.cuda is None:
        return 0
    if torch.cuda.get_device_capability(device) < CAPABILITY_MIN:
        return 0
    properties = torch.cuda.get_device_properties(device)
    memory = getattr(properties, "shared_memory_per_block_optin", 0) or SHARED_MEMORY[64]  # since Ampere all have that
    return max((hidden for hidden, needed in SHARED_MEMORY.items() if needed <= memory), default=0)


@contextlib.contextmanager
def single_precision() -> Iterator[None]:
    """Keep autocast from the products around the kernels, which know float32 alone."""
    with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
        yield


@single_precision()
def forward(p: Problem) -> tuple[Tensor, Tensor]:
    """Outputs (time, batch, output_size) and potentials (time, batch, hidden_size) of all time steps."""
    from nf_policies.kernels import triton_kernels as kernels

    stimuli = external_stimuli(p)
    trajectory = torch.empty_like(stimuli)
    activations = trajectory if p.weights_out is None else torch.empty_like(stimuli)
    tensors = (stimuli, *memory(p), p.lateral.contiguous(), p.neurons.contiguous(), trajectory, activations)
    launch(kernels.forward, p, tiling(p.sizes[2]).forward, tensors, reads=p.weights_out is not None)
    if p.weights_out is None:
        return stimuli.new_empty(*stimuli.shape[:2], 0), trajectory
    return linear(activations, p.weights_out, p.bias_out), trajectory


@single_precision()
def backward(
    p: Problem, trajectory: Tensor, d_outputs: Tensor | None, d_trajectory: Tensor | None, inputs_need_it: bool
) -> Gradients:
    """Gradients of all of a problem's tensors. See `operator.Solver`."""
    from nf_policies.kernels import triton_kernels as kernels

    time, batch, hidden, n_outputs = p.sizes
    batch_tile = tiling(hidden).backward
    rate = p.neurons[1].unsqueeze(-1)
    stimuli, trajectory = external_stimuli(p), trajectory.contiguous()
    d_activations = None if p.weights_out is None or d_outputs is None else d_outputs @ p.weights_out
    g, before = torch.empty_like(trajectory), torch.empty_like(trajectory)
    after = trajectory if d_activations is None else torch.empty_like(trajectory)
    d_potentials = trajectory.new_empty(batch, hidden)
    partial = trajectory.new_empty(programs(p, batch_tile), len(kernels.SUMS), hidden)
    tensors = (
        *(stimuli, *memory(p), p.lateral.contiguous(), (rate * p.lateral).T.contiguous(), p.neurons.contiguous()),
        *(trajectory, *(trajectory if d is None else d.contiguous() for d in (d_trajectory, d_activations))),
        *(g, before, after, d_potentials, partial),
    )
    launch(kernels.backward, p, batch_tile, tensors, reads=d_activations is not None, watched=d_trajectory is not None)

    sums = dict(zip(kernels.SUMS, partial.sum(0), strict=True))
    g_before = over_rows(g, before)
    g_s = (p.lateral * g_before).sum(1)  # the sum of g s, as s is linear in what was summed already
    d_inputs, d_weights_in, d_bias_in, d_weights_out, d_bias_out = (g.new_empty(0) for _ in range(5))
    if p.weights_in is None:
        g_s = g_s + (g * stimuli).sum((0, 1))
        d_inputs = p.neurons[1] * g if inputs_need_it else d_inputs
    else:
        g_inputs = over_rows(g, p.inputs)
        g_s = g_s + (p.weights_in * g_inputs).sum(1)
        d_weights_in = rate * g_inputs
        d_inputs = g @ (rate * p.weights_in) if inputs_need_it else d_inputs
    if p.bias_in is not None:
        g_s = g_s + p.bias_in * sums["g"]
        d_bias_in = p.neurons[1] * sums["g"]
    if p.weights_out is not None:
        d_outputs = g.new_zeros(time, batch, n_outputs) if d_outputs is None else d_outputs
        d_weights_out = over_rows(d_outputs, after)
        d_bias_out = d_bias_out if p.bias_out is None else d_outputs.sum((0, 1))
    d_lateral, d_layers = rate * g_before, (d_weights_in, d_bias_in, d_weights_out, d_bias_out)
    return Gradients(d_inputs, d_potentials, d_lateral, d_neurons(p.neurons, sums, g_s), *d_layers)


def d_neurons(neurons: Tensor, sums: dict[str, Tensor], g_s: Tensor) -> Tensor:
    """The neurons' gradients in the order of their rows, from sums over g, which lacks the factor rate."""
    _, rate, scale, *_ = neurons
    of_five = rate * sums["leak_slope"], g_s + sums["leak"], sums["scale"], scale * sums["z"], sums["initial"]
    rows = (*of_five, rate * sums["c1"], rate * sums["c2"])
    return torch.stack(rows[: len(neurons)])


def over_rows(left: Tensor, right: Tensor) -> Tensor:
    """The sum of left ⊗ right over time and batch. Shapes: (time, batch, m), (time, batch, n) to (m, n)."""
    return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])


def external_stimuli(p: Problem) -> Tensor:
    """What the inputs contribute, contiguous. Shape: (time, batch, hidden_size)."""
    return (p.inputs if p.weights_in is None else linear(p.inputs, p.weights_in, p.bias_in)).contiguous()


def memory(p: Problem) -> tuple[Tensor, Tensor]:
    """Potentials before the first step and, as bytes, the episode starts; something unread where there are none."""
    starts = p.potentials if p.episode_starts is None else p.episode_starts.contiguous().view(torch.uint8)
    return p.potentials.contiguous(), starts


def programs(p: Problem, batch_tile: int) -> int:
    """How many programs of so many sequences solve a problem."""
    return -(-p.inputs.shape[1] // batch_tile)


def launch(kernel: Any, p: Problem, batch_tile: int, tensors: tuple[Tensor, ...], **flags: bool) -> None:
    """Start a kernel on the device of a problem's tensors."""
    time, batch, *_ = p.sizes
    with torch.cuda.device_of(p.inputs):  # Triton starts kernels on the current device
        kernel[(programs(p, batch_tile),)](*tensors, time, batch, p.leak, **constants(p, batch_tile, **flags))


def constants(p: Problem, batch_tile: int, **flags: bool) -> dict[str, Any]:
    """What a kernel is compiled for."""
    hidden = p.lateral.shape[-1]
    cut = tiling(hidden)
    return {
        "hidden": hidden,
        "hidden_tile": cut.hidden_tile,
        "batch_tile": batch_tile,
        "power": p.power,
        "terms": len(p.neurons) - 5,
        "tanh": p.activation == "tanh",
        "resets": p.episode_starts is not None,
        "precision": cut.precision,
        "num_warps": cut.warps,
        "num_stages": 1,  # the kernels themselves fetch a step ahead
        **flags,
    }
