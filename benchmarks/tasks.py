"""How many steps of environments per second, with random actions, in one process on the CPU?

    python benchmarks/tasks.py [--tasks CartPole Pendulum] [--json results.json]

Every contender draws a random action for every environment, steps all of them and begins the next episode where one is
over; all of that is timed. Who does what:

- "view": `gymnasium.make_vec("nf/…")`, a call of `step` per step, actions from torch.randint or torch.rand, checked.
  "compiled" is the same with `compile=True`.
- "view, compiled, 1 step a call": the functional core of the same view, drawing of actions, step and autoreset compiled
  into one function as a user (and the evolution engine) may do it; with --fused, 4 steps in one call, too.
- gymnax: `jax.jit` of the vmapped `step`, which resets by itself, with actions drawn inside; one step a call; with
  --fused, 4 steps in a `lax.scan`, too.
- Gymnasium's own CartPole in NumPy (`vector_entry_point`), in a `SyncVectorEnv` (up to 4,096 environments: it steps one
  after the other, so its rate depends little on their number, and more take a minute to make) and in an
  `AsyncVectorEnv` (up to 64), actions from NumPy.

Rounds alternate between the contenders of a size; the table has medians, in millions of steps per second. Tasks other
than CartPole are compiled at the largest number of environments only, unless --compile-all is given.
"""

import json
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode

import nf_envs
from nf_envs import lanes
from nf_envs.randomness import uniforms

SIZES = (1, 64, 4096, 65_536)
FUSED = 4
"""Steps in one compiled call."""
MOST_OBJECTS, MOST_PROCESSES = 4096, 64

Steps = Callable[[], None]


@dataclass
class Options:
    """Options of the benchmark."""

    tasks: list[str] = field(default_factory=list)
    """Names such as CartPole; by default all tasks that are not variants without velocities."""
    sizes: tuple[int, ...] = SIZES
    """Numbers of environments."""
    rounds: int = 5
    """How often each is measured."""
    seconds: float = 0.1
    """How long one measurement takes, at least."""
    threads: int = os.cpu_count() or 1
    """Threads of torch; JAX uses all cores."""
    fused: bool = False
    """Measure several steps in one compiled call, too; unrolled, they take minutes to compile."""
    compile_all: bool = False
    """Compile every task at every number of environments."""
    json: Path | None = None
    """Where to write the figures."""


def view(env_id: str, num_envs: int, compile: bool) -> tuple[Steps, int]:
    env: Any = gym.make_vec(env_id, num_envs=num_envs, vectorization_mode="vector_entry_point", compile=compile)
    env.reset(seed=0)
    space = env.single_action_space
    if isinstance(space, Discrete):
        n = int(space.n)
        return lambda: env.step(torch.randint(n, (num_envs,))) and None, 1
    low, width = torch.as_tensor(space.low), torch.as_tensor(space.high - space.low)
    return lambda: env.step(low + width * torch.rand(num_envs, *space.shape)) and None, 1


def core(env_id: str, num_envs: int, steps: int) -> tuple[Steps, int]:
    """The view's functional core, with random actions and several steps in one compiled function."""
    env: Any = gym.make_vec(env_id, num_envs=num_envs, vectorization_mode="vector_entry_point")
    env.reset(seed=0)
    task, space, limit = env.func_env, env.single_action_space, env.max_episode_steps
    discrete = isinstance(space, Discrete)
    size = 1 if discrete else space.shape[0]
    low, high = (0, int(space.n)) if discrete else (float(space.low.min()), float(space.high.max()))

    def call(now: lanes.Lanes, keys: torch.Tensor, count: torch.Tensor) -> tuple[lanes.Lanes, list[Any]]:
        seen = []
        for i in range(steps):
            drawn = [low + (high - low) * u for u in uniforms(keys, count + i, count, size, torch.float32)]
            action = drawn[0].to(torch.int64) if discrete else torch.stack(drawn, -1)
            out = lanes.step_same(task, now, action, task.default_params, limit, torch.float32)
            now = out.lanes
            seen.append((out.obs, out.reward, lanes.as_bytes(out.terminated), lanes.as_bytes(out.truncated)))
        return now, seen

    fast = lanes.compiled(call, num_envs)
    here = {"lanes": env.lanes, "count": torch.zeros(num_envs, dtype=torch.int32)}
    keys = env.lanes.keys ^ 1

    def run() -> None:
        here["lanes"], _ = fast(here["lanes"], keys, here["count"])
        here["count"] = here["count"] + steps

    return run, steps


def gymnax_cart_pole(num_envs: int, steps: int) -> tuple[Steps, int]:
    import gymnax
    import jax

    env, params = gymnax.make("CartPole-v1")

    def one(carry: Any, _: Any) -> tuple[Any, Any]:
        key, state = carry
        key, for_actions, for_steps = jax.random.split(key, 3)
        action = jax.vmap(env.action_space(params).sample)(jax.random.split(for_actions, num_envs))
        split = jax.random.split(for_steps, num_envs)
        obs, state, reward, terminated, truncated, _info = jax.vmap(env.step, in_axes=(0, 0, 0, None))(
            split, state, action, params
        )
        return (key, state), (obs, reward, terminated, truncated)

    fast = jax.jit(lambda carry: one(carry, None) if steps == 1 else jax.lax.scan(one, carry, None, length=steps))
    begin = jax.jit(jax.vmap(env.reset, in_axes=(0, None)))
    _, state = begin(jax.random.split(jax.random.key(0), num_envs), params)
    here = {"carry": (jax.random.key(1), state)}

    def run() -> None:
        here["carry"], seen = fast(here["carry"])
        jax.block_until_ready(seen)

    return run, steps


def gymnasium_cart_pole(num_envs: int, mode: str) -> tuple[Steps, int]:
    # Its NumPy CartPole knows no other autoreset mode than the one it comes with.
    kwargs: dict[str, Any] = (
        {} if mode == "vector_entry_point" else {"vector_kwargs": {"autoreset_mode": AutoresetMode.SAME_STEP}}
    )
    env = gym.make_vec("CartPole-v1", num_envs=num_envs, vectorization_mode=mode, **kwargs)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    return lambda: env.step(rng.integers(2, size=num_envs)) and None, 1


def cart_pole(num_envs: int, fused: bool) -> dict[str, Callable[[], tuple[Steps, int]]]:
    """Contenders, which are made when they are first measured."""
    env_id = "nf/CartPole-v1"
    several = {
        f"view, compiled, {FUSED} steps a call": lambda: core(env_id, num_envs, FUSED),
        f"gymnax, {FUSED} steps a call": lambda: gymnax_cart_pole(num_envs, FUSED),
    }
    return {
        **(several if fused else {}),
        "view": lambda: view(env_id, num_envs, False),
        "view, compiled": lambda: view(env_id, num_envs, True),
        "view, compiled, 1 step a call": lambda: core(env_id, num_envs, 1),
        "gymnax, 1 step a call": lambda: gymnax_cart_pole(num_envs, 1),
        "Gymnasium NumPy": lambda: gymnasium_cart_pole(num_envs, "vector_entry_point"),
        **({"Gymnasium sync": lambda: gymnasium_cart_pole(num_envs, "sync")} if num_envs <= MOST_OBJECTS else {}),
        **({"Gymnasium async": lambda: gymnasium_cart_pole(num_envs, "async")} if num_envs <= MOST_PROCESSES else {}),
    }


def measured(
    contenders: dict[str, Callable[[], tuple[Steps, int]]], num_envs: int, options: Options
) -> dict[str, float]:
    """Steps of environments per second of each contender that can be made here: the median of alternating rounds."""
    ready: dict[str, tuple[Steps, int, int]] = {}
    for name, make in contenders.items():
        try:
            run, steps = make()
        except ModuleNotFoundError as error:
            print(f"left out: {name} ({error})")
            continue
        run()
        run()
        began = time.perf_counter()
        run()
        repeats = max(1, round(options.seconds / (time.perf_counter() - began)))
        ready[name] = (run, steps, repeats)
    found: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(options.rounds):
        for name, (run, steps, repeats) in ready.items():
            began = time.perf_counter()
            for _ in range(repeats):
                run()
            found[name].append(num_envs * steps * repeats / (time.perf_counter() - began))
    return {name: median(values) for name, values in found.items()}


def show(title: str, rows: dict[str, dict[int, float]], sizes: tuple[int, ...]) -> None:
    print(f"\n{title:36}" + "".join(f"{n:>12,}" for n in sizes))
    for name, figures in rows.items():
        cells = (f"{figures[n] / 1e6:12.4g}" if n in figures else f"{'':12}" for n in sizes)
        print(f"{name:36}" + "".join(cells))


def main(options: Options) -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    listed = [task for task in nf_envs.catalog() if "NoVel" not in task.id]
    names = {task.id.removeprefix("nf/").rpartition("-")[0]: task.id for task in listed}
    unknown = [name for name in options.tasks if name not in names]
    if unknown:
        raise SystemExit(f"There is no task {unknown[0]}: known are {', '.join(names)}.")
    chosen = [name for name in names if not options.tasks or name in options.tasks]
    results: dict[str, dict[str, dict[int, float]]] = {}
    for name in chosen:
        rows: dict[str, dict[int, float]] = {}
        for n in options.sizes:
            if name == "CartPole":
                contenders = cart_pole(n, options.fused)
            else:
                contenders = {"view": lambda n=n, name=name: view(names[name], n, False)}  # type: ignore[misc]
                if options.compile_all or n == max(options.sizes):
                    contenders["view, compiled"] = lambda n=n, name=name: view(names[name], n, True)  # type: ignore[misc]
            for contender, figure in measured(contenders, n, options).items():
                rows.setdefault(contender, {})[n] = figure
            torch.compiler.reset()
        show(f"{name} [million steps/s]", rows, options.sizes)
        results[name] = rows
    n = max(options.sizes)
    if "CartPole" in results:
        figures = {name: row.get(n, max(row.values())) for name, row in results["CartPole"].items()}
        for ours, peer in (
            ("view, compiled, 1 step a call", "gymnax, 1 step a call"),
            (f"view, compiled, {FUSED} steps a call", f"gymnax, {FUSED} steps a call"),
            ("view, compiled", "gymnax, 1 step a call"),
            ("view, compiled", "Gymnasium NumPy"),
            ("view, compiled", "Gymnasium sync"),
        ):
            if ours in figures and peer in figures:
                at = "" if n in results["CartPole"][peer] else " at its best number"
                print(f"{n:,} environments: {ours} / {peer}{at}: {figures[ours] / figures[peer]:.3g}")
    if options.json:
        about = {"torch": torch.__version__, "threads": options.threads, "unit": "environment steps per second"}
        options.json.write_text(json.dumps({**about, "tasks": results}, indent=1))


if __name__ == "__main__":
    main(tyro.cli(Options))
