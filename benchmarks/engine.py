"""Environment steps per second of the rollout engine, side by side with its peers in the same run.

    python benchmarks/engine.py [--task CartPole-v1] [--mode compiled] [--json engine.json] [--curves]

Peers run where their packages are installed: jax and gymnax (one jitted scan over the same one-neuron field),
evotorch (GymNE), pycma with neuralfields in a plain loop, and a `vmap`ped population of GRU cells. Rates count every
lane and step, finished episodes included, for the engine and for JAX alike: candidates are such that none ends early
where the task allows it (Pendulum), and lanes are never left out (CartPole), so that both do the same work.
"""

import argparse
import functools
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from nf_policies import NeuralField, Policy, SimpleNeuralField, field_sizes
from nf_policies.rollouts.engine import Engine, Mode
from nf_policies.tasks.batched import make_batched

SIZES = ((16, 4), (256, 16), (1024, 64))

Play = Callable[[], int]
"""Plays for a while and returns how many environment steps it took."""


def rates(players: dict[str, Play], rounds: int) -> dict[str, float]:
    """Steps per second of each, the median over rounds in which they alternate; each is called once before."""
    for play in players.values():
        play()
    measured: dict[str, list[float]] = {name: [] for name in players}
    for _ in range(rounds):
        for name, play in players.items():
            began, steps = time.perf_counter(), 0
            while time.perf_counter() - began < 0.3:
                steps += play()
            measured[name].append(steps / (time.perf_counter() - began))
    return {name: median(values) for name, values in measured.items()}


def engine_play(
    env_id: str, pop_size: int, episodes: int, field: str, mode: Mode, hidden_size: int = 1, device: str = "cpu"
) -> Play:
    """The engine's function of policy and task alone, all lanes counted, as the JAX scan does it."""
    envs = make_batched(f"nf/{env_id}", device=device)
    spaces = envs.single_observation_space, envs.single_action_space
    sizes = field_sizes(*spaces)
    if field == "neural":
        policy = Policy(NeuralField(sizes[0], 16, sizes[1], kappa_init=0.0), *spaces)
    else:
        policy = Policy(SimpleNeuralField(*sizes, hidden_size, dynamics="linear", activation="tanh"), *spaces)
    engine = Engine(envs, mode=mode, moments=False)
    population = np.random.default_rng(0).normal(size=(pop_size, policy.n_parameters)).astype(np.float32)
    start = engine.prepare(policy, population, range(episodes))
    n_steps = start.n_steps
    t = torch.tensor(0, device=device)

    def play() -> int:
        now = start.episodes
        with torch.no_grad():
            for _ in range(200 // n_steps):
                now = start.advance(now, start.coefficients, None, t)
        if device == "cuda":
            torch.cuda.synchronize()
        return pop_size * episodes * (200 // n_steps) * n_steps

    return play


def jax_play(env_id: str, pop_size: int, episodes: int) -> Play:
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

    return run


def gru_play(env_id: str, pop_size: int, episodes: int) -> Play:
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

    return play


def evotorch_play(env_id: str) -> Play:
    """A generation of EvoTorch's GymNE with CMA-ES and a linear policy, 16 candidates of 16 episodes, no workers."""
    from evotorch.algorithms import CMAES
    from evotorch.neuroevolution import GymNE

    problem = GymNE(env_id, "Linear(obs_length, act_length)", num_episodes=16, num_actors=0)
    search = CMAES(problem, stdev_init=1.0, popsize=16)
    search.step()

    def play() -> int:
        before = problem.status["total_interaction_count"]
        search.step()
        return int(problem.status["total_interaction_count"] - before)

    return play


def loop_play(env_id: str) -> Play:
    """A generation of pycma and neuralfields with one Gymnasium environment in a plain loop."""
    from gymnasium_tasks import peer

    def play() -> int:
        return peer(env_id)[0]

    return play


def curves(task: str, mode: Mode, rounds: int) -> dict[str, float]:
    """Steps per second over lanes with one neuron, and over neurons with 65,536 lanes."""
    table: dict[str, float] = {}
    settings = [(f"{2**i:,} lanes", 2**i, 1) for i in range(10, 23, 2)]
    settings += [(f"{n} neurons", 2**16, n) for n in (1, 2, 4, 8, 16)]
    for name, lanes, neurons in settings:
        play = engine_play(task, lanes // 16, 16, "simple", mode, neurons)
        table |= rates({name: play}, rounds)
        print(f"{name:<32} {table[name]:>16,.0f} steps/s", flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="CartPole-v1", choices=["CartPole-v1", "Pendulum-v1"])
    parser.add_argument("--mode", default="compiled", choices=["eager", "compiled"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--curves", action="store_true", help="no peers: over lanes and over neurons")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    task, mode = options.task, options.mode
    if options.curves:
        over = curves(task, mode, options.rounds)
        if options.json:
            options.json.write_text(json.dumps(over, indent=2) + "\n")
        return

    # Each group alternates; a ratio is of two in the same group.
    wanted = dict(zip(SIZES, (1, 3, 3), strict=True))
    groups: list[tuple[dict[str, Callable[[], Play]], dict[str, float]]] = [
        (
            {
                f"engine {p}x{e}": functools.partial(engine_play, task, p, e, "simple", mode),
                f"jax {p}x{e}": functools.partial(jax_play, task, p, e),
            },
            {f"jax {p}x{e}": wanted[p, e]},
        )
        for p, e in SIZES
    ]
    groups.append(
        (
            {
                "engine NeuralField 16, 256x16": functools.partial(engine_play, task, 256, 16, "neural", mode),
                "vmapped GRUCell 16, 256x16": functools.partial(gru_play, task, 256, 16),
            },
            {"vmapped GRUCell 16, 256x16": 3},
        )
    )
    groups.append(
        (
            {
                "engine 256x16 again": functools.partial(engine_play, task, 256, 16, "simple", mode),
                "evotorch GymNE": functools.partial(evotorch_play, task),
                "pycma + neuralfields loop": functools.partial(loop_play, task),
            },
            {"evotorch GymNE": 500, "pycma + neuralfields loop": 1000},
        )
    )
    table: dict[str, float] = {}
    ratios: dict[str, dict[str, float]] = {}
    for makers, aims in groups:
        players: dict[str, Play] = {}
        for name, make in makers.items():
            try:
                players[name] = make()
            except ImportError as error:
                print(f"{name:<32} not measured: {error}", flush=True)
        here = rates(players, options.rounds)
        table |= here
        ours = next(iter(here))
        for name, value in here.items():
            print(f"{name:<32} {value:>16,.0f} steps/s", flush=True)
        for name, aim in aims.items():
            if name in here:
                ratios[name] = {"ratio": here[ours] / here[name], "aim": aim}
                print(f"{'':<32} {ratios[name]['ratio']:>12,.1f} times {name} (aim {aim})", flush=True)
    if options.json:
        result = {"task": task, "mode": mode, "threads": torch.get_num_threads(), "rates": table, "ratios": ratios}
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
