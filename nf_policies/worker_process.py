"""Processes that work for this one: they leave Ctrl-C to it, use one thread each, and end when it ends."""

import atexit
import ctypes
import multiprocessing.util  # before our own exit function: that one has to run first
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess, parent_process
from typing import Any

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
DIE_WITH_PARENT = 1
"""Linux's PR_SET_PDEATHSIG."""

_running: dict[BaseProcess, int] = {}
"""Processes that have not been ended, and the process that started them."""


def start_method() -> str:
    """How processes are started: as the caller has set it for multiprocessing; else forked on Linux, spawned elsewhere.

    Forked ones inherit what has been registered and imported, and start at once.
    """
    return multiprocessing.get_start_method(allow_none=True) or ("fork" if sys.platform == "linux" else "spawn")


def start(method: str, work: Callable[..., None], *args: Any) -> tuple[BaseProcess, Connection]:
    """Start a process that runs `work(pipe, *args)`. Returns it and the other end of its pipe."""
    context: Any = multiprocessing.get_context(method)
    here, there = context.Pipe()
    # Linux ends a process with the thread that started it, and only the main thread lasts.
    lasting = threading.current_thread() is threading.main_thread() and method != "forkserver"
    process: BaseProcess = context.Process(target=_run, args=(lasting, work, there, *args), daemon=True)
    process.start()
    there.close()
    _running[process] = os.getpid()
    return process, here


def end(process: BaseProcess) -> None:
    """End a process whatever it does, one that is stopped included."""
    if _running.pop(process, None) == os.getpid():
        process.kill()
        process.join()


@atexit.register
def _end_all() -> None:
    """End what is left: multiprocessing would ask politely, and wait for ever for a process that is stopped."""
    for process in list(_running):
        end(process)


def how_it_ended(process: BaseProcess, seconds: float = 1.0) -> str:
    """In words, of a process whose pipe is closed."""
    process.join(seconds)
    code = process.exitcode
    if code is None:
        return "closed its pipe"
    if code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


def _run(lasting: bool, work: Callable[..., None], pipe: Connection, *args: Any) -> None:
    """What a process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the first one ends the others
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whatever a forked process has inherited
    os.environ.update(dict.fromkeys(THREADS, "1"))  # torch reads them when it is imported
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if lasting and sys.platform == "linux":  # ends one that is stopped, too
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        work(pipe, *args)


def _end_with_the_parent() -> None:
    """Leave no process behind, even if the first one is killed."""
    if parent := parent_process():
        parent.join()
        os._exit(1)
