"""What both neural fields share: parameters, one step, a sequence, a population.

A field remembers nothing: potentials go in and come out. `NeuralField` and `SimpleNeuralField` differ only in how
neighbours interact and in the potential dynamics they offer.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from nf_policies.fields import dynamics as core
from nf_policies.fields import fused
from nf_policies.fields.activations import default_initial_potentials, resolve
from nf_policies.fields.dynamics import INTEGRATORS, Activation, Coefficients, Dynamics, optional_parameters, unroll
from nf_policies.fields.start_values import linear, spread

TAU_MIN = 1e-5
"""Time constants stay above this (as in neuralfields 0.5.2); a field can ask for more with `tau_min`."""


MODULES = ("input_embedding", "output_embedding", "activation")
"""Parts of a field that may have parameters of their own."""


class Trace(NamedTuple):
    """What happens inside a field in one step, for recordings. Shapes: (..., batch, hidden_size or output_size)."""

    stimuli_external: Tensor
    stimuli_internal: Tensor
    potentials: Tensor
    activations: Tensor
    outputs: Tensor


class Field(nn.Module):
    """The part that `NeuralField` and `SimpleNeuralField` have in common; not for direct use.

    Every `nn.Parameter` of a field is learnable and used; what is fixed is a buffer. Positive parameters are
    learned as logarithms: tau = tau_min + exp(log_tau), kappa = exp(log_kappa), capacity = exp(log_capacity).
    """

    dynamics: Dynamics
    pooling_norm = 1
    integrator: str
    log_tau: Tensor
    log_kappa: Tensor
    resting_level: Tensor
    activation_scale: Tensor
    activation_bias: Tensor
    initial_potentials: Tensor

    kinds: ClassVar[dict[str, type["Field"]]] = {}
    """Every class of fields by its name, for files and options."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        Field.kinds.setdefault(cls.__name__, cls)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        dynamics: Dynamics,
        input_embedding: nn.Module | None,
        output_embedding: nn.Module | None,
        activation: str | Activation | Sequence[str | Activation],
        activation_bias: bool,
        tau_init: float | Sequence[float] | Tensor,
        tau_learnable: bool,
        tau_min: float,
        kappa_init: float | Sequence[float] | Tensor,
        kappa_learnable: bool,
        initial_potentials: Tensor | None,
        initial_potentials_learnable: bool,
        dt: float,
        integrator: str,
        batch_first: bool,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("output_size", output_size)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, not {size}.")
        if not (math.isfinite(dt) and dt > 0):
            raise ValueError(f"The step dt must be positive and finite, not {dt}.")
        if integrator not in INTEGRATORS:
            raise ValueError(f"Unknown integrator {integrator!r}: choose {' or '.join(INTEGRATORS)}.")
        if tau_min <= 0:
            raise ValueError(f"tau_min must be positive, not {tau_min}.")
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, output_size
        self.dynamics, self.dt, self.integrator, self.batch_first = dynamics, dt, integrator, batch_first
        self.tau_min = tau_min

        self.input_embedding = (
            linear(input_size, hidden_size, generator) if input_embedding is None else input_embedding
        )
        self.output_embedding = (
            linear(hidden_size, output_size, generator) if output_embedding is None else output_embedding
        )
        self.activation = resolve(activation, hidden_size)
        self.activation_scale = nn.Parameter(torch.ones(hidden_size))
        if activation_bias:
            self.activation_bias = nn.Parameter(torch.zeros(hidden_size))
        else:
            self.register_buffer("activation_bias", torch.zeros(hidden_size), persistent=False)
        self.resting_level = nn.Parameter(torch.randn(hidden_size, generator=generator))

        tau = spread("tau_init", tau_init, hidden_size)
        if not (tau > tau_min).all():
            raise ValueError(f"tau_init must be greater than tau_min = {tau_min}, not {tau_init}.")
        self._register("log_tau", (tau - tau_min).log(), tau_learnable)

        self.uses = optional_parameters(dynamics)
        if "kappa" in self.uses:
            kappa = spread("kappa_init", kappa_init, hidden_size)
            if (kappa < 0).any() or ((kappa == 0).any() and not (kappa == 0).all()):
                raise ValueError(f"kappa_init must be positive, or 0 for no cubic decay at all, not {kappa_init}.")
            if (kappa > 0).all():
                self._register("log_kappa", kappa.log(), kappa_learnable)
        self.kappa_is_off = "log_kappa" not in self._parameters | self._buffers

        if initial_potentials is None:
            initial_potentials = default_initial_potentials(self.activation, hidden_size)
        if initial_potentials.numel() != hidden_size:
            raise ValueError(
                f"initial_potentials must have {hidden_size} entries, not shape {tuple(initial_potentials.shape)}."
            )
        initial_potentials = initial_potentials.detach().to(torch.get_default_dtype(), copy=True).reshape(hidden_size)
        if not initial_potentials.isfinite().all():
            raise ValueError(f"initial_potentials must be finite, not {initial_potentials.tolist()}.")
        self._register("initial_potentials", initial_potentials, initial_potentials_learnable)

    def _register(self, name: str, value: Tensor, learnable: bool) -> None:
        if learnable:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    @property
    def tau(self) -> Tensor:
        """Time constants in units of dt's time, above `tau_min`. Shape: (1,) shared or (hidden_size,)."""
        return self.tau_min + self.log_tau.exp()

    @property
    def kappa(self) -> Tensor:
        """Cubic decay, exactly 0 where it is off. Shape: (1,) shared or (hidden_size,)."""
        return torch.zeros_like(self.resting_level[:1]) if self.kappa_is_off else self.log_kappa.exp()

    def lateral(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The interaction matrix (..., hidden_size, hidden_size) of (a population of) this field's parameters."""
        raise NotImplementedError

    def coefficients(self, population: Mapping[str, Tensor] | None = None) -> Coefficients:
        """What a step uses, derived from the field's own parameters or from those of a population.

        Args:
            population: For each learnable parameter's name, one value per candidate: (pop_size, *shape).
        Returns: Coefficients with no leading dimension, or with a leading (pop_size,) one.
        """
        p: dict[str, Tensor]
        if not population:
            p = {**self._parameters, **self._buffers}  # type: ignore[dict-item]  # a field has no None
        else:
            size = len(next(iter(population.values())))
            p = dict(self.named_parameters()) | dict(self.named_buffers())
            p = {name: t.expand(size, *t.shape) for name, t in p.items()} | dict(population)
        tau = self.tau_min + p["log_tau"].exp()
        rate = INTEGRATORS[self.integrator](tau, self.dt)
        optional = {name: p[f"log_{name}"].exp() for name in self.uses if f"log_{name}" in p}
        if "kappa" in self.uses and self.kappa_is_off:
            optional["kappa"] = torch.zeros_like(rate)  # exactly off
        rows = {
            "resting_level": p["resting_level"],
            "rate": rate,
            "scale": p["activation_scale"],
            "bias": p["activation_bias"],
            "initial_potentials": p["initial_potentials"],
        }
        if population:
            rows, optional = ({name: t.unsqueeze(-2) for name, t in some.items()} for some in (rows, optional))
        modules = {m: under(p, m) if population else {} for m in MODULES}
        return Coefficients(lateral=self.lateral(p), **rows, dynamics=optional, modules=modules)

    def _embed(self, c: Coefficients, inputs: Tensor) -> Tensor:
        if inputs.shape[-1] != self.input_size:
            raise ValueError(f"inputs must end with input_size = {self.input_size} features, not {shape(inputs)}.")
        external = core.apply(c, "input_embedding", self.input_embedding, inputs)
        if external.shape != (*inputs.shape[:-1], self.hidden_size):  # broadcasting would hide it
            raise ValueError(f"input_embedding must map to hidden_size = {self.hidden_size}, not {shape(external)}.")
        return external

    def read_out(self, c: Coefficients, potentials: Tensor) -> Tensor:
        """Outputs of potentials. Shapes: (..., hidden_size) -> (..., output_size)."""
        return self._outputs(c, core.activate(c, self.activation, potentials))

    def _outputs(self, c: Coefficients, activations: Tensor) -> Tensor:
        outputs = core.apply(c, "output_embedding", self.output_embedding, activations)
        if outputs.shape != (*activations.shape[:-1], self.output_size):
            raise ValueError(f"output_embedding must map to output_size = {self.output_size}, not {shape(outputs)}.")
        return outputs

    def trace(self, inputs: Tensor, potentials: Tensor, coefficients: Coefficients | None = None) -> Trace:
        """One step, with everything that happens in it.

        Args:
            inputs: Shape: (..., batch, input_size).
            potentials: Before the step, not modified. Shape: (..., batch, hidden_size).
            coefficients: Of a population, whose leading dimensions are then the inputs' too; by default the own.
        """
        c = self.coefficients() if coefficients is None else coefficients
        external = self._embed(c, inputs)
        before = core.activate(c, self.activation, potentials)
        internal = core.internal_stimuli(c, before, self.pooling_norm)
        potentials = core.integrate(c, self.dynamics, potentials, external + internal)
        activations = core.activate(c, self.activation, potentials)
        outputs = self._outputs(c, activations)
        return Trace(external, internal, potentials, activations, outputs)

    def step(
        self, inputs: Tensor, potentials: Tensor, coefficients: Coefficients | None = None
    ) -> tuple[Tensor, Tensor]:
        """Advance the field by one step, for control loops and populations.

        Args:
            inputs: Shape: (..., batch, input_size).
            potentials: Field memory, not modified. Shape: (..., batch, hidden_size).
            coefficients: Of a population, whose leading dimensions are then the inputs' too; by default the own.
        Returns: outputs (..., batch, output_size) and the next potentials (..., batch, hidden_size).
        Reference: Amari (1977), Biological Cybernetics 27; Luksch et al. (2012).
        """
        trace = self.trace(inputs, potentials, coefficients)
        return trace.outputs, trace.potentials

    def start(self, batch_size: int) -> Tensor:
        """Initial potentials for a batch. Shape: (batch_size, hidden_size)."""
        return self.initial_potentials.repeat(batch_size, 1)  # a copy, so that nobody writes into the field

    def forward(
        self, inputs: Tensor, potentials: Tensor | None = None, episode_starts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run the field over a sequence; gradients are exact through all of its time steps.

        Args:
            inputs: (time, batch, input_size), (batch, time, input_size) if `batch_first`, or (time, input_size).
            potentials: Memory before the first step, by default the initial potentials. Shape: (batch,
                hidden_size), or (hidden_size,) for an unbatched sequence.
            episode_starts: True where a new episode begins before that step: its potentials are then the initial
                ones and no gradient crosses. Shaped as the inputs without their last dimension.
        Returns: outputs (time, batch, output_size) and the potentials of all time steps (time, batch,
            hidden_size), in the layout of the inputs.
        Raises: ValueError if a shape does not fit.
        """
        if inputs.dim() not in (2, 3):
            raise ValueError(f"inputs must be (time, batch, input_size) or (time, input_size), not {shape(inputs)}.")
        batched = inputs.dim() == 3
        expected = inputs.shape[:-1]
        if episode_starts is not None and episode_starts.shape != expected:
            raise ValueError(f"episode_starts must be {tuple(expected)} as the inputs, not {shape(episode_starts)}.")
        if episode_starts is not None and episode_starts.dtype != torch.bool:
            raise ValueError(f"episode_starts must be bool, not {episode_starts.dtype}.")
        batch_axis = (0 if self.batch_first else 1) if batched else None
        memory = (inputs.shape[batch_axis], self.hidden_size) if batch_axis is not None else (self.hidden_size,)
        if potentials is not None and potentials.shape != memory:
            raise ValueError(f"potentials must be {memory}, not {shape(potentials)}.")

        if batched and self.batch_first:
            inputs = inputs.transpose(0, 1)
            episode_starts = None if episode_starts is None else episode_starts.transpose(0, 1)
        elif not batched:
            inputs = inputs.unsqueeze(1)
            episode_starts = None if episode_starts is None else episode_starts.unsqueeze(1)
            potentials = None if potentials is None else potentials.unsqueeze(0)
        if potentials is None:
            potentials = self.initial_potentials.expand(inputs.shape[1], -1)

        outputs, trajectory = self._solve(inputs, potentials, episode_starts)

        if batched and self.batch_first:
            return outputs.transpose(0, 1), trajectory.transpose(0, 1)
        if not batched:
            return outputs.squeeze(1), trajectory.squeeze(1)
        return outputs, trajectory

    def _solve(self, inputs: Tensor, potentials: Tensor, episode_starts: Tensor | None) -> tuple[Tensor, Tensor]:
        """Outputs and potentials of all time steps, time-major: fused where that can be, else step by step."""
        c = self.coefficients()
        p = fused.problem(self, c, inputs, potentials, episode_starts) if fused.pays(inputs) else None
        solved = None if p is None else fused.solve(p)
        if p is not None and solved is not None:
            outputs, trajectory = solved
            if p.weights_out is not None:
                return outputs, trajectory
        else:
            external, kind = self._embed(c, inputs), (self.activation, self.dynamics, self.pooling_norm)
            trajectory = unroll(c, *kind, external, potentials, episode_starts)
        return self.read_out(c, trajectory), trajectory

    @property
    def n_parameters(self) -> int:
        """Number of learnable parameters, those of the embeddings included."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def extra_repr(self) -> str:
        """Sizes, dynamics and the number of learnable parameters, for `repr`."""
        dynamics = getattr(self.dynamics, "__name__", repr(self.dynamics))
        return (
            f"input_size={self.input_size}, hidden_size={self.hidden_size}, output_size={self.output_size}, "
            f"dynamics={dynamics}, integrator={self.integrator}, dt={self.dt:g}, n_parameters={self.n_parameters}"
        )


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of one submodule, by their names inside it."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}


def shape(tensor: Tensor) -> tuple[int, ...]:
    """A tensor's shape for a message."""
    return tuple(tensor.shape)
