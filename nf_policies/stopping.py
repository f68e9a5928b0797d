"""What ends a process from outside: Ctrl-C, SIGTERM, a terminal that is gone. The only file that handles signals.

Nothing slow is imported here: until `listening` begins, Python answers a Ctrl-C with a traceback.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
"""Signals that ask a process to end; Windows has the last one, other systems the third."""
SHOW_CURSOR = "\x1b[?25h"


class Stopped(KeyboardInterrupt):
    """The process was asked to end."""

    def __init__(self, number: int) -> None:
        super().__init__("Stopped." if number == signal.SIGINT else f"Stopped by {signal.Signals(number).name}.")
        self.status = 128 + number
        """What shells know such an end by: 130 after Ctrl-C, 143 after SIGTERM."""


class _Heard:
    """What this process has heard."""

    number = 0
    """Of the first signal."""
    held = 0
    """Blocks of `uninterrupted` around the main thread."""
    over = False
    """Whether all is done, and the process about to end."""
    way_on = ""
    """The command that goes on."""


@contextmanager
def listening(*, to_the_end: bool = False) -> Iterator[None]:
    """Raise `Stopped` where a signal asks the process to end, wherever the main thread is.

    At a second signal the process ends at once. So it does while a module is imported, whose code may take an exception
    for something else, and after a block that is the process's last one (`to_the_end`). Signals that are ignored, as
    nohup has it, stay so, and forked processes do not listen. Blocks may nest.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in ENDING}
        before = {number: old for number, old in handlers.items() if old not in (signal.SIG_IGN, _answer)}
    if to_the_end:
        sys.unraisablehook = _say_unless_known
    for number in before:
        signal.signal(number, _answer)
    try:
        yield
    finally:
        if to_the_end:
            _Heard.over = True
        elif before:
            for number, old in before.items():
                signal.signal(number, old)
            _Heard.number = 0


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay `Stopped` until the block is done: for files that belong together. Blocks may nest."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Heard.held += 1
    try:
        yield
    finally:
        _Heard.held -= 1
        check()


@contextmanager
def way_on(command: str) -> Iterator[None]:
    """Name the command that goes on, for whoever stops here: it is told, or a note of the exception."""
    _Heard.way_on = f"To go on: {command}"
    try:
        yield
    except BaseException as error:
        error.add_note(_Heard.way_on)
        raise
    finally:
        _Heard.way_on = ""


def check() -> None:
    """Raise `Stopped` if the process has been asked to end: code that is not ours may have swallowed it."""
    if _Heard.number and not _Heard.held:
        raise Stopped(_Heard.number)


def _answer(number: int, frame: FrameType | None) -> None:
    again, _Heard.number = bool(_Heard.number), _Heard.number or number
    if again or _Heard.over or _imports(frame):
        _leave(number)
    if not _Heard.held:
        raise Stopped(number)


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _leave(number: int) -> None:
    """End the process. Files are whole at any moment, so that nothing is lost but what is under way."""
    words = f"{Stopped(number)} {_Heard.way_on}\n" if _Heard.way_on else ""
    with suppress(OSError):  # where nobody reads
        os.write(2, ((SHOW_CURSOR if os.isatty(2) else "") + words).encode(errors="replace"))
    os._exit(128 + number)


def _say_unless_known(unraisable: "sys.UnraisableHookArgs") -> None:
    """Python cannot raise in a destructor: `check` will, and a file that cannot be closed there has been told of."""
    if not isinstance(unraisable.exc_value, Stopped | OSError):
        sys.__unraisablehook__(unraisable)


def _listen_no_more() -> None:
    for number in ENDING:
        if signal.getsignal(number) is _answer:
            signal.signal(number, signal.SIG_DFL)
    _Heard.number = _Heard.held = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_listen_no_more)
