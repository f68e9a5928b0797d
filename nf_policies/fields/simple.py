"""SimpleNeuralField: potentials that all interact, without a convolution; usually below 20 parameters."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nf_policies.fields.activations import is_sigmoid
from nf_policies.fields.dynamics import DYNAMICS, Activation, Dynamics
from nf_policies.fields.field import TAU_MIN, Field
from nf_policies.fields.start_values import linear


class SimpleNeuralField(Field):
    """A few neurons, each connected to each, with a choice of potential dynamics.

    Args:
        input_size: Number of inputs.
        output_size: Number of outputs.
        hidden_size: Number of neurons; by default one per output.
        dynamics: Potential dynamics: "linear", "cubic", "capacity_21", "capacity_21_abs", "capacity_32",
            "capacity_32_abs", or a function of your own (see `nf_policies.fields.dynamics`).
        input_embedding: Module from (..., input_size) to (..., hidden_size); by default linear without bias.
        output_embedding: Module from (..., hidden_size) to (..., output_size); by default linear without bias.
        activation: Nonlinearity of the scaled potentials: a name ("sigmoid", "tanh", "relu", "identity"), a
            function, or a sequence with one per neuron.
        self_centric_init: Start with neurons that excite themselves (1) and inhibit the others (-0.5).
        tau_init: Time constant in units of time: a number (shared), a pair (one per neuron, log-spaced between
            the two) or one value per neuron.
        tau_learnable: Whether tau is learned.
        tau_min: tau stays above this. Explicit Euler steps overshoot where tau < dt.
        kappa_init: Cubic decay, in the same three forms; 0 is exactly off. Only for dynamics that name it.
        kappa_learnable: Whether kappa is learned (if it is not off).
        capacity_init: Potential at which the capacity dynamics saturate. By default where the activation does:
            7 for sigmoid, 3.8 for tanh. Only for dynamics that name it.
        capacity_learnable: Whether the capacity is learned.
        initial_potentials: Potentials at an episode's start, (hidden_size,); by default -7 for sigmoid neurons
            and 0 for others.
        initial_potentials_learnable: Whether they are learned.
        dt: Step of the integration, in units of time.
        integrator: "euler" (explicit) or "exponential_euler" (exact for the leak, stable for any tau).
        batch_first: Whether sequences are (batch, time, features) rather than (time, batch, features).
        generator: Source of the random start values; by default torch's.
    Raises: ValueError naming the argument that does not fit.
    Reference: Luksch, Gienger, Muehlig and Yoshiike (2012), Adaptive movement sequences and predictive decisions
        based on hierarchical dynamical systems, IROS.
    """

    log_capacity: Tensor

    def __init__(
        self,
        input_size: int,
        output_size: int,
        hidden_size: int | None = None,
        *,
        dynamics: str | Dynamics = "cubic",
        input_embedding: nn.Module | None = None,
        output_embedding: nn.Module | None = None,
        activation: str | Activation | Sequence[str | Activation] = "sigmoid",
        self_centric_init: bool = False,
        tau_init: float | Sequence[float] | Tensor = 10.0,
        tau_learnable: bool = True,
        tau_min: float = TAU_MIN,
        kappa_init: float | Sequence[float] | Tensor = 1e-3,
        kappa_learnable: bool = True,
        capacity_init: float | None = None,
        capacity_learnable: bool = True,
        initial_potentials: Tensor | None = None,
        initial_potentials_learnable: bool = False,
        dt: float = 1.0,
        integrator: str = "euler",
        batch_first: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        if isinstance(dynamics, str) and dynamics not in DYNAMICS:
            raise ValueError(f"Unknown dynamics {dynamics!r}: choose {', '.join(DYNAMICS)}, or pass a function.")
        super().__init__(
            input_size=input_size,
            hidden_size=output_size if hidden_size is None else hidden_size,
            output_size=output_size,
            dynamics=DYNAMICS[dynamics] if isinstance(dynamics, str) else dynamics,
            input_embedding=input_embedding,
            output_embedding=output_embedding,
            activation=activation,
            activation_bias=False,
            tau_init=tau_init,
            tau_learnable=tau_learnable,
            tau_min=tau_min,
            kappa_init=kappa_init,
            kappa_learnable=kappa_learnable,
            initial_potentials=initial_potentials,
            initial_potentials_learnable=initial_potentials_learnable,
            dt=dt,
            integrator=integrator,
            batch_first=batch_first,
            generator=generator,
        )
        self.interaction = linear(self.hidden_size, self.hidden_size, generator)
        if self_centric_init:
            with torch.no_grad():
                self.interaction.weight.fill_(-0.5).fill_diagonal_(1.0)
        if "capacity" in self.uses:
            capacity = self._saturation() if capacity_init is None else torch.tensor(float(capacity_init))
            if not (capacity > 0 and capacity.isfinite()):
                raise ValueError(f"capacity_init must be positive and finite, not {capacity_init}.")
            self._register("log_capacity", capacity.log().reshape(1), capacity_learnable)

    def _saturation(self) -> Tensor:
        """Where the activation reaches 0.999 of its range: sigmoid(7) and tanh(3.8)."""
        functions = getattr(self.activation, "functions", (self.activation,))
        if all(is_sigmoid(f) for f in functions):
            return torch.tensor(7.0)
        if all(f is torch.tanh or isinstance(f, nn.Tanh) for f in functions):
            return torch.tensor(3.8)
        raise ValueError("Capacity dynamics need capacity_init where the activation is not all sigmoid or all tanh.")

    @property
    def capacity(self) -> Tensor:
        """Potential at which the capacity dynamics saturate; no attribute of other dynamics. Shape: (1,)."""
        return self.log_capacity.exp()

    def lateral(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The free interaction matrix (..., hidden_size, hidden_size)."""
        return parameters.get("interaction.weight", self.interaction.weight)
