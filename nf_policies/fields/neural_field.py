"""NeuralField: Amari's field, a convolution over neurons, usually below 1,000 parameters."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nf_policies.fields.dynamics import Activation, cubic
from nf_policies.fields.field import TAU_MIN, Field
from nf_policies.fields.lateral import PADDINGS, Padding, bell, free_size, lateral_matrix, layout


class NeuralField(Field):
    """A recurrent network of potentials whose neighbours interact through a convolution kernel.

    tau du/dt = s + h - u + kappa (h - u)^3, with s = embedded inputs + kernel * activations, integrated with step dt.

    Args:
        input_size: Number of inputs.
        hidden_size: Number of neurons, at least 2.
        output_size: Number of outputs; by default one per neuron.
        input_embedding: Module from (..., input_size) to (..., hidden_size); by default linear without bias.
        output_embedding: Module from (..., hidden_size) to (..., output_size); by default linear without bias.
        activation: Nonlinearity of the scaled potentials: a name ("sigmoid", "tanh", "relu", "identity"), a
            function, or a sequence with one per neuron.
        kernel_size: Width of the lateral kernel in neurons, odd or even, up to `hidden_size` (the default).
        mirrored: Whether the kernel is symmetric, which halves its weights.
        padding: What lies beyond the field's ends: "circular" (its other end), "reflect" or "zeros".
        channels: Number of kernels, pooled into one internal stimulus.
        pooling_norm: p of that pooling: the p-th root of the sum of p-th powers. 1 is the plain sum.
        bell_init: Start with bell-shaped kernels of random height: excite near, inhibit far neighbours.
        tau_init: Time constant in units of time: a number (shared), a pair (one per neuron, log-spaced between
            the two) or one value per neuron.
        tau_learnable: Whether tau is learned.
        tau_min: tau stays above this. Explicit Euler steps overshoot where tau < dt.
        kappa_init: Cubic decay, in the same three forms; 0 is exactly off.
        kappa_learnable: Whether kappa is learned (if it is not off).
        initial_potentials: Potentials at an episode's start, (hidden_size,); by default -7 for sigmoid neurons
            and 0 for others.
        initial_potentials_learnable: Whether they are learned.
        dt: Step of the integration, in units of time.
        integrator: "euler" (explicit) or "exponential_euler" (exact for the leak, stable for any tau).
        batch_first: Whether sequences are (batch, time, features) rather than (time, batch, features).
        generator: Source of the random start values; by default torch's.
    Raises: ValueError naming the argument that does not fit.
    Reference: Amari (1977), Dynamics of pattern formation in lateral-inhibition type neural fields.
    """

    kernel: nn.Parameter
    _layout: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        *,
        input_embedding: nn.Module | None = None,
        output_embedding: nn.Module | None = None,
        activation: str | Activation | Sequence[str | Activation] = "sigmoid",
        kernel_size: int | None = None,
        mirrored: bool = True,
        padding: Padding = "circular",
        channels: int = 1,
        pooling_norm: int = 1,
        bell_init: bool = False,
        tau_init: float | Sequence[float] | Tensor = 10.0,
        tau_learnable: bool = True,
        tau_min: float = TAU_MIN,
        kappa_init: float | Sequence[float] | Tensor = 1e-5,
        kappa_learnable: bool = True,
        initial_potentials: Tensor | None = None,
        initial_potentials_learnable: bool = False,
        dt: float = 1.0,
        integrator: str = "euler",
        batch_first: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        kernel_size = hidden_size if kernel_size is None else kernel_size
        if hidden_size < 2:
            raise ValueError(f"A NeuralField needs hidden_size >= 2 for lateral interaction, not {hidden_size}.")
        if not 1 <= kernel_size <= hidden_size:
            raise ValueError(f"kernel_size must be between 1 and hidden_size = {hidden_size}, not {kernel_size}.")
        if padding not in PADDINGS:
            raise ValueError(f"Unknown padding {padding!r}: choose {', '.join(PADDINGS)}.")
        if channels < 1 or pooling_norm < 1 or pooling_norm != int(pooling_norm):
            raise ValueError(f"channels and pooling_norm are integers >= 1, not {channels} and {pooling_norm}.")
        super().__init__(
            input_size=input_size,
            hidden_size=hidden_size,
            output_size=hidden_size if output_size is None else output_size,
            dynamics=cubic,
            input_embedding=input_embedding,
            output_embedding=output_embedding,
            activation=activation,
            activation_bias=True,
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
        self.kernel_size, self.mirrored, self.padding = kernel_size, mirrored, padding
        # With a single channel there is nothing to pool, whatever the norm.
        self.channels, self.pooling_norm = channels, pooling_norm if channels > 1 else 1
        self.register_buffer("_layout", layout(kernel_size, mirrored, hidden_size, padding), persistent=False)
        free = free_size(kernel_size, mirrored)
        if bell_init:
            height = torch.rand(channels, 1, generator=generator)
            self.kernel = nn.Parameter(height * bell(kernel_size, mirrored))
        else:
            bound = free**-0.5
            self.kernel = nn.Parameter((2 * torch.rand(channels, free, generator=generator) - 1) * bound)

    def lateral(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The kernel (..., channels, free_size) as matrices, summed over channels where the pooling is a sum."""
        kernel = parameters["kernel"]
        if self.pooling_norm == 1:
            kernel = kernel.sum(-2)
        return lateral_matrix(kernel, self._layout)
