"""Processes that play runs side by side, with one thread of torch each.

Each has a pipe: runs go in; reports, of which each waits for its answer, and one outcome come out.
"""

from collections.abc import Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Self

from nf_policies.tuning.trial import Options, Outcome, Report, play
from nf_policies.worker_process import end, how_it_ended, start


@dataclass(frozen=True)
class Failure:
    """Why a run has no outcome, as a sentence."""

    reason: str


Message = Report | Outcome | Failure


def work(pipe: Connection) -> None:
    """What a process does until its pipe is closed."""
    while True:
        options, steps = pipe.recv()
        try:
            pipe.send(play(options, steps, lambda report: _answer(pipe, report)))
        except Exception as error:
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            pipe.send(Failure(kind + " ".join(str(error).split())))


def _answer(pipe: Connection, report: Report) -> bool:
    pipe.send(report)
    stop: bool = pipe.recv()
    return stop


class Workers:
    """So many processes; `with` ends them. A process that dies is replaced.

    `begin` as many runs as are `free`, and `answer` the reports among their `messages`.
    """

    def __init__(self, count: int) -> None:
        self._idle: list[tuple[BaseProcess, Connection]] = [self._new() for _ in range(count)]
        self._busy: dict[Hashable, tuple[BaseProcess, Connection]] = {}

    def _new(self) -> tuple[BaseProcess, Connection]:
        return start("spawn", work)

    @property
    def free(self) -> int:
        """How many runs can begin."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """How many runs have not come to an end."""
        return len(self._busy)

    def begin(self, key: Hashable, options: Options, steps: int) -> None:
        """Play a run in a free process."""
        process, pipe = self._idle.pop()
        self._busy[key] = process, pipe
        with suppress(OSError):  # a process that has died is found by `messages`
            pipe.send((options, steps))

    def messages(self, seconds: float | None = None) -> Iterator[tuple[Any, Message]]:
        """Wait for messages, at most so long, and give them with the keys of their runs."""
        ready = wait([pipe for _, pipe in self._busy.values()], seconds)
        for key, (process, pipe) in list(self._busy.items()):
            if pipe in ready:
                try:
                    message: Message = pipe.recv()
                except (EOFError, OSError):
                    message = Failure(f"The process of this run {how_it_ended(process)}.")
                    end(process)
                    self._busy[key] = self._new()
                if not isinstance(message, Report):
                    self._idle.append(self._busy.pop(key))
                yield key, message

    def answer(self, key: Hashable, *, stop: bool) -> None:
        """Let a run that has reported go on, or stop."""
        with suppress(OSError):
            self._busy[key][1].send(stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """End all processes, whatever they do."""
        for process, pipe in (*self._idle, *self._busy.values()):
            end(process)
            pipe.close()
