"""A field over time: the recurrence and nothing else.

Input and output embeddings are one product each over the whole sequence, outside; what is left per step is one
product with the interaction matrix, one nonlinearity and the potential dynamics. Gradients are exact.
"""

import torch
from torch import Tensor

from nf_policies.fields.dynamics import Dynamics
from nf_policies.fields.step import Activation, Coefficients, activate, integrate, internal_stimuli, reset


def unroll(
    c: Coefficients,
    activation: Activation,
    dynamics: Dynamics,
    pooling_norm: int,
    stimuli_external: Tensor,
    potentials: Tensor,
    episode_starts: Tensor | None,
) -> Tensor:
    """Potentials of all time steps under a sequence of external stimuli.

    Args:
        c: Coefficients without a population.
        activation: Nonlinearity of the scaled potentials.
        dynamics: Potential dynamics.
        pooling_norm: p of the pooling over the lateral kernel's channels.
        stimuli_external: Shape: (time, batch, hidden_size).
        potentials: Before the first step. Shape: (batch, hidden_size).
        episode_starts: Where potentials are reset before a step. Bool, shape: (time, batch), or None for nowhere.
    Returns: Shape: (time, batch, hidden_size).
    """
    trajectory = []
    for t, external in enumerate(stimuli_external):
        if episode_starts is not None:
            potentials = reset(c, potentials, episode_starts[t])
        internal = internal_stimuli(c, activate(c, activation, potentials), pooling_norm)
        potentials = integrate(c, dynamics, potentials, external + internal)
        trajectory.append(potentials)
    if not trajectory:
        return stimuli_external.new_empty(0, *potentials.shape)
    return torch.stack(trajectory)
