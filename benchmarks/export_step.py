"""How long a step of an exported policy takes: C, NumPy, ONNX and the policy itself, beside a GRU in onnxruntime.

    python benchmarks/export_step.py [FILE.safetensors]

Without a file, a field of two neurons (15 parameters) that sees two entries of CartPole. The GRU has as many units,
sees the same, and goes through onnxruntime; a GRU of 16 as well. Medians of `--repeats`, in turns.
"""

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro

from nf_policies import Policy, SimpleNeuralField
from nf_policies.export.loaded import InOnnx, Loaded, load
from nf_policies.export.recording import record
from nf_policies.export.write import Request, write
from nf_policies.policies.cells import GRU


def example() -> Policy:
    """A field of two neurons for CartPole without velocities."""
    env = gym.make("CartPole-v1")
    torch.manual_seed(0)
    field = SimpleNeuralField(2, 1, 2, activation="tanh", dynamics="linear")
    return Policy(field, env.observation_space, env.action_space, visible=[0, 2], env_id="CartPole-v1")


def gru_like(policy: Policy, hidden_size: int) -> Policy:
    """A GRU that sees and does the same."""
    field = GRU(policy.encode.size, hidden_size, policy.head.output_size)
    return Policy(field, policy.observation_space, policy.action_space, visible=policy.visible, env_id=policy.env_id)


def seconds_of_onnx(loaded: InOnnx, observations: np.ndarray) -> float:
    """Seconds per step of onnxruntime, with inputs that are ready."""
    feeds: dict[str, Any] = {"memory": loaded.initial, "episode_start": np.zeros(1, bool)}
    rows = observations.astype(loaded.dtype)[:, None]
    began = time.perf_counter()
    for seen in rows:
        _, feeds["memory"] = loaded.session.run(["action", "memory_after"], feeds | {"observation": seen})
    return (time.perf_counter() - began) / len(rows)


def seconds_of_policy(policy: Policy, observations: np.ndarray) -> float:
    """Seconds per step of `Policy.act`."""
    policy.act(observations[0], episode_start=True)
    began = time.perf_counter()
    for seen in observations:
        policy.act(seen)
    return (time.perf_counter() - began) / len(observations)


def main(file: tyro.conf.Positional[Path | None] = None, steps: int = 5000, repeats: int = 7) -> None:
    """Print a table."""
    torch.set_num_threads(1)
    policy = example() if file is None else Policy.load(file)
    hidden = policy.field.hidden_size
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)

        def exported(target: str, of: Policy, name: str, **options: Any) -> Loaded:
            return load(write(of, target, folder / name, Request(**options))[0])

        recording = record(policy, steps)
        seen, starts = recording.observations, recording.starts
        c, polynomial = exported("c", policy, "exact"), exported("c", policy, "polynomial", polynomial=True)
        numpy, onnx = exported("numpy", policy, "field"), exported("onnx", policy, "field")
        grus = {f"GRU of {n}, onnxruntime": exported("onnx", gru_like(policy, n), f"gru_{n}") for n in {hidden, 16}}
        calls: dict[str, Any] = {
            "C": lambda: c.replay(seen, starts)[1],
            "C, polynomial": lambda: polynomial.replay(seen, starts)[1],
            "NumPy": lambda: numpy.replay(seen, starts)[1],
            "onnxruntime": lambda: seconds_of_onnx(onnx, seen),  # type: ignore[arg-type]
            "Policy.act": lambda: seconds_of_policy(policy, seen.astype(np.float32)),
        }
        calls |= {name: lambda gru=gru: seconds_of_onnx(gru, seen) for name, gru in grus.items()}
        took: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(repeats):
            for name, call in calls.items():
                took[name].append(call())
    print(f"{policy}\n\n| runs in | µs per step |\n| --- | --- |")
    for name, seconds in took.items():
        print(f"| {name} | {median(seconds) * 1e6:.3g} |")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
