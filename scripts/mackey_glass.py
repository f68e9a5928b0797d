"""Teach a neural field a chaotic series, one step ahead, then let it run freely on its own predictions.

    python scripts/mackey_glass.py --field neural

The series solves dx/dt = beta x(t - tau) / (1 + x(t - tau)^n) - gamma x (Mackey and Glass 1977, Science 197), with
the usual beta 0.2, gamma 0.1, n 10, tau 17. "Predict the last value" is the baseline.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import mse_loss

from nf_policies import NeuralField, SimpleNeuralField

BETA, GAMMA, POWER, DELAY = 0.2, 0.1, 10, 17
SUBSTEPS = 20
TRANSIENT, TRAIN, TEST = 300, 2000, 500
WINDOW, WINDOWS, WARM_UP = 100, 32, 20
INPUT_NOISE = 0.01


@dataclass
class Options:
    """Options of the example."""

    field: Literal["neural", "simple"] = "neural"
    """A convolution over 16 neurons, or 8 neurons that all interact."""
    updates: int = 1500
    """Gradient steps."""
    seed: int = 0
    """Seed of everything random."""
    plot: Path = Path("mackey_glass.png")
    """Where the picture goes."""


def mackey_glass(length: int) -> np.ndarray:
    """The series, one value per unit of time, from x = 1.2 and no past. Shape: (length,)."""

    def rate(x: float, delayed: float) -> float:
        return BETA * delayed / (1 + delayed**POWER) - GAMMA * x

    dt, lag = 1 / SUBSTEPS, DELAY * SUBSTEPS
    x = np.zeros(lag + length * SUBSTEPS + 1)
    x[lag] = 1.2
    for i in range(lag, len(x) - 1):
        past, next_past = x[i - lag], x[i - lag + 1]
        first = rate(x[i], past)  # Heun's method: the delayed values are known at both ends of the step
        x[i + 1] = x[i] + dt / 2 * (first + rate(x[i] + dt * first, next_past))
    return x[lag + SUBSTEPS :: SUBSTEPS]


def make_field(options: Options) -> NeuralField | SimpleNeuralField:
    """A field with one input and one output, and time constants from one step to ten."""
    generator = torch.Generator().manual_seed(options.seed)
    kind = NeuralField if options.field == "neural" else SimpleNeuralField
    return kind(
        input_size=1,
        hidden_size=16 if options.field == "neural" else 8,
        output_size=1,
        activation="tanh",
        tau_init=(1.5, 10.0),
        integrator="exponential_euler",
        generator=generator,
    )


def train(field: NeuralField | SimpleNeuralField, series: Tensor, options: Options) -> float:
    """Fit the field to the next value of a series (time,), scaled to mean 0 and deviation 1; returns the last loss."""
    generator = torch.Generator().manual_seed(options.seed)
    optimiser = torch.optim.Adam(field.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.updates)
    loss = torch.tensor(torch.nan)
    for update in range(options.updates):
        starts = torch.randint(len(series) - WINDOW, (WINDOWS,), generator=generator)
        windows = series[starts + torch.arange(WINDOW + 1).unsqueeze(1)]  # (time + 1, batch)
        # A little noise teaches the field to come back to the series when it runs on its own predictions.
        noisy = windows[:-1] + INPUT_NOISE * torch.randn(windows[:-1].shape, generator=generator)
        outputs, _ = field(noisy.unsqueeze(-1))
        loss = mse_loss(outputs[WARM_UP:, :, 0], windows[1 + WARM_UP :])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(field.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if (update + 1) % 250 == 0:
            print(f"update {update + 1}: loss {loss.item():.6f}")
    return loss.item()


@torch.no_grad()
def generate(field: NeuralField | SimpleNeuralField, past: Tensor, steps: int) -> Tensor:
    """Let the field run on its own predictions after a past (time,). Shape: (steps,)."""
    outputs, trajectory = field(past.unsqueeze(-1))
    value, potentials = outputs[-1:], trajectory[-1:]
    generated = [value]
    for _ in range(steps - 1):
        value, potentials = field.step(value, potentials)
        generated.append(value)
    return torch.cat(generated)[:, 0]


@torch.no_grad()
def one_step_errors(field: NeuralField | SimpleNeuralField, series: Tensor) -> tuple[Tensor, Tensor]:
    """Errors of the field and of predicting the last value, each (time - WARM_UP,)."""
    outputs, _ = field(series[:-1].unsqueeze(-1))
    return (outputs[:, 0] - series[1:])[WARM_UP:], (series[:-1] - series[1:])[WARM_UP:]


def draw(path: Path, field: NeuralField | SimpleNeuralField, test: Tensor, past: int) -> None:
    """The series beside the field's free run, what its potentials do, and both in the plane of delay."""
    free = generate(field, test[:past], len(test) - past)
    _, potentials = field(torch.cat((test[:past], free)).unsqueeze(-1))
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes: Any = figure.subplot_mosaic([["series", "series"], ["field", "plane"]], width_ratios=(2, 1))
    axes["series"].plot(test, color="0.5", label="Mackey-Glass")
    axes["series"].plot(np.arange(past, len(test)), free, color="tab:red", label="the field, running freely")
    axes["series"].axvline(past, color="0.8")
    axes["series"].legend(loc="upper right")
    axes["series"].set_xlabel("time")
    picture = axes["field"].imshow(potentials.detach().T, aspect="auto", cmap="RdBu_r", origin="lower")
    figure.colorbar(picture, ax=axes["field"], label="potential")
    axes["field"].set_xlabel("time")
    axes["field"].set_ylabel("neuron")
    axes["plane"].plot(test[DELAY:], test[:-DELAY], color="0.7")
    axes["plane"].plot(free[DELAY:], free[:-DELAY], color="tab:red", linewidth=0.8)
    axes["plane"].set_xlabel("x(t)")
    axes["plane"].set_ylabel("x(t - 17)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main(options: Options) -> None:
    """Generate, train, compare with the baseline, run freely, and draw."""
    whole = torch.as_tensor(mackey_glass(TRANSIENT + TRAIN + TEST)[TRANSIENT:], dtype=torch.float32)
    series = (whole - whole[:TRAIN].mean()) / whole[:TRAIN].std()
    test = series[TRAIN:]
    field = make_field(options)
    print(f"{type(field).__name__} with {field.n_parameters} parameters, {TRAIN} values to learn from")
    train(field, series[:TRAIN], options)

    field = copy.deepcopy(field).requires_grad_(False)
    errors, baseline = one_step_errors(field, test)
    rmse, last_value = errors.square().mean().sqrt().item(), baseline.square().mean().sqrt().item()
    print(f"one step ahead, on {TEST} values not seen: error {rmse:.4f}, of predicting the last value {last_value:.4f}")
    past = 100
    free = generate(field, test[:past], TEST - past)
    horizon = 50
    wrong = (free[:horizon] - test[past : past + horizon]).square().mean().sqrt().item()
    still = (test[past - 1] - test[past : past + horizon]).square().mean().sqrt().item()
    print(f"running freely for {horizon} steps: error {wrong:.4f}, of the last value seen {still:.4f}")
    print(f"deviation of the free run {free.std().item():.2f}, of the series {test.std().item():.2f}")
    draw(options.plot, field, test, past)
    print(f"wrote {options.plot}")
    if rmse >= last_value:
        raise SystemExit("The field does not beat the baseline: give it more --updates.")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
