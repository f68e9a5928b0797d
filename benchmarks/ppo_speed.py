"""How fast is recurrent PPO from end to end, collecting and learning?

    python benchmarks/ppo_speed.py [--json results.json]

Two comparisons. The contestants take turns of a few rounds, as many as follow each other in a training; medians are
told, with the split into environment, rest of collecting, updating:

- Pendulum-v1, Gymnasium's own, 8 environments x 256 steps, batches of 512, 10 epochs, 16 neurons: against RecurrentPPO
  of sb3-contrib with an LSTM of 16;
- cart-pole, batched, 1,024 environments x 128 steps, 4 epochs of 4 minibatches, 16 neurons: against a GRU of 16 in JAX
  (`peers/jax_ppo_rnn.py`, in the manner of PureJaxRL's ppo_rnn: everything in one jitted function). Training is the
  same work on both sides; the peer has one network for actor and critic, ours two fields, or one as well ("shared
  critic"). Policy and task are compiled into one function here, so what the environment takes is measured on the same
  steps of the task alone, beside it.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import torch
import tyro
from stable_baselines3.common.logger import Logger

from nf_policies.ppo import FieldPPO
from nf_policies.tasks.batched import make_batched

ROUNDS_OF_A_TURN = 3
Round = Callable[[], dict[str, float]]
"""Trains on one rollout and tells its steps and seconds."""


@dataclass
class Options:
    """Options of the benchmark."""

    turns: int = 5
    """How many turns each has, after one round to warm up."""
    threads: int = 2
    """Threads of torch."""
    compile: bool = True
    """Whether the steps of policy and batched task are compiled (the first round takes half a minute)."""
    peers: bool = True
    """Whether to measure the peers too."""
    json: Path | None = None
    """Where to write the figures."""


def ours(
    env: gym.vector.VectorEnv, alone: gym.vector.VectorEnv | None = None, device: str = "cpu", **settings: Any
) -> Round:
    """Rounds of FieldPPO.

    Args:
        env: To train in.
        alone: The same, in which to measure what steps take; None to measure them in the training.
        device: Of the policy.
        settings: Of `FieldPPO`.
    """
    in_env = 0.0
    timed_env = env if alone is None else alone
    plain = timed_env.step

    def timed(actions: Any) -> Any:
        nonlocal in_env
        began = time.perf_counter()
        result = plain(actions)
        in_env += time.perf_counter() - began
        return result

    timed_env.step = timed  # type: ignore[method-assign]
    if alone is not None:
        alone.reset(seed=0)
    model = FieldPPO("NeuralFieldPolicy", env, seed=0, device=device, **settings)
    _, callback = model._setup_learn(10**9)
    model.set_logger(Logger(None, []))
    steps = env.num_envs * model.n_steps

    def one_round() -> dict[str, float]:
        nonlocal in_env
        in_env = 0.0
        began = time.perf_counter()
        model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)  # type: ignore[arg-type]
        finish(device)
        collected = time.perf_counter()
        model.train()
        finish(device)
        ended = time.perf_counter()
        if alone is not None:
            actions = torch.randint(2, (model.n_steps, alone.num_envs), device=device)
            for action in actions:
                alone.step(action)
            finish(device)
        return {
            "steps": steps,
            "seconds": ended - began,
            "environment": in_env,
            "collecting": collected - began - in_env,
            "updating": ended - collected,
        }

    return one_round


def finish(device: str) -> None:
    """Wait until a GPU has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def pendulum() -> Round:
    same_step = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
    env = gym.make_vec("Pendulum-v1", 8, vectorization_mode="sync", vector_kwargs=same_step)
    return ours(env, n_steps=256, batch_size=512, n_epochs=10)


def contrib() -> Round:
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.env_util import make_vec_env

    settings = {"n_steps": 256, "batch_size": 512, "n_epochs": 10, "policy_kwargs": {"lstm_hidden_size": 16}}
    model = RecurrentPPO("MlpLstmPolicy", make_vec_env("Pendulum-v1", 8), seed=0, device="cpu", **settings)

    def one_round() -> dict[str, float]:
        began = time.perf_counter()
        model.learn(8 * 256, reset_num_timesteps=False)
        return {"steps": 8 * 256, "seconds": time.perf_counter() - began}

    return one_round


def cart_pole(compiled: bool, critic: str = "separate", num_envs: int = 1024, device: str = "cpu") -> Round:
    """Rounds of 128 steps and 4 epochs of 4 minibatches."""
    made: dict[str, Any] = {"device": device, "check_actions": False, "compile": compiled}
    settings: dict[str, Any] = {"n_steps": 128, "batch_size": 32 * num_envs, "n_epochs": 4, "compile": compiled}
    env, alone = (make_batched("nf/CartPole-v1", num_envs, **made) for _ in range(2))
    return ours(env, alone, device, policy_kwargs={"critic": critic}, **settings)


def jax_gru() -> Round:
    from peers.jax_ppo_rnn import make_round

    play_and_learn = make_round(num_envs=1024, n_steps=128, n_epochs=4, n_minibatches=4, hidden_size=16)

    def one_round() -> dict[str, float]:
        began = time.perf_counter()
        play_and_learn()
        return {"steps": 1024 * 128, "seconds": time.perf_counter() - began}

    return one_round


def measure(name: str, contestants: dict[str, Round], turns: int, peer: str) -> dict[str, Any]:
    """Let the contestants take turns; print and return medians, and ratios to the peer if it is among them."""
    for one_round in contestants.values():
        one_round()
    seen: dict[str, list[dict[str, float]]] = {who: [] for who in contestants}
    for _ in range(turns):
        for who, one_round in contestants.items():
            seen[who] += [one_round() for _ in range(ROUNDS_OF_A_TURN)]
    result: dict[str, Any] = {}
    for who, figures in seen.items():
        parts = {key: median(f[key] for f in figures) for key in figures[0]}
        rate = median(f["steps"] / f["seconds"] for f in figures)
        split = ", ".join(f"{k} {1e3 * v:.0f} ms" for k, v in parts.items() if k not in ("steps", "seconds"))
        result[who] = {"steps_per_second": rate, **parts}
        print(f"{name:<30}{who:<28}{rate:>12,.0f} steps/s   {split}", flush=True)
    for who in [who for who in contestants if who != peer and peer in contestants]:
        pairs = zip(seen[who], seen[peer], strict=True)
        result[who]["ratio"] = median((a["steps"] / a["seconds"]) / (b["steps"] / b["seconds"]) for a, b in pairs)
        print(f"{name:<30}{who:<28}{result[who]['ratio']:>6.1f} times {peer}", flush=True)
    return result


def main(options: Options) -> None:
    """Measure, print, write JSON."""
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {"threads": options.threads}
    contestants = {"nf-policies": pendulum()}
    if options.peers:
        contestants["sb3-contrib LSTM"] = contrib()
    results["Pendulum-v1, 8 x 256"] = measure("Pendulum-v1, 8 x 256", contestants, options.turns, "sb3-contrib LSTM")
    contestants = {
        "nf-policies": cart_pole(options.compile),
        "nf-policies, shared critic": cart_pole(options.compile, "shared"),
    }
    if options.peers:
        contestants["JAX GRU"] = jax_gru()
    results["CartPole, 1,024 x 128"] = measure("CartPole, 1,024 x 128", contestants, options.turns, "JAX GRU")
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
