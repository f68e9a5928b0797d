"""Potential dynamics: how fast a neuron's potential moves, as pure functions of tensors.

Each function returns tau * du/dt for potentials `u`, stimuli `s` and resting level `h`, all broadcastable to
(batch, hidden_size). What else a function needs it names in its signature: `kappa` (cubic decay, >= 0) or
`capacity` (> 0). A function of your own follows the same rule, and the field then learns what it names:

    def leaky_square(u, s, h, kappa):
        return s + h - u - kappa * u**2

References: Amari (1977), Biological Cybernetics 27; Luksch, Gienger, Muehlig and Yoshiike (2012), IROS.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nf_policies.fields.activations import Activation
from nf_policies.kernels.operator import POTENTIALS_MAX, WIDTH_MAX, Problem

Dynamics = Callable[..., Tensor]
CHANGES_MAX = 10.0
"""How much of a change a field feels at most, in units in which most are below 1."""


def linear(u: Tensor, s: Tensor, h: Tensor) -> Tensor:
    """Amari's leak towards the stimulated resting level: s + h - u."""
    return s + h - u


def cubic(u: Tensor, s: Tensor, h: Tensor, kappa: Tensor) -> Tensor:
    """A leak with cubic decay: s + h - u + kappa (h - u)^3."""
    d = h - u
    return s + d + kappa * d**3  # Luksch et al. (2012), Eq. 4


def capacity_21(u: Tensor, s: Tensor, h: Tensor, capacity: Tensor) -> Tensor:
    """Two stable points at h ± capacity and an unstable one at h: s - d (1 - d^2 / C^2), d = h - u."""
    d = h - u
    return s - d * (1 - (d / capacity) ** 2)


def capacity_21_abs(u: Tensor, s: Tensor, h: Tensor, capacity: Tensor) -> Tensor:
    """The lower-order sibling of `capacity_21`, same fixed points: s - d (1 - |d| / C), d = h - u."""
    d = h - u
    return s - d * (1 - d.abs() / capacity)


def capacity_32(u: Tensor, s: Tensor, h: Tensor, capacity: Tensor) -> Tensor:
    """Stable points at h and h ± C, unstable at h ± C/2: s + d (1 - d^2 / C^2) (1 - 4 d^2 / C^2), d = h - u."""
    d = h - u
    square = (d / capacity) ** 2
    return s + d * (1 - square) * (1 - 4 * square)


def capacity_32_abs(u: Tensor, s: Tensor, h: Tensor, capacity: Tensor) -> Tensor:
    """The lower-order sibling of `capacity_32`, same fixed points: s + d (1 - |d| / C) (1 - 2 |d| / C)."""
    d = h - u
    ratio = d.abs() / capacity
    return s + d * (1 - ratio) * (1 - 2 * ratio)


DYNAMICS: dict[str, Dynamics] = {
    f.__name__: f for f in (linear, cubic, capacity_21, capacity_21_abs, capacity_32, capacity_32_abs)
}


class Polynomial(NamedTuple):
    """The six as one formula, so that one kernel serves them all: s + d (c0 + c1 |d|^k + c2 |d|^2k), d = h - u."""

    power: int
    """k, 1 or 2."""
    leak: float
    """c0, 1 or -1."""
    terms: tuple[Tensor, ...]
    """c1 and c2, as many as there are. Shapes: as kappa or the capacity."""


POLYNOMIALS: dict[Dynamics, Callable[..., Polynomial]] = {
    linear: lambda: Polynomial(2, 1.0, ()),
    cubic: lambda kappa: Polynomial(2, 1.0, (kappa,)),
    capacity_21: lambda capacity: Polynomial(2, -1.0, (capacity**-2,)),
    capacity_21_abs: lambda capacity: Polynomial(1, -1.0, (1 / capacity,)),
    capacity_32: lambda capacity: Polynomial(2, 1.0, (-5 * capacity**-2, 4 * capacity**-4)),
    capacity_32_abs: lambda capacity: Polynomial(1, 1.0, (-3 / capacity, 2 * capacity**-2)),
}


def polynomial(function: Dynamics, parameters: Mapping[str, Tensor]) -> Polynomial | None:
    """The polynomial of a potential dynamics function, hashable or not, or None for one that is not among the six."""
    form = next((form for known, form in POLYNOMIALS.items() if known is function), None)
    return None if form is None else form(**parameters)


def euler(tau: Tensor, dt: float) -> Tensor:
    """The share of tau * du/dt that one explicit Euler step takes: dt / tau. Stable for tau > dt / 2."""
    return dt / tau


def exponential_euler(tau: Tensor, dt: float) -> Tensor:
    """The same for an exponential Euler step: 1 - exp(-dt / tau), exact for a linear leak, stable for any tau."""
    return -torch.expm1(-dt / tau)


INTEGRATORS: dict[str, Callable[[Tensor, float], Tensor]] = {f.__name__: f for f in (euler, exponential_euler)}


class Coefficients(NamedTuple):
    """A field's parameters in the form that a step uses; `...` is nothing, or a population and an axis of one."""

    lateral: Tensor
    """Interaction matrix (..., hidden_size, hidden_size), with (..., channels, ...) before it where p >= 2."""
    resting_level: Tensor
    """(..., hidden_size)"""
    rate: Tensor
    """The share of tau * du/dt taken per step, from tau and dt. (..., hidden_size or 1)"""
    scale: Tensor
    """Of the potentials before the nonlinearity. (..., hidden_size)"""
    bias: Tensor | None
    """Of the potentials before the nonlinearity, or None. (..., hidden_size)"""
    initial_potentials: Tensor
    """(..., hidden_size)"""
    dynamics: dict[str, Tensor]
    """kappa and capacity, those that the dynamics name. (..., hidden_size or 1)"""
    modules: dict[str, dict[str, Tensor]]
    """Parameters of input_embedding, output_embedding and activation; none where the modules' own are used."""


class Trace(NamedTuple):
    """What happens inside a field in one step. Shapes: (..., batch, hidden_size or output_size)."""

    stimuli_external: Tensor
    stimuli_internal: Tensor
    potentials: Tensor
    activations: Tensor
    outputs: Tensor


def apply(c: Coefficients, name: str, function: Any, x: Tensor) -> Tensor:
    """The field's input_embedding, output_embedding or activation, with a population's parameters where there are any.

    Shape of `x`: (population, batch, features) with a population's parameters, else (..., features).
    """
    parameters = c.modules.get(name)
    if not parameters:
        return function(x)
    if type(function) is nn.Linear and not has_hooks(function):
        product = x @ parameters["weight"].mT
        return product + parameters["bias"].unsqueeze(-2) if "bias" in parameters else product
    return torch.func.vmap(torch.func.functional_call, (None, 0, 0))(function, parameters, (x,))


def nonlinearity(activation: Any) -> str | None:
    """The name of torch's own logistic function or hyperbolic tangent, as function or module; None for all else."""
    for name, function, module in (("sigmoid", torch.sigmoid, nn.Sigmoid), ("tanh", torch.tanh, nn.Tanh)):
        if activation is function or (type(activation) is module and not has_hooks(activation)):
            return name
    return None


def has_hooks(module: nn.Module) -> bool:
    """Whether something of the user's runs when the module does: a hook, or a `forward` set on the instance."""
    own = module.__dict__
    before_and_after = own["_forward_pre_hooks"] or own["_forward_hooks"]
    return bool(before_and_after or own["_backward_pre_hooks"] or own["_backward_hooks"] or "forward" in own)


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of one submodule, by their names inside it."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}


def activate(c: Coefficients, activation: Activation, potentials: Tensor) -> Tensor:
    """Activations of the scaled potentials. Shapes: (..., batch, hidden_size)."""
    return apply(c, "activation", activation, c.scale * (potentials if c.bias is None else potentials + c.bias))


def internal_stimuli(c: Coefficients, activations: Tensor, pooling_norm: int) -> Tensor:
    """What the neighbours contribute. Shapes: (..., batch, hidden_size)."""
    if pooling_norm == 1:
        return activations @ c.lateral.mT
    return pool_channels(activations.unsqueeze(-3) @ c.lateral.mT, pooling_norm)


def pool_channels(stimuli: Tensor, norm: int) -> Tensor:
    """LP pooling over channels: the p-th root of the sum of p-th powers, keeping the sign for odd p.

    At zero the root's slope is infinite; its gradient is taken as zero there.
    Shapes: (..., channels, batch, hidden_size) -> (..., batch, hidden_size).
    """
    total = (stimuli**norm).sum(-3)
    zero = total == 0
    magnitude = torch.where(zero, torch.ones_like(total), total.abs()) ** (1 / norm)
    return torch.where(zero, torch.zeros_like(total), magnitude * total.sign())


def integrate(c: Coefficients, dynamics: Dynamics, potentials: Tensor, stimuli: Tensor) -> Tensor:
    """Potentials one step later. Shapes: (..., batch, hidden_size)."""
    change = dynamics(potentials, stimuli, c.resting_level, **c.dynamics)
    return (potentials + c.rate * change).clamp(-POTENTIALS_MAX, POTENTIALS_MAX)


def reset(c: Coefficients, potentials: Tensor, episode_starts: Tensor) -> Tensor:
    """Potentials (..., batch, hidden_size) with the rows at their initial level where an episode starts.

    No gradient crosses there. `episode_starts` is bool, (..., batch).
    """
    return torch.where(episode_starts.unsqueeze(-1), c.initial_potentials[..., : potentials.shape[-1]], potentials)


def with_changes(inputs: Tensor, before: Tensor, gain: Tensor) -> Tensor:
    """Inputs, and how they have changed, times the gain, to ± CHANGES_MAX: an impact is no signal of its own size.

    Shapes: (..., n), (..., n + 1), (n,) -> (..., 2 n).

    `before` is what `kept` returned a step before, or zeros in the first step of an episode, which knows no change.
    """
    changes = gain * before[..., -1:] * (inputs - before[..., :-1])
    return torch.cat((inputs, changes.clamp(-CHANGES_MAX, CHANGES_MAX)), dim=-1)


def kept(inputs: Tensor) -> Tensor:
    """Inputs as a memory keeps them for the next step: with a 1 that says so. Shapes: (..., n) -> (..., n + 1)."""
    return torch.cat((inputs, torch.ones_like(inputs[..., :1])), dim=-1)


def take(c: Coefficients, rows: Tensor) -> Coefficients:
    """Coefficients of some candidates of a population, in the order and number of `rows` (integer indices)."""

    def pick(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: pick(v) for name, v in value.items()}
        return None if value is None else value.index_select(0, rows)

    return Coefficients(*map(pick, c))


def problem_of(
    field: Any, c: Coefficients, inputs: Tensor, potentials: Tensor, starts: Tensor | None
) -> Problem | None:
    """A field over a sequence as kernels take it, time-major; None where only the Python step will do.

    That is where tensors differ in dtype or device, where step, activation, dynamics or input embedding are your
    own (a subclass or a hook makes them so), or where channels are not pooled by a sum. An output embedding of your
    own is left to the caller (no `weights_out`). Coefficients of a population are for `Stepper` only. Inputs are as the
    embedding takes them, with changes where the field feels these, and potentials (batch, hidden_size).
    """
    name, form = nonlinearity(field.activation), polynomial(field.dynamics, c.dynamics)
    first = linear_layer(c, "input_embedding", field.input_embedding, field.felt, field.hidden_size)
    last = linear_layer(c, "output_embedding", field.output_embedding, field.hidden_size, field.output_size)
    if name is None or form is None or first is None or inputs.shape[-1] != field.felt:
        return None
    if field.pooling_norm != 1 or not field.is_plain():
        return None
    bias = torch.zeros_like(c.scale) if c.bias is None else c.bias
    rows = (c.resting_level, c.rate, c.scale, bias, c.initial_potentials[..., : field.hidden_size], *form.terms)
    (w_in, b_in), (w_out, b_out) = first, last or (None, None)
    reals = [t for t in (potentials, c.lateral, *rows, w_in, b_in, w_out, b_out) if t is not None]
    alike = all(t.dtype == inputs.dtype and t.device == inputs.device for t in reals)
    if not alike or (starts is not None and starts.device != inputs.device):
        return None  # their bytes would be read as what they are not
    whole = c.resting_level.shape
    neurons = torch.stack([row if row.shape == whole else row.expand(whole) for row in rows], dim=-2)
    neurons = neurons if neurons.dim() == 2 else neurons.squeeze(1)  # the axis of one beside a population
    return Problem(inputs, potentials, starts, c.lateral, neurons, w_in, b_in, w_out, b_out, name, *form[:2])


def linear_layer(
    c: Coefficients, name: str, layer: Any, fan_in: int, fan_out: int
) -> tuple[Tensor, Tensor | None] | None:
    """Weight and bias of an embedding, if kernels can compute it: `nn.Linear` itself, not too wide, no hooks."""
    if type(layer) is not nn.Linear or has_hooks(layer) or layer.weight.shape != (fan_out, fan_in):
        return None
    parameters: Any = c.modules.get(name) or layer._parameters
    return None if max(fan_in, fan_out) > WIDTH_MAX else (parameters["weight"], parameters.get("bias"))


def check(fits: bool, tensor: Any, message: str, *parts: Any) -> None:
    """Refuse a tensor whose shape does not fit, with a message that is put together only then."""
    if not fits:
        raise ValueError(f"{message.format(*parts)}, not {tuple(tensor.shape)}.")
