"""Standard output and messages that may be gone: a closed terminal, a pipe that nobody reads, a full disk."""

import os
import sys
from typing import Any


class Steady:
    """A stream for messages, for which a process does not end: what cannot be written any more vanishes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop it."""
        self._try("write", text)
        return len(text)

    def flush(self) -> None:
        """Flush, if there is still somebody to read."""
        self._try("flush")

    def _try(self, method: str, *arguments: str) -> None:
        try:
            getattr(self._stream, method)(*arguments)
        except (OSError, ValueError):  # the latter of a stream that is closed
            to_nowhere(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def to_nowhere(stream: Any) -> None:
    """Let what is written to a stream vanish, lest Python fails once more when it flushes at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):
        return


def open_standard_streams() -> None:
    """Open what the caller has closed of the three standard streams, lest a file of the run gets their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 (for good)
