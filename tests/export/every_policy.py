"""A policy of every field, dynamics and head, with random parameters and statistics, and what it does in episodes."""

import copy
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces

from nf_policies import NeuralField, Policy, SimpleNeuralField, field_sizes
from nf_policies.export.recording import flat
from nf_policies.fields.dynamics import DYNAMICS
from nf_policies.policies.cells import GRU, LSTM, Memoryless

VECTOR = spaces.Box(-np.inf, np.inf, (3,))
SEEN = {
    "vector": VECTOR,
    "matrix": spaces.Box(-2, 2, (2, 2), np.float64),
    "discrete": spaces.Discrete(5, start=-1),
    "multi_discrete": spaces.MultiDiscrete([2, 3], start=[5, 7]),
    "multi_binary": spaces.MultiBinary([2, 2]),
}
HEADS: dict[str, tuple[spaces.Space[Any], str]] = {
    "two": (spaces.Discrete(2), "tanh"),
    "five": (spaces.Discrete(5, start=-2), "tanh"),
    "multi_discrete": (spaces.MultiDiscrete([2, 3, 1], start=[0, -4, 6]), "tanh"),
    "multi_binary": (spaces.MultiBinary([2, 2]), "tanh"),
    "tanh": (spaces.Box(np.float32([-1, 0]), np.float32([2, 4])), "tanh"),
    "whole": (spaces.Box(-3, 5, (2,), np.int64), "tanh"),
    "clip": (spaces.Box(-0.1, 0.3, (2, 1), np.float64), "clip"),
}
FIELDS: dict[str, tuple[type, dict[str, Any]]] = {
    f"simple_{name}": (
        SimpleNeuralField,
        {
            "dynamics": name,
            "hidden_size": 3,
            "activation": activation,
            "tau_init": 20.0 if name == "capacity_32" else 3.0,
        },
    )
    for name, activation in zip(DYNAMICS, itertools.cycle(["tanh", "sigmoid"]), strict=False)
}
FIELDS |= {
    "simple_relu": (SimpleNeuralField, {"activation": "relu", "hidden_size": 2, "integrator": "exponential_euler"}),
    "simple_mixed": (SimpleNeuralField, {"activation": ["tanh", "sigmoid", "relu", "identity"], "hidden_size": 4}),
    "neural": (NeuralField, {"hidden_size": 16, "activation": "tanh", "tau_init": (1.2, 9.0)}),
    "neural_kernels": (
        NeuralField,
        {"hidden_size": 6, "channels": 3, "kernel_size": 4, "mirrored": False, "padding": "zeros", "kappa_init": 0.0},
    ),
    "neural_pool_2": (NeuralField, {"hidden_size": 5, "channels": 2, "pooling_norm": 2, "padding": "reflect"}),
    "neural_pool_3": (NeuralField, {"hidden_size": 5, "channels": 3, "pooling_norm": 3, "activation": "tanh"}),
    "gru": (GRU, {"hidden_size": 5}),
    "lstm": (LSTM, {"hidden_size": 4}),
    "memoryless": (Memoryless, {"hidden_size": 5}),
    "linear": (Memoryless, {"hidden_size": 5, "layers": 0}),
    "changes": (SimpleNeuralField, {"hidden_size": 5, "changes": True, "activation": "tanh"}),
    "neural_changes": (NeuralField, {"hidden_size": 5, "changes": True}),
}


def make(field: str, head: str, seen: str = "vector", *, visible: list[int] | None = None) -> Policy:
    """A policy whose parameters and statistics are random, but always the same."""
    torch.manual_seed(sum(map(ord, field + head + seen)))
    rng = np.random.default_rng(0)
    (actions, squash), (kind, options) = HEADS[head], FIELDS[field]
    inputs, outputs = field_sizes(SEEN[seen], actions, visible)
    policy = Policy(kind(inputs, output_size=outputs, **options), SEEN[seen], actions, visible=visible, squash=squash)
    with torch.no_grad():
        for parameter in policy.field.parameters():
            parameter += torch.from_numpy(rng.normal(scale=0.2, size=parameter.shape)).to(parameter)
        mean, var = (torch.from_numpy(rng.uniform(0.2, 0.6, inputs)) for _ in range(2))
    policy.normalizer.update(torch.tensor(50.0, dtype=mean.dtype), mean, var)
    return policy


class Episodes(NamedTuple):
    """Steps of several environments side by side."""

    observations: np.ndarray
    """Shape: (steps, envs, observation_size)."""
    starts: np.ndarray
    """Shape: (steps, envs)."""
    actions: np.ndarray
    """Shape: (steps, envs, action_size)."""
    exact: np.ndarray
    """What the same policy does in double precision. Shaped as the actions."""
    margins: np.ndarray
    """How far the closest decision between two actions is from a tie; infinite for numbers. Shape: (steps, envs)."""


def play(policy: Policy, steps: int, envs: int, seed: int = 0) -> Episodes:
    """What a policy does where it sees random walks through its space, with a new episode every now and then."""
    rng = np.random.default_rng(seed)
    space, start_of = policy.observation_space, rng.random((steps, envs)) < 0.005
    start_of[0] = True
    space.seed(seed)
    seen, done, exactly, margins = [], [], [], []
    exact = copy.deepcopy(policy).double()
    coefficients, potentials = exact.coefficients(), exact.field.start(envs)
    walk = rng.normal(size=(envs, *(space.shape or ())))
    for starts in start_of:
        walk = 0.95 * walk + 0.3 * rng.normal(size=walk.shape)
        obs = walk.astype(np.float32) if space is VECTOR else np.array([space.sample() for _ in range(envs)])
        done.append(policy.act(obs, episode_start=starts).reshape(envs, -1).astype(np.float64))
        features = torch.from_numpy(policy.encode(obs).astype(np.float64))
        action, trace = exact.step(features, potentials, torch.from_numpy(starts), coefficients)
        exactly.append(action.detach().numpy().reshape(envs, -1))
        potentials = trace.potentials
        margins.append(margin(policy.action_space, trace.outputs.detach().numpy()))
        seen.append([flat(row, space) for row in obs])
    return Episodes(np.array(seen), start_of, np.array(done), np.array(exactly), np.array(margins))


def margin(space: spaces.Space[Any], outputs: np.ndarray) -> np.ndarray:
    """How far the closest choice is from a tie; infinite for numbers. Shapes: (envs, output_size) -> (envs,)."""
    smallest = np.full(len(outputs), np.inf)
    if isinstance(space, spaces.MultiBinary):
        return np.abs(outputs).min(-1)
    if isinstance(space, spaces.Box) and space.dtype.kind == "i":
        middle, reach = (space.high + space.low) / 2, (space.high - space.low + 1) / 2
        return np.abs((middle + reach * np.tanh(outputs)) % 1 - 0.5).min(-1)
    if isinstance(space, spaces.Box):
        return smallest
    counts = [space.n] if isinstance(space, spaces.Discrete) else space.nvec.reshape(-1)
    first = 0
    for n in map(int, counts):
        if n > 1:
            logits = np.insert(outputs[:, first : first + n - 1], 0, 0, axis=1)
            logits.sort(axis=1)
            smallest = np.minimum(smallest, logits[:, -1] - logits[:, -2])
        first += max(n - 1, 1)
    return smallest


def all_pairs() -> Iterator[tuple[str, str]]:
    """Every field with every head."""
    return itertools.product(FIELDS, HEADS)
