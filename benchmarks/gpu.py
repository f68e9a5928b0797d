"""What one NVIDIA GPU brings: tests, kernels, engine, PPO and the three commands, against the same machine's CPU.

    bash benchmarks/gpu.sh [--parts tests sequences engine ppo commands] [--results FOLDER]

Each part runs in a process of its own with a time limit, so that it survives another's failure; what each said lies in
the folder of results beside `gpu.json`, which holds all figures. Peers run where their packages are installed:
cuDNN's GRU and LSTM always, torchrl's Triton GRU, and a JAX scan of the same field on gymnax's task.
"""

import functools
import json
import os
import re
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from rich.console import Console
from rich.table import Table

Part = Literal["tests", "sequences", "engine", "ppo", "commands"]
Row = dict[str, Any]

SECONDS = {"tests": 110, "sequences": 155, "engine": 170, "ppo": 110, "commands": 55}
"""Time limits of the parts, ten minutes together."""
LANES = ((1024, 64), (256, 16), (4096, 256), (16384, 256))
"""Candidates and episodes of each."""
CPU_LANES_MAX = 2**16
ENVIRONMENTS = (1024, 8192, 65536)
LARGE_MINIBATCHES = ["--steps", "200000", "--num-envs", "1024", "--batch-size", "32768"]
SEQUENCES = ["--batches", "64", "8192", "65536", "--hidden-sizes", "8", "16", "64"]
"""Torchrl tries many tilings for each hidden size, a quarter of a minute long."""


@dataclass
class Options:
    """Options of the benchmark."""

    parts: tuple[Part, ...] = ("tests", "sequences", "engine", "ppo", "commands")
    """What to run, in this order."""
    results: Path = Path("benchmarks/results/gpu")
    """Folder for what the parts say and for gpu.json."""
    device: str = "cuda"
    """Anything but a GPU only shows that the script runs."""
    seconds: int | None = None
    """Time limit of each part, in place of its own."""
    short: bool = False
    """Fewer sizes: whether everything runs, not how fast."""
    inside: bool = False
    """Run the one part here, as this script calls itself."""


def machine(device: str) -> dict[str, Any]:
    """What is measured on."""
    names = ("triton", "jax", "torchrl")
    found: dict[str, Any] = {"device": device, "torch": torch.__version__, "cores": os.cpu_count()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {"device": properties.name, "gigabytes": round(properties.total_memory / 2**30)}
    return found


def commands_of(part: Part, options: Options, folder: Path) -> list[list[str]]:
    """The processes of a part."""
    python, here = sys.executable, str(Path(__file__).parent)
    if part == "tests":
        pytest = "-m pytest -q -p no:cacheprovider -o filterwarnings=default -m gpu"
        return [[python, *pytest.split(), "tests/kernels", "tests/ppo", "tests/policies"]]
    if part == "sequences":
        sizes = ["--times", "128", "--batches", "64", "8192", "--hidden-sizes", "16"] if options.short else SEQUENCES
        more = ["--device", options.device, "--seconds", "0.3", "--json", str(folder / "sequences.json")]
        return [[python, f"{here}/sequences_gpu.py", *sizes, *more]]
    if part == "commands":
        program = "import nf_envs; from nf_policies.cli import main; main()"  # the tasks, where nothing is installed
        cli, run = [python, "-c", program], str(folder / "runs")
        own = ["--device", options.device, "--out"]
        return [
            [*cli, "evolve", "nf/CartPoleNoVel-v1", *own, f"{run}/evolved", "--population", "64", "--episodes", "64"],
            [*cli, "train", "nf/CartPoleNoVel-v1", *own, f"{run}/trained", *LARGE_MINIBATCHES],
            *(
                [*cli, "rollout", f"{run}/{kind}/best.safetensors", "--episodes", "100"]
                for kind in ("evolved", "trained")
            ),
        ]
    size = ["--short"] if options.short else []
    call = [*size, "--results", str(folder), "--device", options.device]
    return [[python, __file__, "--inside", "--parts", part, *call]]


def run(part: Part, options: Options, folder: Path) -> Row:
    """Run a part in its processes; tells how it ended, in how many seconds, and the tests that passed."""
    began, log, limit = time.perf_counter(), folder / f"{part}.log", options.seconds or SECONDS[part]
    ended: int | str = 0
    with log.open("w") as out:
        for command in commands_of(part, options, folder):
            left = limit - (time.perf_counter() - began)
            try:
                rc = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, timeout=max(left, 1)).returncode
                ended = ended or rc
                print(f"({time.perf_counter() - began:.0f} s)", file=out, flush=True)
            except subprocess.TimeoutExpired:
                ended = f"not done within {limit} s"
                break
    said = log.read_text()
    passed = re.findall(r"(\d+) passed", said)
    row: Row = {"ended": ended, "seconds": round(time.perf_counter() - began, 1)}
    return row | ({"passed": int(passed[-1])} if passed else {}) | ({"said": said[-600:]} if ended else {})


def engine(options: Options) -> list[Row]:
    """Steps per second of CartPole with a one-neuron field, and seconds until the first rates were known."""
    from engine import engine_play, jax_play, rates

    shapes = LANES[: 2 if options.short else None]
    rows: list[Row] = [{"lanes": pop_size * episodes} for pop_size, episodes in shapes]
    makers: dict[str, Any] = {
        "gpu": functools.partial(engine_play, field="simple", mode="compiled", device=options.device),
        "jax": jax_play,
        "cpu": functools.partial(engine_play, field="simple", mode="compiled"),
    }
    for name, make in makers.items():  # one after the other: they need not share the machine
        for row, (pop_size, episodes) in zip(rows, shapes, strict=True):
            if name == "cpu" and row["lanes"] > CPU_LANES_MAX:
                continue
            began = time.perf_counter()
            try:
                row |= rates({name: make("CartPole-v1", pop_size, episodes)}, 3)
            except Exception as error:  # a peer that is missing, or fails
                print(f"{name}: not measured: {type(error).__name__}: {str(error)[:300]}", flush=True)
            row[f"{name}_seconds"] = time.perf_counter() - began
            tell(options, "engine", rows)
    return rows


def ppo(options: Options) -> list[Row]:
    """Steps per second of training on CartPole, collecting and learning, as environments become more."""
    from ppo_speed import cart_pole, measure

    torch.set_num_threads(os.cpu_count() or 1)
    rows: list[Row] = [{"environments": num_envs} for num_envs in ENVIRONMENTS[: 1 if options.short else None]]
    for name, device in (("gpu", options.device), ("cpu", "cpu")):  # compiling may take more time than there is
        for row in rows:
            num_envs = row["environments"]
            if name == "cpu" and num_envs > 8192:
                continue
            contestants = {name: cart_pole(True, num_envs=num_envs, device=device)}
            figures = measure(f"CartPole, {num_envs:,} x 128", contestants, 1, "")[name]
            row |= {f"{name}_{what}": figures[what] for what in ("steps_per_second", "collecting", "updating")}
            tell(options, "ppo", rows)
    return rows


def tell(options: Options, part: Part, rows: list[Row]) -> None:
    """Keep what is known so far."""
    print(rows, flush=True)
    (options.results / f"{part}.json").write_text(json.dumps({"rows": rows}, indent=2) + "\n")


def show(results: dict[str, Any]) -> None:
    """The table of all parts."""
    console = Console(width=120)
    console.print(", ".join(f"{name} {value}" for name, value in results["machine"].items()))
    table = Table("part", "ended", "seconds", "tests passed")
    for part, row in results["parts"].items():
        table.add_row(
            part, "well" if row["ended"] == 0 else str(row["ended"]), str(row["seconds"]), str(row.get("passed", ""))
        )
    console.print(table)
    for part in ("engine", "ppo", "sequences"):
        rows = results.get(part, [])
        if not rows:
            continue
        names = list(dict.fromkeys(name for row in rows for name in row))
        names = [n for n in names if part != "sequences" or f"ratio_{n}" not in names]
        table = Table(*names, title=part)
        for row in rows:
            table.add_row(*(f"{row[n]:,.4g}" if isinstance(row.get(n), float) else str(row.get(n, "")) for n in names))
        console.print(table)


def main(options: Options) -> None:
    """Run the parts, print the tables, write gpu.json."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("This benchmark needs an NVIDIA GPU and a PyTorch for it; this machine lacks one of them.")
    options.results.mkdir(parents=True, exist_ok=True)
    if options.inside:
        import nf_envs  # noqa: F401  # its tasks, where the package is not installed

        {"engine": engine, "ppo": ppo}[options.parts[0]](options)
        return
    results: dict[str, Any] = {"machine": machine(options.device), "parts": {}}
    for part in options.parts:
        results["parts"][part] = row = run(part, options, options.results)
        print(f"{part}: {row}", flush=True)
        figures = options.results / f"{part}.json"
        if figures.is_file():
            results[part] = json.loads(figures.read_text())["rows"]
        (options.results / "gpu.json").write_text(json.dumps(results, indent=2) + "\n")
    show(results)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
