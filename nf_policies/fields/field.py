"""What both neural fields share: parameters, one step, a sequence, a population.

A field remembers nothing: potentials go in and come out. `NeuralField` and `SimpleNeuralField` differ only in how
neighbours interact and in the potential dynamics they offer.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nf_policies.fields import dynamics as core
from nf_policies.fields.activations import initial_potentials, names_of, resolve
from nf_policies.fields.dynamics import INTEGRATORS, Coefficients, Dynamics, Trace, check, problem_of, under
from nf_policies.fields.options import FieldOptions, optional_parameters
from nf_policies.fields.parameters import embedding
from nf_policies.kernels.operator import pays, solve

SIZES = ("input_size", "hidden_size", "output_size")


class Field(nn.Module):
    """The part that `NeuralField` and `SimpleNeuralField` have in common; not for direct use.

    Every `nn.Parameter` of a field is learnable and used; what is fixed is a buffer. Positive parameters are
    learned as logarithms: tau = tau_min + exp(log_tau), kappa = exp(log_kappa), capacity = exp(log_capacity).
    A subclass that changes the formula overrides `trace`; whatever runs the field then goes through it.
    """

    kinds: ClassVar[dict[str, type["Field"]]] = {}
    """Every kind of field by the name of its class; the first of a name counts."""
    biased = True
    pooling_norm = 1
    felt: int
    """Inputs of the input embedding: the field's, and how they have changed if it feels that."""
    kept: int
    """Numbers of a memory beyond the potentials: the latest inputs and a 1, or none."""
    log_tau: Tensor
    log_kappa: Tensor
    initial_potentials: Tensor

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Field.kinds.setdefault(cls.__name__, cls)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        options: FieldOptions,
        dynamics: Dynamics,
        input_embedding: nn.Module | None,
        output_embedding: nn.Module | None,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, output_size
        for name in SIZES:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}.")
        self.options, self.dynamics, self.uses = options, dynamics, optional_parameters(dynamics)

        self.felt, self.kept = (2 * input_size, input_size + 1) if options.changes else (input_size, 0)
        self.memory_size = hidden_size + self.kept
        if options.changes:
            self.change_gain: Tensor = nn.Buffer(torch.ones(input_size))
        self.input_embedding = embedding(input_embedding, self.felt, hidden_size, generator)
        self.output_embedding = embedding(output_embedding, hidden_size, output_size, generator)
        self.activation = resolve(options.activation, hidden_size)
        self.activation_scale = nn.Parameter(torch.ones(hidden_size))
        if self.biased:
            self.activation_bias = nn.Parameter(torch.zeros(hidden_size))
        self.resting_level = nn.Parameter(torch.randn(hidden_size, generator=generator))

        self._register("log_tau", (options.tau(hidden_size) - options.tau_min).log(), options.tau_learnable)
        if "kappa" in self.uses and (kappa := options.kappa(hidden_size)).all():
            self._register("log_kappa", kappa.log(), options.kappa_learnable)
        self.kappa_is_off = "log_kappa" not in self._parameters | self._buffers
        start = initial_potentials(options.initial_potentials, self.activation, hidden_size)
        self._register("initial_potentials", start, options.initial_potentials_learnable)

    def _register(self, name: str, value: Tensor, learnable: bool) -> None:
        if learnable:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    @property
    def dt(self) -> float:
        """Step of the integration, in units of time."""
        return self.options.dt

    @property
    def batch_first(self) -> bool:
        """Whether sequences are (batch, time, features) rather than (time, batch, features)."""
        return self.options.batch_first

    @property
    def tau(self) -> Tensor:
        """Time constants in units of dt's time, above `tau_min`. Shape: (1,) shared or (hidden_size,)."""
        return self.options.tau_min + self.log_tau.exp()

    @property
    def kappa(self) -> Tensor:
        """Cubic decay, exactly 0 where it is off. Shape: (1,) shared or (hidden_size,)."""
        return torch.zeros_like(self.resting_level[:1]) if self.kappa_is_off else self.log_kappa.exp()

    def describe(self) -> dict[str, Any]:
        """Options as JSON values; `Field.kinds[type(field).__name__](**options)` is a field of the same shape.

        Raises: ValueError if the field holds a module or function of your own, which a file cannot describe.
        """
        if Field.kinds.get(type(self).__name__) is not type(self):
            raise ValueError(f"There are two kinds of field named {type(self).__name__}: give yours another name.")
        for name in ("input_embedding", "output_embedding"):
            if type(module := getattr(self, name)) is not nn.Linear or module.bias is not None:
                raise ValueError(f"An {name} of your own cannot be described: save the state_dict instead.")
        sizes = {name: getattr(self, name) for name in SIZES}
        # Initial potentials are among the tensors.
        return sizes | vars(self.options) | {"activation": names_of(self.activation), "initial_potentials": None}

    def lateral(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The interaction matrix (..., hidden_size, hidden_size) of (a population of) this field's parameters."""
        raise NotImplementedError

    def coefficients(self, population: Mapping[str, Tensor] | None = None) -> Coefficients:
        """What a step uses, derived from the field's own parameters or from those of a population.

        Args:
            population: For each learnable parameter's name, one value per candidate: (pop_size, *shape). The
                coefficients then have that leading dimension, too.
        """
        p: dict[str, Any] = {**self._parameters, **self._buffers}
        if population:
            size = len(next(iter(population.values())))
            p = dict(self.named_parameters()) | dict(self.named_buffers())
            p = {name: t.expand(size, *t.shape) for name, t in p.items()} | dict(population)
        rate = INTEGRATORS[self.options.integrator](self.options.tau_min + p["log_tau"].exp(), self.options.dt)
        optional = {name: p[f"log_{name}"].exp() for name in self.uses if f"log_{name}" in p}
        if "kappa" in self.uses and self.kappa_is_off:
            optional["kappa"] = torch.zeros_like(rate)  # exactly off
        start = nn.functional.pad(p["initial_potentials"], (0, self.kept)) if self.kept else p["initial_potentials"]
        rows: Any = (p["resting_level"], rate, p["activation_scale"], p.get("activation_bias"), start)
        modules: dict[str, dict[str, Tensor]] = {}
        if population:
            rows = [None if t is None else t.unsqueeze(-2) for t in rows]
            optional = {name: t.unsqueeze(-2) for name, t in optional.items()}
            modules = {m: under(p, m) for m in ("input_embedding", "output_embedding", "activation")}
        return Coefficients._make((self.lateral(p), *rows, optional, modules))

    def _feel(self, inputs: Tensor, before: Tensor) -> Tensor:
        """What the input embedding takes of inputs; `before` is what the memory kept of those before, if any."""
        n = self.input_size
        check(inputs.shape[-1] == n, inputs, "inputs must end with input_size = {} features", n)
        return core.with_changes(inputs, before, self.change_gain) if self.kept else inputs

    def _layer(self, c: Coefficients, name: str, x: Tensor, size: str) -> Tensor:
        y, n = core.apply(c, name, getattr(self, name), x), getattr(self, size)
        check(y.shape == (*x.shape[:-1], n), y, "{} must map to {} = {}", name, size, n)  # broadcasting would hide it
        return y

    def read_out(self, c: Coefficients, potentials: Tensor) -> Tensor:
        """Outputs of potentials. Shapes: (..., hidden_size) -> (..., output_size)."""
        return self._layer(c, "output_embedding", core.activate(c, self.activation, potentials), "output_size")

    def trace(self, inputs: Tensor, potentials: Tensor, coefficients: Coefficients | None = None) -> Trace:
        """One step, with everything that happens in it. Arguments as for `step`."""
        c = self.coefficients() if coefficients is None else coefficients
        potentials, kept = potentials.tensor_split([self.hidden_size], dim=-1)
        external = self._layer(c, "input_embedding", self._feel(inputs, kept), "hidden_size")
        before = core.activate(c, self.activation, potentials)
        internal = core.internal_stimuli(c, before, self.pooling_norm)
        potentials = core.integrate(c, self.dynamics, potentials, external + internal)
        activations = core.activate(c, self.activation, potentials)
        outputs = self._layer(c, "output_embedding", activations, "output_size")
        memory = torch.cat((potentials, core.kept(inputs)), dim=-1) if self.kept else potentials
        return Trace(external, internal, memory, activations, outputs)

    def step(
        self, inputs: Tensor, potentials: Tensor, coefficients: Coefficients | None = None
    ) -> tuple[Tensor, Tensor]:
        """Advance the field by one step, for control loops and populations.

        Args:
            inputs: Shape: (..., batch, input_size).
            potentials: Field memory, not modified. Shape: (..., batch, hidden_size).
            coefficients: Of a population, whose leading dimensions are then the inputs' too; by default the own.
        Returns: outputs (..., batch, output_size) and the next potentials (..., batch, hidden_size).
        """
        trace = self.trace(inputs, potentials, coefficients)
        return trace.outputs, trace.potentials

    def start(self, batch_size: int) -> Tensor:
        """The memory at the start, for a batch: initial potentials. Shape: (batch_size, memory_size)."""
        # A copy, so that nobody writes into the field.
        return nn.functional.pad(self.initial_potentials.repeat(batch_size, 1), (0, self.kept))

    def forward(
        self, inputs: Tensor, potentials: Tensor | None = None, episode_starts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run the field over a sequence; gradients are exact through all of its time steps.

        Args:
            inputs: (time, batch, input_size), (batch, time, input_size) if `batch_first`, or (time, input_size).
            potentials: Memory before the first step, by default the initial potentials. Shape: (batch,
                memory_size), or (memory_size,) for an unbatched sequence.
            episode_starts: True where a new episode begins before that step: its potentials are then the initial
                ones and no gradient crosses. Shaped as the inputs without their last dimension.
        Returns: outputs (..., output_size) and potentials (..., memory_size) of all time steps, laid out as the inputs.
        Raises: ValueError if a shape does not fit.
        """
        check(inputs.dim() in (2, 3), inputs, "inputs must be (time, batch, input_size) or (time, input_size)")
        batched, batch_first = inputs.dim() == 3, self.options.batch_first
        if episode_starts is not None:
            rows = inputs.shape[:-1]
            check(episode_starts.shape == rows, episode_starts, "episode_starts must be {} as the inputs", tuple(rows))
            if episode_starts.dtype != torch.bool:
                raise ValueError(f"episode_starts must be bool, not {episode_starts.dtype}.")
        memory = (inputs.shape[0 if batch_first else 1], self.memory_size) if batched else (self.memory_size,)
        if potentials is None:
            potentials = self.start(1)[0].expand(memory)
        check(potentials.shape == memory, potentials, "potentials must be {}", memory)

        if not batched:
            starts = None if episode_starts is None else episode_starts.unsqueeze(1)
            outputs, trajectory = self._run(inputs.unsqueeze(1), potentials.unsqueeze(0), starts)
            return outputs.squeeze(1), trajectory.squeeze(1)
        if not batch_first:
            return self._run(inputs, potentials, episode_starts)
        starts = None if episode_starts is None else episode_starts.transpose(0, 1)
        outputs, trajectory = self._run(inputs.transpose(0, 1), potentials, starts)
        return outputs.transpose(0, 1), trajectory.transpose(0, 1)

    def _run(self, inputs: Tensor, potentials: Tensor, starts: Tensor | None) -> tuple[Tensor, Tensor]:
        """Outputs and memories of all time steps, time-major."""
        u, before = potentials.tensor_split([self.hidden_size], dim=-1)
        if len(inputs) > 0 and not self.is_plain():
            return self._solve(inputs, potentials, starts)
        if not self.kept:
            return self._solve(self._feel(inputs, before), u, starts)
        now = core.kept(inputs)
        before = torch.cat((before.unsqueeze(0), now))[: len(now)]
        if starts is not None:
            before = before.masked_fill(starts.unsqueeze(-1), 0.0)
        outputs, trajectory = self._solve(self._feel(inputs, before), u, starts)
        return outputs, torch.cat((trajectory, now), dim=-1)

    def _solve(self, inputs: Tensor, potentials: Tensor, starts: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `_run`, of inputs as the embedding takes them: by a kernel if one fits, else step by step."""
        c = self.coefficients()
        p = problem_of(self, c, inputs, potentials, starts) if pays(inputs) else None
        solved = None if p is None else solve(p)
        if p is None or solved is None:
            return self._unroll(c, inputs, potentials, starts)
        outputs, trajectory = solved
        return (self.read_out(c, trajectory) if p.weights_out is None else outputs), trajectory

    def _unroll(self, c: Coefficients, inputs: Tensor, u: Tensor, starts: Tensor | None) -> tuple[Tensor, Tensor]:
        """As `_run`, step by step; a step of your own is called, all others leave the embeddings to whole sequences."""
        own = len(inputs) > 0 and not self.is_plain()
        external = inputs if own else self._layer(c, "input_embedding", inputs, "hidden_size")
        outputs, trajectory = [], []
        for t, x in enumerate(external):
            if starts is not None:
                u = core.reset(c, u, starts[t])
            if own:
                y, u = self.step(x, u, c)
                outputs.append(y)
            else:
                internal = core.internal_stimuli(c, core.activate(c, self.activation, u), self.pooling_norm)
                u = core.integrate(c, self.dynamics, u, x + internal)
            trajectory.append(u)
        potentials = torch.stack(trajectory) if trajectory else external.new_empty(0, *u.shape)
        return (torch.stack(outputs) if own else self.read_out(c, potentials)), potentials

    def is_plain(self) -> bool:
        """Whether a step is what is written here, not a `step` or `trace` of a subclass or of this very field."""
        cls, own = type(self), self.__dict__
        return cls.step is Field.step and cls.trace is Field.trace and "step" not in own and "trace" not in own

    @property
    def n_parameters(self) -> int:
        """Number of learnable parameters, those of the embeddings included."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def extra_repr(self) -> str:
        """Sizes, dynamics and the number of learnable parameters, for `repr`."""
        shown = {name: getattr(self, name) for name in SIZES}
        shown["dynamics"] = getattr(self.dynamics, "__name__", repr(self.dynamics))
        shown |= {"integrator": self.options.integrator, "dt": f"{self.dt:g}", "n_parameters": self.n_parameters}
        return ", ".join(f"{name}={value}" for name, value in shown.items())
