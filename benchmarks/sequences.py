"""How fast does a field learn a sequence? Forward and backward against torch's recurrent layers, upstream and JAX.

    python benchmarks/sequences.py [--json results.json]

Every model of one size reads the same sequences, a linear layer reads its hidden units, and the mean square of the
outputs is differentiated with respect to all parameters. neuralfields 0.5.2 detaches its potentials at every step, so
its gradient is of one step only. JAX runs the same field in a jitted scan. Models take turns, in each of which one runs
again and again for a twentieth of a second, as in a training; the table has medians over the turns, and how many times
as long as the field another model takes. The last table is one step at batch 1.
"""

import importlib.util
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import neuralfields
import torch
import tyro
from torch import Tensor, nn

from nf_policies import NeuralField, Policy
from nf_policies.fields import Stepper

INPUTS, OUTPUTS = 8, 4
TURN = 0.05
"""Seconds that a model runs before it is another one's turn."""
SIZES = ((64, 256, 16), (128, 1024, 32), (64, 256, 64), (64, 256, 128))


@dataclass
class Options:
    """Options of the benchmark."""

    rounds: int = 9
    """How often each is measured."""
    threads: tuple[int, ...] = (1, 2)
    """Numbers of threads to measure with."""
    json: Path | None = None
    """Where to write the figures."""


def learner(model: nn.Module, readout: nn.Module, inputs: Tensor) -> Callable[[], None]:
    """One forward and backward pass of a recurrent layer and its readout."""

    def run() -> None:
        readout(model(inputs)[0]).square().mean().backward()

    return run


def jax_learner(hidden: int, inputs: Tensor) -> Callable[[], Any]:
    """The field of `jax_field` in a jitted scan, with its gradient."""
    import jax
    import jax.numpy as jnp

    x = jnp.asarray(inputs.numpy())
    keys = jax.random.split(jax.random.key(0), 3)
    parameters = {
        "w_in": jax.random.normal(keys[0], (hidden, INPUTS)) * INPUTS**-0.5,
        "kernel": jax.random.normal(keys[1], (hidden,)) * hidden**-0.5,
        "w_out": jax.random.normal(keys[2], (OUTPUTS, hidden)) * hidden**-0.5,
        "h": jnp.zeros(hidden),
        "tau": jnp.full(1, 5.0),
        "kappa": jnp.full(1, 1e-3),
        "scale": jnp.ones(hidden),
        "bias": jnp.zeros(hidden),
    }
    source = (jnp.arange(hidden)[:, None] + jnp.arange(hidden)) % hidden

    def loss(p: dict[str, Any]) -> Any:
        lateral = jnp.zeros((hidden, hidden)).at[jnp.arange(hidden)[:, None], source].add(p["kernel"])

        def step(u: Any, external: Any) -> tuple[Any, Any]:
            a = jnp.tanh(p["scale"] * (u + p["bias"]))
            d = p["h"] - u
            u = jnp.clip(u + (external + a @ lateral.T + d + p["kappa"] * d**3) / p["tau"], -100, 100)
            return u, u

        _, trajectory = jax.lax.scan(step, jnp.zeros((x.shape[1], hidden)), x @ p["w_in"].T)
        outputs = jnp.tanh(p["scale"] * (trajectory + p["bias"])) @ p["w_out"].T
        return (outputs**2).mean()

    gradient = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(gradient(parameters))


def learners(time_steps: int, batch: int, hidden: int, jax_too: bool) -> dict[str, Callable[[], Any]]:
    """All models of one size, the field first."""
    inputs = torch.randn(time_steps, batch, INPUTS)
    field = NeuralField(INPUTS, hidden, OUTPUTS, activation="tanh")
    found: dict[str, Callable[[], Any]] = {"NeuralField": learner(field, nn.Identity(), inputs)}
    for layer in (nn.GRU, nn.LSTM, nn.RNN):
        found[f"nn.{layer.__name__}"] = learner(layer(INPUTS, hidden), nn.Linear(hidden, OUTPUTS), inputs)
    if batch * time_steps * hidden < 10**6:  # slow
        upstream = neuralfields.NeuralField(INPUTS, OUTPUTS, hidden, activation_nonlin=torch.tanh)
        found["neuralfields 0.5.2"] = learner(upstream, nn.Identity(), inputs.transpose(0, 1).contiguous())
    if jax_too:
        found["JAX scan"] = jax_learner(hidden, inputs)
    return found


def seconds(function: Callable[[], Any], repeats: int) -> float:
    """Of one call among so many."""
    began = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - began) / repeats


def milliseconds(functions: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Of one call of each; medians over rounds in which they take turns."""
    repeats = {}
    for name, function in functions.items():
        function()
        repeats[name] = max(1, round(TURN / seconds(function, 3)))
    measured: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            measured[name].append(1e3 * seconds(function, repeats[name]))
    return {name: median(values) for name, values in measured.items()}


def single_steps(rounds: int) -> dict[str, float]:
    """Milliseconds of one step at batch 1 with 16 neurons, without gradients."""
    inputs, hidden = torch.randn(1, INPUTS), torch.zeros(1, 16)
    gru, lstm = nn.GRUCell(INPUTS, 16), nn.LSTMCell(INPUTS, 16)
    field = NeuralField(INPUTS, 16, OUTPUTS, activation="tanh")
    stepper, array = Stepper(field), inputs.numpy()
    box = gym.spaces.Box(-1, 1, (INPUTS,)), gym.spaces.Box(-1, 1, (OUTPUTS,))
    policy, observation = Policy(field, *box), array[0]
    coefficients, potentials = field.coefficients(), field.start(1)
    with torch.no_grad():
        return milliseconds(
            {
                "Stepper": lambda: stepper(array),
                "Policy.act": lambda: policy.act(observation),
                "NeuralField.step": lambda: field.step(inputs, potentials, coefficients),
                "nn.GRUCell": lambda: gru(inputs, hidden),
                "nn.LSTMCell": lambda: lstm(inputs, (hidden, hidden)),
            },
            rounds,
        )


def main(options: Options) -> None:
    """Measure, print tables, write JSON."""
    jax_too = importlib.util.find_spec("jax") is not None
    results: dict[str, Any] = {}
    for threads in options.threads:
        torch.set_num_threads(threads)
        for size in SIZES:
            # JAX takes all cores; it has no setting for one.
            measured = milliseconds(learners(*size, jax_too and threads == max(options.threads)), options.rounds)
            field = measured["NeuralField"]
            title = f"T {size[0]}, B {size[1]}, H {size[2]}, {threads} thread{'s' * (threads > 1)}"
            results[title] = measured
            print(f"\n{title}: forward + backward")
            for name, value in measured.items():
                print(f"  {name:<20}{value:>10.2f} ms{value / field:>8.1f}x")
    torch.set_num_threads(1)
    steps = single_steps(options.rounds)
    results["one step, batch 1, H 16"] = steps
    print("\none step, batch 1, H 16")
    for name, value in steps.items():
        print(f"  {name:<20}{value * 1e3:>10.2f} us{value / steps['Stepper']:>8.1f}x")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
