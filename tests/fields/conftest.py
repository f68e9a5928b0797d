"""Fields of every kind to try a claim on: input size 3, seeded, float64."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nf_policies.fields import NeuralField, SimpleNeuralField

INPUT_SIZE = 3


def neural(**options: Any) -> NeuralField:
    return NeuralField(INPUT_SIZE, 6, 2, **{"activation": "tanh", "tau_init": 2.0, "kappa_init": 0.05} | options)


def simple(**options: Any) -> SimpleNeuralField:
    return SimpleNeuralField(INPUT_SIZE, 2, **{"activation": "tanh", "tau_init": 2.0, "kappa_init": 0.05} | options)


def saturating(u: Tensor, s: Tensor, h: Tensor, kappa: Tensor, capacity: Tensor) -> Tensor:
    """Potential dynamics of a user's own that need all there is."""
    return s + h - u - kappa * torch.tanh(u / capacity)


FIELDS: dict[str, Callable[[], NeuralField | SimpleNeuralField]] = {
    "neural": neural,
    "neural, free even kernel, reflect": lambda: neural(kernel_size=4, mirrored=False, padding="reflect"),
    "neural, mirrored even kernel, zeros": lambda: neural(kernel_size=4, padding="zeros"),
    "neural, bell, tau and kappa per neuron": lambda: neural(
        bell_init=True, tau_init=(1.2, 5.0), kappa_init=(0.01, 0.1)
    ),
    "neural, two channels": lambda: neural(channels=2, kernel_size=5),
    "neural, two channels, p = 2": lambda: neural(channels=2, pooling_norm=2, kernel_size=3),
    "neural, three channels, p = 3": lambda: neural(channels=3, pooling_norm=3, kernel_size=3, mirrored=False),
    "neural, sigmoid": lambda: neural(activation="sigmoid"),
    "neural, exponential Euler, small tau": lambda: neural(integrator="exponential_euler", tau_init=0.4, dt=0.5),
    "neural, all fixed": lambda: neural(tau_learnable=False, kappa_learnable=False, kappa_init=0),
    "neural, one activation per neuron": lambda: neural(activation=["tanh", "sigmoid"] * 2 + [nn.PReLU(), torch.sin]),
    "neural, own embeddings": lambda: neural(
        input_embedding=nn.Sequential(nn.Linear(INPUT_SIZE, 4), nn.Tanh(), nn.Linear(4, 6)),
        output_embedding=nn.Linear(6, 2),
        initial_potentials=torch.linspace(-1, 1, 6),
        initial_potentials_learnable=True,
    ),
    "simple": simple,
    "simple, one neuron": lambda: SimpleNeuralField(INPUT_SIZE, 1, activation="tanh", tau_init=2.0),
    "simple, five neurons, tau per neuron": lambda: simple(hidden_size=5, tau_init=(1.2, 5.0), self_centric_init=True),
    "simple, learnable initial potentials": lambda: simple(initial_potentials_learnable=True),
    "neural, changes": lambda: neural(changes=True),
    "simple, changes": lambda: simple(changes=True, hidden_size=4),
    "simple, own dynamics": lambda: simple(dynamics=saturating, capacity_init=1.5),
} | {
    f"simple, {name}": lambda name=name: simple(dynamics=name, hidden_size=3)
    for name in ("linear", "capacity_21", "capacity_21_abs", "capacity_32", "capacity_32_abs")
}


def build(name: str) -> NeuralField | SimpleNeuralField:
    """A field by its name in the table, its parameters moved away from the symmetric ones of a fresh field."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        field = FIELDS[name]().double()
        with torch.no_grad():
            for parameter in field.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
    return field


@pytest.fixture(params=FIELDS)
def field(request: pytest.FixtureRequest) -> NeuralField | SimpleNeuralField:
    """Every field of the table in turn."""
    return build(request.param)


@pytest.fixture(params=["neural", "simple"])
def plain_field(request: pytest.FixtureRequest) -> NeuralField | SimpleNeuralField:
    """One field of either kind, for claims that no option touches."""
    return build(request.param)


@pytest.fixture
def generator() -> torch.Generator:
    """Seeded randomness, so that no test reads the global generator."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def sequence(generator: torch.Generator) -> Tensor:
    """Inputs in float64. Shape: (time 5, batch 4, 3)."""
    return torch.randn(5, 4, INPUT_SIZE, dtype=torch.float64, generator=generator)


@pytest.fixture
def episode_starts() -> Tensor:
    """One batch entry without a reset, one at the start, one inside, one twice in a row. Shape: (5, 4)."""
    starts = torch.zeros(5, 4, dtype=torch.bool)
    starts[0, 1] = starts[2, 2] = starts[3, 3] = starts[4, 3] = True
    return starts
