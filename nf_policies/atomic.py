"""Whole or not at all: files that no reader, crash or full disk sees in part, and work that no Ctrl-C cuts in two."""

import csv
import os
import signal
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it takes the place of `path` when the block succeeds.

    The temporary name keeps the suffix, because writers choose the format by it. Parent folders are made.

    Raises:
        OSError: If the folder cannot be written; `path` is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, none where there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def continue_table(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> tuple[TextIO, "csv.DictWriter[str]"]:
    """Write a CSV file with some rows atomically, and open it for more.

    Returns: The file, to flush and to close, and what writes rows into it.
    """
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as whole:
        writer = csv.DictWriter(whole, columns)
        writer.writeheader()
        writer.writerows(rows)
    file = path.open("a", newline="", encoding="utf-8")
    return file, csv.DictWriter(file, columns)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a Ctrl-C wait until what is inside is done, where it would raise KeyboardInterrupt at any place.

    For what is shared with another thread, as a queue is: half a hand-over makes both wait for ever.
    """
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    pressed: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if pressed:
            raise KeyboardInterrupt
