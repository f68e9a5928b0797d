"""Environment steps per second of the rollout engine, side by side with its peers in the same run.

    python benchmarks/engine.py [--task CartPole-v1] [--json engine.json] [--peers jax evotorch loop gru]

Peers run where their packages are installed: jax and gymnax (one jitted scan over the same one-neuron field),
evotorch (GymNE), pycma with neuralfields in a plain loop, and a `vmap`ped population of GRU cells. Rates count every
lane and step, finished episodes included, for the engine and for JAX alike: candidates are such that none ends early
where the task allows it (Pendulum), and lanes are never left out (CartPole), so that both do the same work.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nf_policies import NeuralField, Policy, SimpleNeuralField, field_sizes
from nf_policies.evolution.compiling import compiled
from nf_policies.evolution.engine import Engine
from nf_policies.policies.batched import make_batched

SIZES = ((16, 4), (256, 16), (1024, 64))


def rate(function: Callable[[], int], seconds: float = 2.0) -> float:
    """Steps per second, the best of several calls after a first one."""
    function()
    best, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        steps = function()
        best = max(best, steps / (time.perf_counter() - start))
    return best


def engine_rate(env_id: str, pop_size: int, episodes: int, field: str, n_steps: int, how: str) -> float:
    """Of the engine's function of policy and task alone, all lanes counted, as the JAX scan does it."""
    envs = make_batched(f"nf/{env_id}")
    spaces = envs.single_observation_space, envs.single_action_space
    sizes = field_sizes(*spaces)
    if field == "neural":
        policy = Policy(NeuralField(sizes[0], 16, sizes[1], kappa_init=0.0), *spaces)
    else:
        policy = Policy(SimpleNeuralField(*sizes, 1, dynamics="linear", activation="tanh"), *spaces)
    engine = Engine(envs, how="eager", moments=False, steps_per_call=n_steps)
    fused, advance = engine._fused(policy, episodes)
    advance = compiled(advance) if how == "compiled" else advance
    population = torch.as_tensor(np.random.default_rng(0).normal(size=(pop_size, policy.n_parameters))).float()
    with torch.no_grad():
        coefficients = fused.form.coefficients(policy.coefficients(population), episodes)
        keys = envs.lane_keys(range(episodes), torch.device("cpu")).repeat(pop_size)  # type: ignore[attr-defined]
        lanes = fused.start(keys, coefficients, torch.float32)
        t = torch.tensor(0)

        def play() -> int:
            now = lanes
            for _ in range(200 // n_steps):
                now = advance(now, coefficients, None, t)
            return pop_size * episodes * (200 // n_steps) * n_steps

        return rate(play)


def jax_rate(env_id: str, pop_size: int, episodes: int) -> float:
    """One jitted scan of 200 steps with gymnax's task and the same one-neuron field."""
    import gymnax
    import jax
    import jax.numpy as jnp

    env, params = gymnax.make(env_id)
    discrete = env_id.startswith("CartPole")
    n_obs = 4 if discrete else 3
    w = jnp.asarray(np.random.default_rng(0).normal(size=(pop_size, n_obs + 5)).astype(np.float32))

    def lane(key: Any, w: Any) -> Any:
        obs, state = env.reset_env(key, params)

        def step(carry: Any, _: Any) -> Any:
            obs, state, u, alive, total = carry
            stimuli = obs @ w[:n_obs] + w[n_obs] * jnp.tanh(w[n_obs + 1] * u)
            u = jnp.clip(u + jnp.exp(-jnp.abs(w[n_obs + 2])) * (stimuli + w[n_obs + 3] - u), -100, 100)
            out = w[n_obs + 4] * jnp.tanh(w[n_obs + 1] * u)
            action = (out > 0).astype(jnp.int32) if discrete else 2 * jnp.tanh(out)[None]
            obs, state, reward, done, _ = env.step_env(key, state, action, params)
            total = total + jnp.where(alive, jnp.squeeze(reward), 0.0)
            return (obs, state, u, alive & ~done, total), None

        carry, _ = jax.lax.scan(step, (obs, state, 0.0, True, 0.0), None, 200)
        return carry[-1]

    keys = jax.random.split(jax.random.PRNGKey(0), episodes)
    play = jax.jit(jax.vmap(jax.vmap(lane, (0, None)), (None, 0)))

    def run() -> int:
        play(keys, w).block_until_ready()
        return pop_size * episodes * 200

    return rate(run)


def gru_rate(env_id: str, pop_size: int, episodes: int) -> float:
    """A `vmap`ped population of GRU cells of 16 units on the same task, one step at a time."""
    envs = make_batched(f"nf/{env_id}")
    task: Any = envs.func_env  # type: ignore[attr-defined]
    n_obs = envs.single_observation_space.shape[0]  # type: ignore[index]
    cell = torch.nn.GRUCell(n_obs, 16)
    weights = {k: p.detach().expand(pop_size, *p.shape).contiguous() for k, p in cell.named_parameters()}
    readout = torch.randn(pop_size, 16, 1)
    one = torch.func.vmap(lambda p, x, h: torch.func.functional_call(cell, p, (x, h)))
    discrete = env_id.startswith("CartPole")
    keys = envs.lane_keys(range(episodes), torch.device("cpu")).repeat(pop_size)  # type: ignore[attr-defined]
    zeros = torch.zeros_like(keys)

    def play() -> int:
        with torch.no_grad():
            state = task.initial(envs.uniforms(keys, zeros, zeros, task.draws.initial, torch.float32))  # type: ignore[attr-defined]
            h, total = torch.zeros(pop_size, episodes, 16), 0.0
            for _ in range(50):
                h = one(weights, task.observation(state).view(pop_size, episodes, n_obs), h)
                out = (h @ readout).reshape(-1, 1)
                action = (out[:, 0] > 0).long() if discrete else 2 * out.tanh()
                after = task.transition(state, action)
                total = total + task.reward(state, action, after)
                state = after
        return pop_size * episodes * 50

    return rate(play)


def evotorch_rate(env_id: str) -> float:
    """GymNE with CMA-ES and a linear policy, 256 candidates of 16 episodes, no workers."""
    from evotorch.algorithms import CMAES
    from evotorch.neuroevolution import GymNE

    problem = GymNE(env_id, "Linear(obs_length, act_length)", num_episodes=16, num_actors=0)
    search = CMAES(problem, stdev_init=1.0, popsize=16)
    search.step()
    before, began = problem.status["total_interaction_count"], time.perf_counter()
    while time.perf_counter() - began < 10:
        search.step()
    return (problem.status["total_interaction_count"] - before) / (time.perf_counter() - began)


def loop_rate(env_id: str) -> float:
    """Pycma, neuralfields and one Gymnasium environment in a plain loop, for ten seconds."""
    import gymnasium as gym
    import neuralfields

    env = gym.make(env_id)
    n_obs, discrete = env.observation_space.shape[0], hasattr(env.action_space, "n")  # type: ignore[index]
    policy = neuralfields.SimpleNeuralField(input_size=n_obs, output_size=1)
    steps, began = 0, time.perf_counter()
    with torch.no_grad():
        while time.perf_counter() - began < 10:
            obs, over, hidden = env.reset()[0], False, None
            while not over:
                out, hidden = policy(torch.as_tensor(obs, dtype=torch.float32)[None, None], hidden)
                value = float(out.reshape(-1)[0])
                action = int(value > 0.5) if discrete else np.array([value], dtype=np.float32)
                obs, _, terminated, truncated, _ = env.step(action)
                over, steps = terminated or truncated, steps + 1
    return steps / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="CartPole-v1", choices=["CartPole-v1", "Pendulum-v1"])
    parser.add_argument("--how", default="compiled", choices=["eager", "compiled"])
    parser.add_argument("--steps-per-call", type=int, default=10)
    parser.add_argument("--peers", nargs="*", default=["jax", "evotorch", "loop", "gru"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    table: dict[str, float] = {}

    def measure(name: str, function: Callable[[], float]) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                table[name] = function()
        except Exception as error:
            print(f"{name:<40} not measured: {type(error).__name__}: {' '.join(str(error).split())[:80]}", flush=True)
            return
        print(f"{name:<40} {table[name]:>16,.0f} steps/s", flush=True)

    task, per_call = options.task, options.steps_per_call
    for p, e in SIZES:
        measure(f"engine {p}x{e}", lambda p=p, e=e: engine_rate(task, p, e, "simple", per_call, options.how))  # type: ignore[misc]
        if "jax" in options.peers:
            measure(f"jax {p}x{e}", lambda p=p, e=e: jax_rate(task, p, e))  # type: ignore[misc]
    if "gru" in options.peers:
        measure("engine NeuralField 16, 256x16", lambda: engine_rate(task, 256, 16, "neural", 1, options.how))
        measure("vmapped GRUCell 16, 256x16", lambda: gru_rate(task, 256, 16))
    if "evotorch" in options.peers:
        measure("evotorch GymNE", lambda: evotorch_rate(task))
    if "loop" in options.peers:
        measure("pycma + neuralfields loop", lambda: loop_rate(task))

    pairs = [(f"engine {p}x{e}", f"jax {p}x{e}", t) for (p, e), t in zip(SIZES, (1, 3, 3), strict=True)]
    pairs += [("engine 256x16", "evotorch GymNE", 500), ("engine 256x16", "pycma + neuralfields loop", 1000)]
    pairs += [("engine NeuralField 16, 256x16", "vmapped GRUCell 16, 256x16", 3)]
    for ours, theirs, wanted in pairs:
        if ours in table and theirs in table:
            print(f"{ours} / {theirs}: {table[ours] / table[theirs]:,.1f} times (wanted {wanted})")
    if options.json:
        options.json.write_text(
            json.dumps({"task": task, "threads": torch.get_num_threads(), "rates": table}, indent=2)
        )


if __name__ == "__main__":
    main()
