"""How the files here were written: run in this folder, once, with the package of commit dc50a3e (format version 1)."""

import platform
from collections.abc import Iterator

import numpy as np
import torch
from gymnasium import spaces

from nf_policies import NeuralField, Policy, SimpleNeuralField, field_sizes
from nf_policies.fields.stepper import Stepper
from nf_policies.policies.cells import GRU, LSTM, Memoryless

TIME, BATCH = 25, 3
VECTOR = spaces.Box(-np.inf, np.inf, (4,))
LEVER = spaces.Box(np.array([-1, 0.25], np.float32), np.array([2, 5.5], np.float32))

NEURAL = {
    "neural": (VECTOR, spaces.Discrete(2), {"tau_init": 1.5}, {"env_id": "CartPole-v1"}),
    "neural_exponential": (
        VECTOR,
        LEVER,
        {"activation": "tanh", "integrator": "exponential_euler", "dt": 0.5, "tau_init": (1.2, 9.0), "tau_min": 0.5},
        {"observed": [2, 0]},
    ),
    "neural_kernels": (
        VECTOR,
        spaces.Discrete(3, start=-1),
        {"kernel_size": 4, "mirrored": False, "padding": "zeros", "channels": 3, "bell_init": True, "kappa_init": 0.0},
        {},
    ),
    "neural_pooled": (
        VECTOR,
        spaces.MultiDiscrete([3, 2]),
        {"channels": 3, "pooling_norm": 2, "activation": "relu", "padding": "reflect", "tau_learnable": False},
        {},
    ),
    "neural_per_neuron": (
        VECTOR,
        spaces.MultiBinary((2, 2)),
        {"activation": ["tanh", "sigmoid", "relu", "identity", "tanh"], "initial_potentials": torch.linspace(-1, 1, 5)},
        {},
    ),
    "neural_batch_first": (VECTOR, LEVER, {"batch_first": True, "activation": "tanh"}, {"squash": "clip"}),
}
SIMPLE = {
    "simple": (
        VECTOR,
        spaces.Discrete(2),
        {"activation": "tanh", "tau_init": 1.5},
        {"env_id": "CartPole-v1", "observed": [0, 2]},
    ),
    "simple_linear": (VECTOR, LEVER, {"dynamics": "linear", "self_centric_init": True}, {"squash": "clip"}),
    "simple_21": (spaces.Discrete(5, start=1), LEVER, {"dynamics": "capacity_21", "activation": "tanh"}, {}),
    "simple_21_abs": (spaces.MultiDiscrete([2, 3]), LEVER, {"dynamics": "capacity_21_abs", "capacity_init": 4.0}, {}),
    "simple_32": (
        spaces.Box(0, 255, (2, 2), np.uint8),
        spaces.MultiDiscrete(np.array([[2, 2], [3, 2]]), start=np.array([[0, 1], [2, -3]])),
        {"dynamics": "capacity_32", "capacity_learnable": False, "initial_potentials_learnable": True},
        {},
    ),
    "simple_32_abs": (
        spaces.MultiBinary(4),
        LEVER,
        {"dynamics": "capacity_32_abs", "activation": "identity", "capacity_init": 2.0},
        {},
    ),
    "simple_float64": (VECTOR, LEVER, {"activation": "tanh"}, {}),
}
CELLS = {
    "gru": (VECTOR, LEVER, GRU, {}),
    "lstm": (VECTOR, spaces.Discrete(4), LSTM, {}),
    "memoryless": (VECTOR, spaces.Box(-1, 1, (2, 2), np.float64), Memoryless, {"squash": "clip"}),
}


def policies() -> dict[str, Policy]:
    """All of them, with random parameters and statistics."""
    torch.manual_seed(3)
    made = {}
    for name, (obs, act, options, rest) in (NEURAL | SIMPLE).items():
        inputs, outputs = field_sizes(obs, act, rest.get("observed"))
        kind = NeuralField if name in NEURAL else SimpleNeuralField
        made[name] = Policy(kind(inputs, hidden_size=5, output_size=outputs, **options), obs, act, **rest)
    for name, (obs, act, kind, rest) in CELLS.items():
        inputs, outputs = field_sizes(obs, act)
        made[name] = Policy(kind(inputs, 6, outputs), obs, act, **rest)
    for name, policy in made.items():
        for p in policy.field.parameters():
            p.data += 0.3 * torch.randn_like(p)
        if "resting_level" in dict(policy.field.named_parameters()):
            policy.field.resting_level.data *= 0.3
        if name != "neural":  # one is not normalised
            size = policy.encode.size
            policy.normalizer.update(50, torch.randn(size), torch.rand(size) + 0.5)
        policy.made_by = {"command": "write.py", "seed": 0}
    made["simple_float64"].double()
    return made


def machine() -> str:
    """What rounding depends on."""
    compiled = Stepper(SimpleNeuralField(1, 1)).compiled
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} {torch.__version__} {compiled}"


@torch.no_grad()
def outputs_of(policy: Policy, obs: np.ndarray, starts: np.ndarray) -> Iterator[np.ndarray]:
    """The field's outputs, step by step, as `play` has them."""
    potentials, like = policy.field.start(BATCH), policy.normalizer.mean
    coefficients = policy.coefficients()
    for o, s in zip(obs, starts, strict=True):
        features = torch.as_tensor(policy.encode(o)).to(like)
        _, trace = policy.step(features, potentials, torch.as_tensor(s), coefficients)
        potentials = trace.potentials
        yield trace.outputs.numpy()


def main() -> None:
    """Write the files, and the actions that the policies took."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    arrays = {"machine": np.array(machine())}
    for name, policy in policies().items():
        policy.save(f"{name}.safetensors")
        policy.observation_space.seed(0)
        space, starts = policy.observation_space, rng.random((TIME, BATCH)) < 0.1
        sampled = [[space.sample() for _ in range(BATCH)] for _ in range(TIME)]
        obs = rng.normal(size=(TIME, BATCH, 4)).astype(np.float32) if space == VECTOR else np.array(sampled)
        starts[0] = True
        actions = np.stack([policy.act(o, s) for o, s in zip(obs, starts, strict=True)])
        outputs = np.stack(list(outputs_of(policy, obs, starts)))
        arrays |= {f"{name}/obs": obs, f"{name}/starts": starts, f"{name}/actions": actions, f"{name}/outputs": outputs}
    np.savez_compressed("actions.npz", **arrays)


if __name__ == "__main__":
    main()
