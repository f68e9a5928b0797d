"""A run's folder belongs to one process at a time; the system gives it back when that process ends, however it ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nf_policies.runs.directory import CONFIG, RunError

try:
    import fcntl
except ImportError:  # Windows, which locks files by other calls
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
"""A file that is locked in place of its folder on Windows."""
_held: set[int] = set()


@contextmanager
def claimed(run_dir: Path, *, new: bool = False) -> Iterator[None]:
    """Keep other processes out of a run's folder; a RunError if one is writing there, or a `new` run has been there."""
    handle = _open(run_dir)
    try:
        if not _lock(handle):
            raise RunError(f"Another process is writing into {run_dir}: wait for it, or choose another folder.")
        if new and (run_dir / CONFIG).exists():  # of a process that began at the same moment
            raise RunError(f"{run_dir} holds a run already: continue it with --resume {run_dir}, or choose another.")
        _held.add(handle)
        yield
    finally:
        _held.discard(handle)
        os.close(handle)


def _open(run_dir: Path) -> int:
    try:
        if fcntl is not None:
            return os.open(run_dir, os.O_RDONLY)
        return os.open(run_dir / LOCK, os.O_CREAT | os.O_RDWR)
    except OSError as error:
        raise RunError(f"There is no run in {run_dir}: {error.strerror or error}.") from error


def _lock(handle: int) -> bool:
    """Whether nobody else has the lock. A file system without locks cannot tell."""
    if fcntl is None:
        import msvcrt

        with suppress(OSError):
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            return True
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _forget() -> None:
    """A forked process would keep the lock when the first one is killed."""
    for handle in _held:
        os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
