"""Where a task is played: in Gymnasium's environments or as the batched task that equals it, and on which device."""

import functools
from contextlib import closing
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import torch

from nf_policies.policies.policy import Policy
from nf_policies.ranks import Ranks, use_own_gpu
from nf_policies.rollouts.engine import Engine
from nf_policies.rollouts.play import Evaluator, evaluate
from nf_policies.runs.directory import RunError
from nf_policies.tasks.batched import is_batched, is_compilable, make_batched, twin_to_play
from nf_policies.tasks.description import Task, task_of
from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.side_by_side import make_envs, with_limit

Backend = Literal["auto", "gymnasium", "batched"]
ENGINE_EPISODES = 256
"""Of a batched task, a worker plays at least so many at once: fewer take as long."""


def batched_task(task: Task | str, backend: Backend, *, device: str = "cpu", workers: int = 0) -> str | None:
    """The id of the batched task to play a task as, or None for Gymnasium's environments.

    "auto" takes the batched task if there is one and no workers, which are Gymnasium's, are asked for. A TaskError if
    there is none although the backend or the device needs one.
    """
    if backend == "batched" and workers:
        raise TaskError("A batched task has no workers: use --backend gymnasium, or leave out --workers.")
    env_id = task_of(task).env_id
    batched = twin_to_play(task, backend, workers)
    if batched is None and backend == "batched":
        raise TaskError(f"There is no batched task that equals {env_id}: use --backend gymnasium.")
    if device != "cpu" and (batched is None or not is_compilable(replace(task_of(task), env_id=batched))):
        how = "by Gymnasium" if batched is None else "by a simulator"
        raise TaskError(f"{env_id} is played {how} on the CPU: --device {device} needs a batched task on tensors.")
    return batched


class Played(NamedTuple):
    """How policies are played whole episodes."""

    evaluator: Evaluator
    envs: Any
    """To be closed."""
    words: str


def played_on(
    task: Task | str,
    lanes: int,
    *,
    backend: Backend = "auto",
    device: str = "cpu",
    workers: int = 0,
    timeout: float | None = None,
    limit: int | None = None,
    **of_engine: Any,
) -> Played:
    """An evaluator of a task: an engine on tensors, the lanes of a simulator, or Gymnasium's environments.

    Args:
        task: A task or its id, or that of the batched task to play it as.
        lanes: Episodes at once, where that is not the engine's to decide.
        backend: "gymnasium" for no engine.
        device: Of an engine.
        workers: Processes, as for `make_envs`.
        timeout: Their `step_timeout`.
        limit: Time limit in steps, in place of the task's own.
        of_engine: Further arguments of an `Engine`: `mode`, and `moments` for the normaliser.
    """
    task = task_of(task, limit)
    if backend != "gymnasium" and not workers and is_batched(task) and is_compilable(task):
        envs: Any = with_limit(make_batched(task, device=device))
        engine = Engine(envs, **of_engine)
        how = ", compiled, which takes a while the first time" if engine.mode == "compiled" else ""
        return Played(engine, envs, f"all episodes at once on {device}{how}")
    envs = make_envs(task, lanes, workers=workers, step_timeout=timeout)
    return Played(functools.partial(evaluate, envs), envs, f"in {in_words(envs.num_envs, workers)}")


def in_words(num_envs: int, workers: int) -> str:
    """Where single environments are played."""
    many = f"{num_envs} environment{'s' * (num_envs > 1)}"
    return f"{many}, a process each" if workers else many


def operations_of_step(task: Task, policy: Policy) -> int:
    """How many operations on tensors a step of a batched task and of a policy takes; 0 where a simulator steps."""
    if not is_compilable(task):
        return 0
    with closing(with_limit(make_batched(task))) as envs:
        start = Engine(envs).prepare(policy, None, [0])
        return start.fused.operations(start.episodes, start.coefficients, start.normal)


def played_on_ray(
    task: Task, address: tuple[str, ...], *, workers: int | None, timeout: float | None, **how: Any
) -> Played:
    """An evaluator whose episodes are played on a cluster.

    Args:
        task: Or the batched one to play it as.
        address: HOST:PORT of the cluster's head; nothing for a cluster on this machine that is started for the run.
        workers: How many; by default one per CPU of the cluster.
        timeout: Seconds after which a worker that takes no step is replaced.
        how: Further arguments of `played_on`, on each worker.
    Raises: RunError or ClusterError, if there can be no such cluster.
    """
    from nf_policies.cluster.on_ray import RayPool
    from nf_policies.rollouts.spread import Spread

    if len(address) > 1:
        raise RunError(f"--ray takes one address, not {' and '.join(address)}: name the task before it.")
    if how["device"] != "cpu":
        raise RunError(f"--ray plays on CPUs: leave out --device {how['device']}.")
    engine = how["backend"] != "gymnasium" and is_batched(task) and is_compilable(task)
    make = functools.partial(evaluator_on, task, how)
    pool = RayPool("".join(address), make, name=str(task), workers=workers, timeout=timeout)
    spread = Spread(pool, smallest=ENGINE_EPISODES if engine else 1, whole=engine)
    where = f"on the Ray cluster at {address[0]}" if address else "on a Ray cluster of this machine"
    return Played(spread, pool, f"{where}, {pool.workers} worker{'s' * (pool.workers > 1)}")


def evaluator_on(task: Task, how: dict[str, Any], lanes: int) -> tuple[Evaluator, bool]:
    """The evaluator of a worker, and whether it can be watched; an engine never waits for code of others."""
    evaluator = played_on(task, lanes, **how).evaluator
    return evaluator, not isinstance(evaluator, Engine)


def own_gpu(device: str, ranks: Ranks) -> None:
    """Let each of several ranks have a GPU of its own; a RunError or RankError if it cannot."""
    if ranks.size == 1 or device_of(device) == "cpu":
        return
    if device_of(device) != "cuda":
        raise RunError(f"Each process needs a device of its own: use --device cuda or cpu, not {device}.")
    use_own_gpu()


def device_of(name: str) -> str:
    """A device as torch names it; "auto" is a GPU if there is one. A RunError if it is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros((), device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RunError(f"There is no device {name!r} here: use --device cpu.") from error
    return name
