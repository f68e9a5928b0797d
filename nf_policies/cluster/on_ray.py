"""A pool of workers on a Ray cluster.

Each worker is an actor with one CPU. One that dies, with its node or alone, or hangs, is replaced where there is room,
and another plays the pieces that it had; one whose node cannot make the task is left out. Nodes that join later get
workers.
"""

import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from nf_policies.cluster.connection import WITH_NODE, ClusterError, connected, reach, reason_of, warn
from nf_policies.cluster.player import Answer, Bits, Failed, Maker, Player, Unmade
from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.processes import STEP_TIMEOUT

PER_WORKER = 2
"""Pieces that a worker has: the next one waits there while one is played."""
TRIES = 5
"""How often a piece is begun, or in a row a worker dies while it starts, before the task is given up."""
STARTING = -1
"""Stands for the start of a worker among the indices of pieces."""
LOOK = 1.0
"""Seconds without an answer after which workers and the head are looked at."""
GROW = 10.0
"""Seconds between two looks at how many CPUs the cluster has."""


@dataclass(eq=False)
class Worker:
    """An actor, and the pieces that it has."""

    actor: Any
    greeting: Any
    """What it says once it has started."""
    ready: bool = False
    pieces: dict[Any, int] = field(default_factory=dict)
    """Indices by reference; it plays the first one."""
    seen: float = 0.0
    """When it last answered, or was found to have taken steps."""
    steps: int = -1
    asked: Any = None
    """For its steps."""


class RayPool:
    """Workers on a cluster; `close` ends them, and a cluster that was started for them.

    Args:
        address: HOST:PORT of the head, as `ray start` prints it; "" for a cluster on this machine, started here.
        make: Makes the evaluator of a worker.
        name: Of the task, for messages.
        workers: How many; by default one per CPU of the cluster.
        timeout: Seconds that a step of the task may take.
    Raises: ClusterError if Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(
        self,
        address: str,
        make: Maker,
        *,
        name: str = "the task",
        workers: int | None = None,
        timeout: float | None = None,
    ) -> None:
        self._ray = connected(address, workers)
        self._make, self._name, self._wanted = make, name, workers
        self._timeout = timeout or STEP_TIMEOUT
        self._head = str(self._ray.get_runtime_context().gcs_address)
        self._workers: list[Worker] = []
        self._grown, self._waiting_since = -GROW, time.monotonic()
        self._told: set[Bits | Unmade] = set()
        self.seconds_playing = 0.0
        """Of all workers, for measurements."""
        self._grow()

    @property
    def workers(self) -> int:
        """How many there are; some may be about to start."""
        return len(self._workers)

    @property
    def room(self) -> int:
        """How many pieces they take at once."""
        return PER_WORKER * max(self.workers, 1)

    def play(self, policy: Any, pieces: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """The index of each piece and what was played, in the order in which workers answer.

        Raises:
            TaskError: If a piece is lost or raises for the fifth time, or no node can make the task.
            ClusterError: If the head of the cluster is gone.
        """
        self._grow()
        shared = self._ray.put(policy)
        waiting, tries, left = deque(range(len(pieces))), Counter[int](), len(pieces)
        try:
            while left:
                for worker in self._workers:
                    while worker.ready and waiting and len(worker.pieces) < PER_WORKER:
                        self._give(worker, shared, waiting.popleft(), pieces)
                for index, answer in self._answers(waiting, tries):
                    if isinstance(answer, Failed):
                        self._count(index, tries, f"raised {answer.reason}")
                        waiting.append(index)
                    else:
                        left -= 1
                        self.seconds_playing += answer.seconds
                        yield index, answer.played
        finally:
            for worker in self._workers if left else ():  # whoever plays on would answer too late
                self._replace(worker)

    def close(self) -> None:
        """End the workers, and leave the cluster."""
        with suppress(Exception):  # a cluster that is gone
            for worker in self._workers:
                self._ray.kill(worker.actor)
            self._ray.shutdown()

    def _give(self, worker: Worker, shared: Any, index: int, pieces: Sequence[Any]) -> None:
        if not worker.pieces:
            worker.seen = time.monotonic()
        worker.pieces[worker.actor.play.remote(shared, pieces[index])] = index

    def _answers(self, waiting: deque[int], tries: Counter[int]) -> Iterator[tuple[int, Answer | Failed]]:
        """What has come in until now, or within a moment; pieces of lost workers go back to those that wait."""
        owners = {ref: worker for worker in self._workers for ref in worker.pieces}
        owners |= {worker.greeting: worker for worker in self._workers if not worker.ready}
        refs = list(owners)
        done, _ = self._ray.wait(refs, num_returns=1, timeout=LOOK)
        if done:
            done, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        else:
            self._look(waiting, tries)
        for ref in done:
            worker = owners[ref]
            if worker not in self._workers:  # it has just been lost, with all that it had
                continue
            try:
                answer = self._ray.get(ref)
            except self._ray.exceptions.RayError as error:
                self._lost(worker, reason_of(error), waiting, tries)
                continue
            worker.seen, worker.steps = time.monotonic(), -1
            if isinstance(answer, Bits):
                worker.ready, tries[STARTING] = True, 0
                self._compare(answer)
            elif isinstance(answer, Unmade):
                self._leave_out(worker, answer, waiting)
            else:
                yield worker.pieces.pop(ref), answer

    def _look(self, waiting: deque[int], tries: Counter[int]) -> None:
        """Find out whether the head is there and workers take steps."""
        try:
            reach(self._head)
        except OSError as error:
            raise ClusterError(f"The head of the Ray cluster at {self._head} does not answer any more.") from error
        now = time.monotonic()
        if any(worker.ready for worker in self._workers):
            self._waiting_since = now
        elif now - self._waiting_since > 60:
            self._waiting_since = now
            warn(f"No worker has started yet: the Ray cluster at {self._head} has no free CPU.")
        for worker in self._workers:
            if not worker.pieces or now - worker.seen < self._timeout:
                continue
            if worker.asked is None:
                worker.asked, worker.seen = worker.actor.steps.options(concurrency_group="signs").remote(), now
                continue
            steps = worker.steps
            with suppress(self._ray.exceptions.RayError):
                steps = self._ray.get(worker.asked, timeout=0)
            if steps == worker.steps:
                reason = f"has taken no step for {self._timeout:g} seconds (the step timeout)"
                self._lost(worker, reason, waiting, tries)
            else:
                worker.asked, worker.seen, worker.steps = None, now, steps

    def _lost(self, worker: Worker, reason: str, waiting: deque[int], tries: Counter[int]) -> None:
        """Replace a worker; the piece that it played counts as begun, those behind do not."""
        indices = list(worker.pieces.values())
        if reason == WITH_NODE:
            pass  # no fault of the task
        elif indices:
            self._count(indices[0], tries, reason)
        elif not worker.ready:
            self._count(STARTING, tries, f"could not start: {reason}")
        warn(f"A worker of {self._name} {reason}; others play its {len(indices)} pieces.")
        waiting.extendleft(reversed(indices))
        self._replace(worker)

    def _leave_out(self, worker: Worker, answer: Unmade, waiting: deque[int]) -> None:
        """Go on without a worker whose node cannot make the task; later generations try again."""
        waiting.extendleft(reversed(worker.pieces.values()))
        self._workers.remove(worker)
        with suppress(Exception):
            self._ray.kill(worker.actor)
        sentence = f"{self._name} cannot be made on the node {answer.node}: {answer.reason}"
        if not self._workers:
            raise TaskError(f"{sentence}. What it needs must be installed on every node.")
        if answer not in self._told:
            self._told.add(answer)
            warn(f"{sentence}. Other workers play its pieces.")

    def _count(self, index: int, tries: Counter[int], reason: str) -> None:
        tries[index] += 1
        if tries[index] == TRIES:
            raise TaskError(f"{self._name} cannot be played on the Ray cluster: {TRIES} times a worker {reason}.")

    def _replace(self, worker: Worker) -> None:
        with suppress(Exception):
            self._ray.kill(worker.actor)
        self._workers[self._workers.index(worker)] = self._new()

    def _new(self) -> Worker:
        how = {"num_cpus": 1, "concurrency_groups": {"signs": 1}, "scheduling_strategy": "SPREAD"}
        actor = self._ray.remote(**how)(Player).remote(self._make, sys.path, os.getcwd())
        return Worker(actor, actor.hello.remote())

    def _grow(self) -> None:
        """Have as many workers as are wanted: by default as many as there are CPUs now."""
        if time.monotonic() - self._grown < GROW:
            return
        self._grown = time.monotonic()
        wanted = self._wanted or int(self._ray.cluster_resources().get("CPU", 1))
        self._workers += [self._new() for _ in range(wanted - len(self._workers))]

    def _compare(self, bits: Bits) -> None:
        """Tell of a machine on which the last bits may be others."""
        here = Bits.here()
        if bits != here and bits not in self._told:
            self._told.add(bits)
            words = " and ".join(f"{a} in place of {b}" for a, b in zip(bits, here, strict=True) if a != b)
            warn(f"A node of the Ray cluster has {words}: the last bits of a result may be others than here.")
