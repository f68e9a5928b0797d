"""What exported C takes on emulated chips: flash, data, and cycles of a step on an Arduino Uno; a table for docs.

    python benchmarks/export_chips.py [FILE.safetensors …]

Without files: a field of one neuron (8 parameters) and a convolution of 16 neurons, with start values. Cycles are those
of simavr; of a Cortex-M4, which qemu does not time, they are instructions in ticks of 40.
"""

import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro

import chips
from nf_policies import NeuralField, Policy, SimpleNeuralField
from nf_policies.export.loaded import load
from nf_policies.export.recording import record
from nf_policies.export.write import Request, write

MHZ = 16


def examples() -> dict[str, Policy]:
    """Policies of CartPole without velocities."""
    env = gym.make("CartPole-v1")
    torch.manual_seed(0)
    one = SimpleNeuralField(2, 1, 1, activation="tanh")
    conv = NeuralField(2, 16, 1, activation="tanh", tau_init=(1.15, 3.5))
    seen: dict[str, Any] = {"visible": [0, 2], "env_id": "CartPole-v1"}
    fields = {"one neuron": one, "convolution of 16": conv}
    return {name: Policy(field, env.observation_space, env.action_space, **seen) for name, field in fields.items()}


def row(name: str, policy: Policy, *, polynomial: bool) -> str:
    """A policy on both chips, as a row of Markdown."""
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        source = write(policy, "c", folder / "policy", Request(polynomial=polynomial))[0]
        loaded, recording = load(source), record(policy, 200)
        wanted = loaded.replay(recording.observations, recording.starts)[0]
        cells = [name, str(policy.n_parameters), "polynomial" if polynomial else "exact"]
        for chip in ("uno", "cortex"):
            if problem := chips.missing(chip):
                cells += [problem, "", "", ""][: 4 if chip == "uno" else 3]
                continue
            size = chips.size_of(chip, source, folder)
            with chips.Chip(chip, source, folder, loaded.card) as emulated:
                wrong = emulated.check()
                steps = zip(recording.observations, recording.starts, strict=True)
                actions, took = zip(*[emulated.step(seen, int(start)) for seen, start in steps], strict=True)
            if wrong or (np.array(actions) != wanted).any():
                raise SystemExit(f"{name} acts differently on {chip}.")
            cells += [f"{size.flash:,}", f"{size.data:,}"]
            cycles = float(np.mean(took))
            cells += [f"{cycles:,.0f}", f"{cycles / MHZ / 1000:.2f}"] if chip == "uno" else [f"{40 * cycles:,.0f}"]
    return f"| {' | '.join(cells)} |"


def main(files: tyro.conf.Positional[tuple[Path, ...]] = ()) -> None:
    """Print the table."""
    policies = examples() | {file.name: Policy.load(file) for file in files}
    print("| policy | parameters | tanh | Uno: flash | data | cycles | ms | Cortex-M4: flash | data | instructions |")
    print("| --- " * 10 + "|")
    for name, policy in policies.items():
        for polynomial in (False, True):
            print(row(name, policy, polynomial=polynomial), flush=True)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
