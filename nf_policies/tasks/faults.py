"""Whose error it is: that of a task's own code, with its file and line, or one of nf-policies."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

OURS = {"nf_policies", "nf_envs"}
LIBRARIES = {"gymnasium", "numpy", "torch", "stable_baselines3", *sys.stdlib_module_names}
"""Packages through which a task is called, and which it calls."""
INSTALLED = {"site-packages", "dist-packages"}


class TaskError(ValueError):
    """A task that cannot be made or used; the message says which and what would work."""


@contextmanager
def errors_of(task: str) -> Iterator[None]:
    """Turn what a task's own code raises into a TaskError that names the task, the file and the line."""
    try:
        yield
    except TaskError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if place := place_of(error):
            told = TaskError(f"{task} fails with {what} ({place}; NF_POLICIES_DEBUG=1 shows the traceback).")
        elif _through_gymnasium(error):
            told = TaskError(f"{task} does not answer as Gymnasium asks: {what} (NF_POLICIES_DEBUG=1 shows where).")
        else:
            raise
        told.__notes__ = [*getattr(error, "__notes__", ())]
        raise told from error


def place_of(error: BaseException) -> str:
    """File, line and function of another's code that nf-policies called and that failed; empty if there is none.

    That is the innermost of the user's own files, or else of an installed package.
    """
    below = _below_ours(error)
    theirs = [(frame, line) for frame, line in below if _package(frame) not in LIBRARIES]
    if below and not theirs and error.__cause__ is not None:  # which a library has told in its own words
        return place_of(error.__cause__)
    own = [(frame, line) for frame, line in theirs if not INSTALLED & {*Path(frame.f_code.co_filename).parts}]
    if not theirs:
        return ""
    frame, line = (own or theirs)[-1]
    return f"{frame.f_code.co_filename}, line {line}, in {frame.f_code.co_name}"


def _below_ours(error: BaseException) -> list[tuple[FrameType, int]]:
    """The frames below the last one of nf-policies, each with its line."""
    frames = list(traceback.walk_tb(error.__traceback__))
    last = max((i for i, (frame, _) in enumerate(frames) if _package(frame) in OURS), default=-1)
    return frames[last + 1 :]


def _through_gymnasium(error: BaseException) -> bool:
    """Whether an error was raised in Gymnasium's step or reset, which take apart what a task answers."""
    below = _below_ours(error)
    return bool(below) and _package(below[-1][0]) == "gymnasium" and below[-1][0].f_code.co_name in ("step", "reset")


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
