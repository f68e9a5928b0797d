"""Episodes spread over the workers of a Ray cluster, as `backends.played_on` plays them here."""

import functools
from typing import Any

from nf_policies.commands.backends import Played, played_on
from nf_policies.rollouts.play import Evaluator
from nf_policies.runs.directory import RunError
from nf_policies.tasks.batched import is_batched, is_compilable

ENGINE_EPISODES = 256
"""Of a batched task, a worker plays at least so many at once: fewer take as long."""


def played_on_ray(
    task: str, address: tuple[str, ...], *, workers: int | None, timeout: float | None, **how: Any
) -> Played:
    """An evaluator whose episodes are played on a cluster.

    Args:
        task: As for `played_on`.
        address: HOST:PORT of the cluster's head; nothing for a cluster on this machine that is started for the run.
        workers: How many; by default one per CPU of the cluster.
        timeout: Seconds after which a worker that takes no step is replaced.
        how: Further arguments of `played_on`, on each worker.
    Raises: RunError or ClusterError, if there can be no such cluster.
    """
    from nf_policies.cluster.on_ray import RayPool
    from nf_policies.cluster.pieces import Spread

    if len(address) > 1:
        raise RunError(f"--ray takes one address, not {' and '.join(address)}: name the task before it.")
    if how["device"] != "cpu":
        raise RunError(f"--ray plays on CPUs: leave out --device {how['device']}.")
    engine = how["backend"] != "gymnasium" and is_batched(task) and is_compilable(task)
    pool = RayPool(
        "".join(address), functools.partial(evaluator_on, task, how), name=task, workers=workers, timeout=timeout
    )
    spread = Spread(pool, smallest=ENGINE_EPISODES if engine else 1, whole=engine)
    where = f"on the Ray cluster at {address[0]}" if address else "on a Ray cluster of this machine"
    return Played(spread, pool, f"{where}, {pool.workers} worker{'s' * (pool.workers > 1)}")


def evaluator_on(task: str, how: dict[str, Any], lanes: int) -> Evaluator:
    """The evaluator of a worker."""
    return played_on(task, lanes, **how).evaluator
