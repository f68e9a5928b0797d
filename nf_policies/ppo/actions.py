"""From a distribution's sample to an action of the task, and from activations to the distribution's parameters."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from nf_policies.policies.heads import BoxHead, make_head


class FirstLogitZero(nn.Module):
    """Put the logit 0 in front of each choice's n - 1 outputs, as the heads of a policy have it."""

    def __init__(self, choices: list[int]) -> None:
        super().__init__()
        self.choices = choices
        self.sizes = [max(n - 1, 1) for n in choices]

    def forward(self, outputs: Tensor) -> Tensor:
        """Logits of all choices side by side. Shapes: (batch, sum(n_i - 1)) -> (batch, sum(n_i))."""
        columns = outputs.movedim(-1, 0)  # the choices lie in memory as `FastCategorical` likes them
        first = torch.zeros_like(columns[:1])
        parts = zip(columns.split(self.sizes), self.choices, strict=True)
        return torch.cat([logits for part, n in parts for logits in (first, part)[:n]]).movedim(0, -1)


def parameters_layer(latent_size: int, space: spaces.Space[Any]) -> nn.Sequential:
    """A linear layer without bias, with small start weights, to the parameters of the space's distribution.

    For a choice of two that is the second one's logit alone. The layer's weight is the output embedding of the exported
    policy.
    """
    linear = nn.Linear(latent_size, make_head(space).output_size, bias=False)
    nn.init.orthogonal_(linear.weight, gain=0.01)
    if isinstance(space, spaces.Discrete) and space.n != 2:
        return nn.Sequential(linear, FirstLogitZero([int(space.n)]))
    if isinstance(space, spaces.MultiDiscrete):
        return nn.Sequential(linear, FirstLogitZero([int(n) for n in space.nvec.reshape(-1)]))
    return nn.Sequential(linear)


class FromFirst(nn.Module):
    """Choices counted from each one's first value rather than from 0."""

    def __init__(self, space: spaces.Discrete | spaces.MultiDiscrete) -> None:
        super().__init__()
        self.shape: tuple[int, ...] = space.shape or ()
        self.start: Tensor
        self.register_buffer("start", torch.as_tensor(np.asarray(space.start).reshape(-1)), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Shapes: (batch,) or (batch, choices) -> (batch, *space.shape)."""
        return (samples.reshape(len(samples), -1) + self.start).reshape(-1, *self.shape)


def action_scaling(space: spaces.Space[Any], squash: str) -> nn.Module:
    """The module from samples of the distribution (batch, ·) to actions (batch, *space.shape) within the space.

    Args:
        space: The action space.
        squash: "tanh" or "clip", for Box.
    """
    if isinstance(space, spaces.Box):
        return BoxHead(space, squash)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return FromFirst(space)
    return nn.Identity()
