"""Curves for TensorBoard: a file of events, written without a thread that could fail or wait on its own."""

import itertools
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from nf_policies.atomic import writing

VERSION = "brain.Event:2"
PREFIX = "events.out.tfevents."
_numbers = itertools.count()


class EventFile:
    """Appends values of curves; each record is in the file when `write` returns.

    Args:
        run_dir: Where TensorBoard looks for it.
        first_step: What earlier files hold from this step on is made again, and no longer shown.
    Raises: OSError, which names the file, here and from `write`.
    """

    def __init__(self, run_dir: Path, first_step: int) -> None:
        self._path = run_dir / f"{PREFIX}{_second(run_dir):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        with writing(self._path):
            self._file = self._path.open("wb")
        self._records = RecordWriter(self._file)
        self._append(file_version=VERSION)
        self._append(step=first_step, session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append the values at a step, by their tags."""
        curves = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._append(step=step, summary=Summary(value=curves))

    def _append(self, **entries: Any) -> None:
        with writing(self._path):
            self._records.write(Event(wall_time=time.time(), **entries).SerializeToString())
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):  # half a record, for which there was no room
            self._file.close()


def _second(run_dir: Path) -> int:
    """A second for a file's name: now, but later than that of every file there, as they are read in this order."""
    seconds = (path.name.removeprefix(PREFIX).split(".")[0] for path in run_dir.glob(f"{PREFIX}*"))
    return max([int(time.time()), *(int(second) + 1 for second in seconds if second.isdecimal())])
