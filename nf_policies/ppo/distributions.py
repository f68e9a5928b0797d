"""Action distributions: their parameters from activations, actions from their samples, and random numbers."""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    Distribution,
    MultiCategoricalDistribution,
    StateDependentNoiseDistribution,
)
from torch import Tensor, nn
from torch.distributions import Categorical, Normal
from torch.nn import functional

from nf_policies.policies.kinds import make_head
from nf_policies.policies.spaces import BoxHead, first_logit_zero

QUADRATURE_NODES = 16


class OwnRandom:
    """Random numbers of a model. Torch's global generators draw them on loan, and are left as they were.

    The model draws on the CPU and on its device. Without a seed, the operating system gives one.
    """

    def __init__(self, device: torch.device, seed: int | None) -> None:
        self.gpus = [device] if device.type == "cuda" else []
        self.on_loan = False
        self.seed(seed)

    def seed(self, seed: int | None) -> None:
        """Begin anew."""
        generators = [torch.Generator(), *map(torch.Generator, self.gpus)]
        for generator in generators:
            generator.seed() if seed is None else generator.manual_seed(seed)
        self.states = [generator.get_state() for generator in generators]

    @property
    def states(self) -> list[Tensor]:
        """States of the generators, the CPU's and a GPU's."""
        return [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self.gpus)] if self.on_loan else self._kept

    @states.setter
    def states(self, states: list[Tensor]) -> None:
        self._kept = states
        if self.on_loan:
            torch.set_rng_state(states[0])
            for gpu, state in zip(self.gpus, states[1:], strict=True):
                torch.cuda.set_rng_state(state, gpu)

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Let torch draw these random numbers."""
        if self.on_loan:
            yield
            return
        with torch.random.fork_rng(self.gpus):
            self.on_loan = True
            self.states = self._kept
            try:
                yield
            finally:
                self._kept, self.on_loan = self.states, False


def log_tanh_slope(x: Tensor) -> Tensor:
    """Logarithm of d tanh(x) / dx = 1 - tanh(x)^2, without cancellation at large |x|."""
    return 2 * (math.log(2) - x - functional.softplus(-2 * x))


def squashed_entropy(normal: Normal) -> Tensor:
    """Entropy of tanh(x) for independent Gaussian x: that of x plus the mean log slope, by Gauss-Hermite quadrature.

    Shapes: (batch, action_size) -> (batch,).
    """
    nodes, weights = quadrature(normal.mean.dtype, normal.mean.device)
    x = normal.mean.unsqueeze(-1) + normal.stddev.unsqueeze(-1) * nodes
    return (normal.entropy() + log_tanh_slope(x) @ weights).sum(-1)


@functools.cache
def quadrature(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Nodes and weights of the mean over a standard Gaussian. Shape: (QUADRATURE_NODES,)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(QUADRATURE_NODES)
    return torch.tensor(nodes, dtype=dtype, device=device), torch.tensor(weights / weights.sum()).to(device, dtype)


class UncheckedGaussian(DiagGaussianDistribution):
    """SB3's, without torch checking its arguments: `FieldPPO` checks each rollout as a whole."""

    def proba_distribution(self, mean_actions: Tensor, log_std: Tensor) -> "UncheckedGaussian":
        """As SB3's."""
        self.distribution = Normal(mean_actions, log_std.exp().expand_as(mean_actions), validate_args=False)
        return self


class FastCategorical(CategoricalDistribution):
    """SB3's, choices first: softmax over a short last dimension is slow in torch."""

    log_probs: Tensor
    """Shape: (choices, batch)."""

    @property
    def distribution(self) -> Any:
        """The same, as torch has it."""
        return Categorical(logits=self.log_probs.mT, validate_args=False)

    @distribution.setter
    def distribution(self, none: Any) -> None:
        """SB3 begins with None."""

    def proba_distribution(self, action_logits: Tensor) -> "FastCategorical":
        """Shape: (batch, choices)."""
        self.log_probs = functional.log_softmax(action_logits.mT, dim=0)
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        """Shapes: (batch,) -> (batch,)."""
        return self.log_probs.gather(0, actions.long().unsqueeze(0)).squeeze(0)

    def entropy(self) -> Tensor:
        """Shape: (batch,)."""
        return -(self.log_probs.exp() * self.log_probs).sum(0)

    def sample(self) -> Tensor:
        """Random choices (batch,), where a uniform number lies between the sums of probabilities."""
        bounds = self.log_probs[:-1].exp()
        if len(bounds) > 1:
            bounds = bounds.cumsum(0)
        return (bounds <= torch.rand_like(self.log_probs[0])).sum(0)

    def mode(self) -> Tensor:
        """Likeliest choices (batch,)."""
        return self.log_probs.argmax(0)


class TwoChoices(FastCategorical):
    """The same of the second choice's logit, where the first one's is zero: half the work."""

    def __init__(self) -> None:
        super().__init__(2)

    def proba_distribution(self, action_logits: Tensor) -> "TwoChoices":
        """Shape: (batch, 1)."""
        self.logit = action_logits.squeeze(-1)
        return self

    @property
    def log_probs(self) -> Tensor:  # type: ignore[override]
        """Shape: (2, batch)."""
        return functional.logsigmoid(torch.stack((-self.logit, self.logit)))

    def log_prob(self, actions: Tensor) -> Tensor:
        """Shapes: (batch,) -> (batch,)."""
        return functional.logsigmoid(self.logit * (2 * actions - 1))

    def entropy(self) -> Tensor:
        """Shape: (batch,)."""
        return functional.softplus(self.logit) - self.logit * self.logit.sigmoid()

    def sample(self) -> Tensor:
        """Random choices (batch,)."""
        return (torch.rand_like(self.logit) < self.logit.sigmoid()).long()

    def mode(self) -> Tensor:
        """Likeliest choices (batch,)."""
        return (self.logit > 0).long()


class Squashed:
    """A distribution behind a tanh."""

    distribution: Any

    def log_prob(self, actions: Tensor) -> Tensor:
        """Of tanh(actions). Shapes: (batch, action_size) -> (batch,)."""
        return super().log_prob(actions) - log_tanh_slope(actions).sum(-1)  # type: ignore[misc]

    def entropy(self) -> Tensor:
        """Shape: (batch,)."""
        return squashed_entropy(self.distribution)


class SquashedGaussian(Squashed, UncheckedGaussian):
    """Independent Gaussians behind a tanh."""


class SquashedStateDependentNoise(Squashed, StateDependentNoiseDistribution):
    """State-dependent exploration behind a tanh.

    Reference: Raffin, Kober and Stulp (2021), Smooth exploration for robotic reinforcement learning.
    """


def make_distribution(
    space: spaces.Space[Any], squash: str, use_sde: bool, sde_options: dict[str, Any]
) -> Distribution:
    """The distribution for an action space; `sde_options` are `full_std` and `use_expln` of gSDE, for Box only."""
    size = math.prod(space.shape or ())
    if isinstance(space, spaces.Box) and use_sde:
        noise = SquashedStateDependentNoise if squash == "tanh" else StateDependentNoiseDistribution
        return noise(size, **sde_options)
    if isinstance(space, spaces.Box):
        return SquashedGaussian(size) if squash == "tanh" else UncheckedGaussian(size)
    if isinstance(space, spaces.Discrete):
        return TwoChoices() if space.n == 2 else FastCategorical(int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return MultiCategoricalDistribution(space.nvec.flatten().tolist())
    return BernoulliDistribution(size)


class FirstLogitZero(nn.Module):
    """Logits of choices from the n - 1 outputs of each, as the heads of a policy have them."""

    def __init__(self, choices: list[int]) -> None:
        super().__init__()
        self.choices = choices

    def forward(self, outputs: Tensor) -> Tensor:
        """Logits of all choices side by side. Shapes: (batch, sum(n_i - 1)) -> (batch, sum(n_i))."""
        return first_logit_zero(outputs, self.choices)


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
        return nn.Sequential(linear, FirstLogitZero(space.nvec.flatten().tolist()))
    return nn.Sequential(linear)


class FromFirst(nn.Module):
    """Choices counted from each one's first value rather than from 0, in the shape of their space."""

    start: Tensor

    def __init__(self, space: spaces.Space[Any]) -> None:
        super().__init__()
        self.shape: tuple[int, ...] = space.shape or ()
        start = np.asarray(getattr(space, "start", 0)).reshape(-1)
        self.register_buffer("start", torch.as_tensor(start), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Shapes: (batch,) or (batch, choices) -> (batch, *space.shape)."""
        return (samples.reshape(len(samples), -1) + self.start).reshape(-1, *self.shape)


def action_scaling(space: spaces.Space[Any], squash: str) -> nn.Module:
    """The module from samples of the distribution (batch, ·) to actions (batch, *space.shape) within the space."""
    return BoxHead(space, squash) if isinstance(space, spaces.Box) else FromFirst(space)
