"""All or nothing: files that no crash and no full disk leaves in part."""

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nf_policies.wording import in_short

LEFTOVER = re.compile(r"\..+-[0-9a-f]{8}(\.\w+)?")
"""Names of temporary files."""
PAUSES = (0.02, 0.1, 0.5, 1.0) if os.name == "nt" else ()
"""Seconds between attempts to replace a file that somebody reads, which Windows refuses."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file in an OSError of the block, in which it is written; safetensors has an error of its own."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__name__ != "SafetensorError":
            raise
        reason = getattr(error, "strerror", None) or in_short(error, 200)
        raise OSError(f"{path} cannot be written: {reason}") from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that takes the place of `path` when the block succeeds; if not, `path` stays as it was.

    The temporary name keeps the suffix, because writers choose the format by it. Parent folders are made.

    Raises: OSError naming `path` if it cannot be written.
    """
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The system applies the umask here; reading it would change it for a moment, for all threads.
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        mode = os.fstat(handle).st_mode & 0o777
        os.close(handle)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(mode)  # some writers make a new file
            _replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _replace(temporary: Path, path: Path) -> None:
    for pause in PAUSES:
        try:
            temporary.replace(path)
            return
        except PermissionError:
            time.sleep(pause)
    temporary.replace(path)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of a process that was killed while it wrote."""
    for file in folder.glob(".*"):
        if LEFTOVER.fullmatch(file.name):
            file.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
