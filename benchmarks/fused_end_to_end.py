"""What the fused recurrence does to whole trainings: the same runs with it and with plain PyTorch.

    python benchmarks/fused_end_to_end.py [--json results.json]

Each run is a process of its own, which times its training without imports and without the compile of the recurrence
(a second per shape, once per user); runs alternate, the table has medians.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import tyro

PREDICTION = """
import runpy, time, torch
example = runpy.run_path("scripts/mackey_glass.py")
options = example["Options"](updates=UPDATES)
series = torch.as_tensor(example["mackey_glass"](1000), dtype=torch.float32)
field = example["make_field"](options)
example["train"](field, series, example["Options"](updates=2))
began = time.perf_counter()
example["train"](field, series, options)
print(time.perf_counter() - began)
"""

PPO = """
import time
from nf_policies.ppo import FieldPPO
model = FieldPPO("NeuralFieldPolicy", "Pendulum-v1", n_steps=1024, batch_size=256, n_epochs=10, seed=0, device="cpu")
model.learn(1024)
began = time.perf_counter()
model.learn(STEPS)
print(time.perf_counter() - began)
"""


@dataclass
class Options:
    """Options of the benchmark."""

    rounds: int = 3
    """How often each is measured."""
    updates: int = 100
    """Gradient steps of the Mackey-Glass example."""
    steps: int = 2048
    """Environment steps of FieldPPO."""
    json: Path | None = None
    """Where to write the figures."""


def seconds(program: str, fused: bool) -> float:
    """What a program measures of itself."""
    environment = os.environ | {"NF_POLICIES_FUSED": str(int(fused)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def main(options: Options) -> None:
    """Measure, print a table, write JSON."""
    programs = {
        f"Mackey-Glass, {options.updates} updates": PREDICTION.replace("UPDATES", str(options.updates)),
        f"FieldPPO, Pendulum-v1, {options.steps} steps": PPO.replace("STEPS", str(options.steps)),
    }
    results = {}
    print(f"{'training':<40}{'fused':>10}{'plain':>10}{'ratio':>8}")
    for name, program in programs.items():
        pairs = [(seconds(program, True), seconds(program, False)) for _ in range(options.rounds)]
        fused, plain = (median(column) for column in zip(*pairs, strict=True))
        results[name] = {"fused_seconds": fused, "plain_seconds": plain, "ratio": median(b / a for a, b in pairs)}
        print(f"{name:<40}{fused:>8.2f} s{plain:>8.2f} s{results[name]['ratio']:>7.1f}x")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
