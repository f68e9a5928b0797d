"""How fast does a field learn sequences on a GPU? Against GRU and LSTM of the same size, in TF32 and float32.

The peers are cuDNN's, and torchrl's GRU in Triton where torchrl is installed.

    python benchmarks/sequences_gpu.py [--json results.json]

One forward and backward pass with a linear readout and a squared loss, medians of interleaved repetitions, over
sequence lengths, batches and hidden sizes; what does not fit into the GPU's memory is left out. The field computes in
float32 whatever its peers do. The last column is the largest relative error of the field's gradients to float64 in
plain PyTorch, measured on short sequences and small batches.
"""

import gc
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

import torch
import tyro
from torch import Tensor, nn

from nf_policies import NeuralField
from nf_policies.kernels import gpu

INPUT_SIZE, OUTPUT_SIZE = 8, 4
TENSORS = 40
"""Numbers per time step, sequence and neuron that the largest peer holds at once; a generous guess."""
CHECKED_TIME, CHECKED_BATCH = 128, 1024

Pass = Callable[[], None]


@dataclass
class Options:
    """Options of the benchmark."""

    times: tuple[int, ...] = (16, 128, 512)
    """Sequence lengths."""
    batches: tuple[int, ...] = (64, 1024, 8192, 65536)
    """Sequences side by side."""
    hidden_sizes: tuple[int, ...] = (8, 16, 32, 64, 128)
    """Neurons or units."""
    seconds: float = 0.5
    """Roughly how long one row of the table is measured."""
    device: str = "cuda"
    """Anything but a GPU only shows that the script runs."""
    json: Path | None = None
    """Where to write the figures."""


class Recurrent(nn.Module):
    """A GRU or an LSTM with a linear readout."""

    def __init__(self, cell: type[nn.GRU] | type[nn.LSTM], hidden_size: int) -> None:
        super().__init__()
        self.cell = cell(INPUT_SIZE, hidden_size)
        self.readout = nn.Linear(hidden_size, OUTPUT_SIZE)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and the cell's activations, over time."""
        activations = self.cell(inputs)[0]
        return self.readout(activations), activations


class TritonGRU(Recurrent):
    """torchrl's GRU, which knows resets as a field does, with a linear readout; its inputs are (batch, time, ·).

    Raises: ImportError without torchrl.
    """

    def __init__(self, hidden_size: int, precision: str) -> None:
        super().__init__(nn.GRU, hidden_size)
        from torchrl.modules.tensordict_module._rnn_triton import gru_triton

        self.gru, self.precision = gru_triton, precision

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and the cell's activations, over time."""
        starts = torch.zeros(inputs.shape[:2], dtype=torch.bool, device=inputs.device)
        memory = inputs.new_zeros(*inputs.shape[:2], self.cell.hidden_size)
        weights = (self.cell.weight_ih_l0, self.cell.weight_hh_l0, self.cell.bias_ih_l0, self.cell.bias_hh_l0)
        activations = self.gru(inputs, memory, *weights, starts, input_precision=self.precision)[0]
        return self.readout(activations), activations


def triton_grus(hidden: int, inputs: Tensor) -> dict[str, Pass]:
    """Passes of torchrl's GRU; none, with the reason, where it does not run."""
    swapped, passes = inputs.transpose(0, 1).contiguous(), {}
    try:
        for precision in ("tf32x3", "tf32"):
            passes[f"torchrl_{precision}"] = learning(
                TritonGRU(hidden, precision).to(inputs.device), swapped, tf32=False
            )
            passes[f"torchrl_{precision}"]()
    except Exception as error:  # a peer's failure is not ours
        print(f"torchrl's GRU is not measured: {type(error).__name__}: {str(error)[:200]}")
        return {}
    return passes


def learning(module: nn.Module, inputs: Tensor, tf32: bool) -> Pass:
    """One forward and backward pass."""

    def run() -> None:
        module.zero_grad()
        with torch.backends.cudnn.flags(allow_tf32=tf32):
            module(inputs)[0].square().mean().backward()

    return run


def seconds_of(run: Pass, device: torch.device) -> float:
    """How long a pass takes, to its end on the device."""
    synchronize(device)
    began = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - began


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(runs: dict[str, Pass], seconds: float, device: torch.device) -> dict[str, float]:
    """Median milliseconds of each pass, in turns."""
    for run in runs.values():  # compiles, and lets cuDNN choose
        run()
    once = sum(seconds_of(run, device) for run in runs.values())
    rounds = max(3, min(50, int(seconds / once)))
    taken = [{name: seconds_of(run, device) for name, run in runs.items()} for _ in range(rounds)]
    return {name: 1e3 * median(row[name] for row in taken) for name in runs}


def gradient_error(field: NeuralField, inputs: Tensor) -> float:
    """The largest relative error of the parameters' gradients, on a part of the inputs, to float64 in plain PyTorch."""
    inputs = inputs[:CHECKED_TIME, :CHECKED_BATCH]
    exact = NeuralField(INPUT_SIZE, field.hidden_size, OUTPUT_SIZE, activation="tanh").to(inputs.device).double()
    exact.load_state_dict({name: value.double() for name, value in field.state_dict().items()})
    learning(field, inputs, tf32=False)()
    learning(exact, inputs.double(), tf32=False)()  # float64 on a GPU is plain PyTorch
    pairs = [(p.grad, q.grad) for p, q in zip(field.parameters(), exact.parameters(), strict=True)]
    return max(float((p - q).abs().max() / q.abs().max()) for p, q in pairs if p is not None and q is not None)


def fits(steps: int, batch: int, hidden: int, device: torch.device) -> bool:
    """Whether a case can be held in the device's memory."""
    if device.type != "cuda":
        return True
    return steps * batch * max(hidden, INPUT_SIZE) * 4 * TENSORS < torch.cuda.mem_get_info(device)[0]


def case(steps: int, batch: int, hidden: int, options: Options, device: torch.device) -> dict[str, float]:
    """The figures of one row: milliseconds, ratios and the field's error."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(steps, batch, INPUT_SIZE, generator=generator).to(device)
    field = NeuralField(INPUT_SIZE, hidden, OUTPUT_SIZE, activation="tanh", generator=generator).to(device)
    gru, lstm = Recurrent(nn.GRU, hidden).to(device), Recurrent(nn.LSTM, hidden).to(device)
    own = learning(field, inputs, tf32=False)
    figures = measure(
        {
            "field": own,
            "gru_tf32": learning(gru, inputs, tf32=True),
            "gru_fp32": learning(gru, inputs, tf32=False),
            "lstm_tf32": learning(lstm, inputs, tf32=True),
            "lstm_fp32": learning(lstm, inputs, tf32=False),
            **triton_grus(hidden, inputs),
        },
        options.seconds,
        device,
    )
    ratios = {f"ratio_{name}": figures[name] / figures["field"] for name in figures if name != "field"}
    return figures | ratios | {"gradient_error": gradient_error(field, inputs)}


def main(options: Options) -> None:
    """Measure, print a table, write JSON."""
    device = torch.device(options.device)
    if device.type == "cuda" and not (torch.cuda.is_available() and gpu.hidden_max(device)):
        raise SystemExit("This benchmark needs an NVIDIA GPU (Ampere or later) and Triton; this machine lacks one.")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}, which proves nothing"
    print(f"{name}, PyTorch {torch.__version__}; milliseconds of the field, and how many times as long its peers take")
    peers = ("gru_tf32", "gru_fp32", "lstm_tf32", "lstm_fp32", "torchrl_tf32x3", "torchrl_tf32")
    print(f"{'time':>6}{'batch':>7}{'hidden':>7}{'field':>11}" + "".join(f"{p:>15}" for p in peers) + f"{'error':>10}")
    rows = []
    for steps, batch, hidden in product(options.times, options.batches, options.hidden_sizes):
        if not fits(steps, batch, hidden, device):
            continue
        figures = case(steps, batch, hidden, options, device)
        rows.append({"time": steps, "batch": batch, "hidden": hidden, **figures})
        ratios = "".join(f"{figures.get(f'ratio_{peer}', math.nan):>14.2f}x" for peer in peers)
        error = f"{figures['gradient_error']:>10.1e}"
        print(f"{steps:>6}{batch:>7}{hidden:>7}{figures['field']:>11.3f}{ratios}{error}", flush=True)
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if options.json:
            found = {"device": name, "torch": torch.__version__, "rows": rows}
            options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
