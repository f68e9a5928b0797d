"""Processes as torchrun starts them, forked, so that they begin at once."""

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nf_policies.ranks import Ranks, ranks_of_torchrun


class Started:
    """Ranks of which each does the same work.

    Args:
        work: What it does; what it returns is pickled.
        size: Number of ranks.
        logs: Where the stderr of each goes, as files of its number.
    """

    def __init__(self, work: Callable[[], Any], size: int = 2, logs: Path | None = None) -> None:
        context = multiprocessing.get_context("fork")
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        self.pipes, self.processes = [], []
        for number in range(size):
            here, there = context.Pipe(duplex=False)
            known = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": size, "MASTER_PORT": port}
            process = context.Process(target=_run, args=(work, there, known, logs))
            process.start()
            there.close()
            self.pipes.append(here)
            self.processes.append(process)

    def results(self, seconds: float = 60) -> list[Any]:
        """What the work of each rank returned; None of one that was killed. A TimeoutError if one takes longer."""
        limit = time.monotonic() + seconds
        answers = []
        try:
            for pipe in self.pipes:
                if not pipe.poll(max(limit - time.monotonic(), 0)):
                    raise TimeoutError(f"A rank took more than {seconds} seconds.")
                try:
                    answers.append(pipe.recv())
                except EOFError:
                    answers.append(None)
        finally:
            for process in self.processes:
                process.join(1)
                process.kill()
        return answers


def _run(work: Callable[[], Any], pipe: Any, known: dict[str, int], logs: Path | None) -> None:
    os.setsid()
    os.environ |= {name: str(value) for name, value in known.items()} | {"MASTER_ADDR": "127.0.0.1"}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if logs is not None:
        os.dup2(os.open(logs / str(known["RANK"]), os.O_CREAT | os.O_WRONLY), 2)
        sys.stderr = open(2, "w")  # noqa: SIM115 (for good)
    pipe.send(work())


def in_ranks(work: Callable[[Ranks], Any], size: int = 2) -> list[Any]:
    """What some work returns in each of so many ranks."""

    def of_rank() -> Any:
        with ranks_of_torchrun() as ranks:
            return work(ranks)

    return Started(of_rank, size).results()
