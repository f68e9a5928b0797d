"""What a terminal shows of a command; what it cannot show, or a terminal that is gone, does not end a run."""

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


class Tolerant:
    """A stream that drops what cannot be written: its reader is gone, its disk is full, or it cannot encode it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def replace_closed_streams() -> None:
    """Give a process that began without stdout or stderr the null device: a file of the run must not take its place."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))


def to_stderr() -> "Console":
    """Where progress and messages go: stderr."""
    from rich.console import Console

    file: Any = Tolerant(sys.stderr)
    return Console(file=file, soft_wrap=True, highlight=False)


def show(output: str) -> str:
    """Write a command's output to stdout. Returns why it cannot be written, if so; a reader may have seen enough."""
    try:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # whatever it can encode
        sys.stdout.write(output)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is still in the buffer
        if not isinstance(error, BrokenPipeError):  # `head` for one has seen enough
            return f"The output cannot be written: {error.strerror or error}."
    return ""
