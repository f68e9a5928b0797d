"""Commands in forked processes, which begin at once because everything is imported before; and what a run left."""

import contextlib
import csv
import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nf_policies.cli import main

SHORT = ("--max-episode-steps", "20", "--seed", "3")
SMALL = (*SHORT, "--population", "4", "--episodes", "2")
EVOLVE = ("evolve", "CartPole-v1", "--hide-velocity", "--engine", "eager", "--generations", "30", *SMALL)
EVOLVE_GYMNASIUM = ("evolve", "CartPole-v1", "--backend", "gymnasium", "--generations", "12", *SMALL)
ROLLOUTS = ("--num-envs", "2", "--n-steps", "32", "--batch-size", "32", "--seq-len", "16", "--n-epochs", "1")
TRAIN = ("train", "CartPole-v1", "--steps", "1024", *ROLLOUTS, *SHORT)
TUNE = ("tune", "CartPole-v1", "--learner", "evolve", "--steps", "400", "--trials", "4", "--seeds", "1", *SHORT)
TUNE = (*TUNE, "--workers", "1", "--only", "sigma")
RUNS = {"evolve": EVOLVE, "evolve in Gymnasium": EVOLVE_GYMNASIUM, "train": TRAIN}
POLICIES = ("best.safetensors", "policy.safetensors")


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    """Negative after a signal that the process did not answer."""
    out: str
    messages: str
    seconds: float


class Forked:
    """A command in a process and a session of its own.

    Args:
        words: Of the command line.
        first: Called in the process before.
    """

    def __init__(self, words: Sequence[str], first: Callable[[], object] = lambda: None) -> None:
        self._logs = TemporaryDirectory()
        self._files = [os.open(f"{self._logs.name}/{name}", os.O_CREAT | os.O_WRONLY) for name in ("out", "messages")]
        self._began = time.monotonic()
        self.pid = os.fork()
        if not self.pid:
            self._run(words, first)
        for file in self._files:
            os.close(file)

    def _run(self, words: Sequence[str], first: Callable[[], object]) -> None:
        status = 1
        try:
            os.setsid()
            for number, file in zip((1, 2), self._files, strict=True):
                os.dup2(file, number)
            sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115 (for good)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            first()
            status = main(words)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stderr.flush()
            os._exit(status)

    def signal(self, number: int, after: float = 0.0) -> None:
        """Send a signal to the process and its children, so many seconds after its start."""
        time.sleep(max(self._began + after - time.monotonic(), 0))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def wait(self, seconds: float = 120) -> Ended:
        """Wait for its end; a TimeoutError if it takes longer."""
        limit = time.monotonic() + seconds
        while not (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            if time.monotonic() > limit:
                os.killpg(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise TimeoutError(f"It took more than {seconds} seconds.")
            time.sleep(0.002)
        out, messages = ((Path(self._logs.name) / name).read_text() for name in ("out", "messages"))
        self._logs.cleanup()
        took = time.monotonic() - self._began
        return Ended(os.waitstatus_to_exitcode(ended[1]), out, messages, took)


def run(words: Sequence[str], seconds: float = 120) -> Ended:
    """A command, to its end."""
    return Forked(words).wait(seconds)


def import_everything(kinds: Sequence[str] = ("evolve",)) -> None:
    """What commands import when they run, and what they compile."""
    torch.set_num_threads(1)
    nowhere = io.StringIO()
    with TemporaryDirectory() as folder, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        for kind in kinds:
            budget = "--steps" if kind == "train" else "--generations"
            main([*RUNS[kind], "--out", f"{folder}/{kind}", budget, "1"])


def rows(run_dir: Path) -> list[dict[str, str]]:
    """progress.csv without the clock."""
    with (run_dir / "progress.csv").open() as file:
        return [{k: v for k, v in row.items() if "second" not in k} for row in csv.DictReader(file)]


def shown(run_dir: Path, tag: str) -> list[int]:
    """Steps of a curve in TensorBoard."""
    return [event.step for event in EventAccumulator(str(run_dir)).Reload().Scalars(tag)]


def go_on(words: Sequence[str], out: Path) -> Ended:
    """Resume a run; one that was ended before it had a configuration is begun again in the same folder."""
    if (out / "config.json").exists():
        return run([words[0], "--resume", str(out)])
    return run([*words, "--out", str(out)])
