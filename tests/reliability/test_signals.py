"""Ctrl-C, SIGTERM and a lost terminal at any moment: a clean exit, and the way to go on.

python tests/reliability/test_signals.py --times 50    # real processes, from their first 10 ms on
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from forked import RUNS, Forked

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
ENTRY = [sys.executable, "-c", "import sys; from nf_policies.__main__ import main; sys.exit(main())"]
"""As the installed command begins."""


def wrong_with(status: int, messages: str, number: int, out: Path) -> list[str]:
    """What is wrong with how a command ended that was asked to end.

    Before Python has begun to listen, the system ends a process, without a word; shells show the same status.
    """
    if status == -number and not messages and not out.exists():
        return []
    wrong = [f"status {status}"] if status != STATUS[signal.Signals(number)] else []
    wrong += ["a traceback"] if "Traceback" in messages or "Exception ignored" in messages else []
    way_on = f"To go on: nf-policies (evolve|train) --resume {re.escape(str(out))}\n"
    if (out / "progress.csv").exists() and not re.search(way_on, messages):
        wrong.append("no way on")
    return wrong and [*wrong, messages]


@pytest.mark.skipif(os.name == "nt", reason="sends signals")
@pytest.mark.parametrize("number", STATUS, ids=lambda number: signal.Signals(number).name)
def test_a_run_that_is_asked_to_end_says_how_to_go_on(number, tmp_path) -> None:
    out, words = tmp_path / "run", (*RUNS["evolve"], "--generations", "100000")
    process = Forked([*words, "--out", str(out)])
    process.signal(number, after=random.Random(number).uniform(0.1, 1.0))
    ended = process.wait()
    assert wrong_with(ended.status, ended.messages, number, out) == []


@pytest.mark.skipif(os.name == "nt", reason="closes a pipe")
def test_a_run_whose_messages_nobody_reads_goes_on_to_its_end(tmp_path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [*RUNS["evolve"], "--generations", "2", "--out", str(tmp_path / "run")]
    ended = Forked(words, first=lambda: os.dup2(writer, 2)).wait()
    os.close(writer)
    assert ended.status == 0
    assert "saved " in ended.out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_what_cannot_be_printed_is_told() -> None:
    ended = Forked(["presets"], first=lambda: os.dup2(os.open("/dev/full", os.O_WRONLY), 1)).wait()
    assert ended.status == 1
    assert ended.messages == "nf-policies: The output cannot be written: No space left on device.\n"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends signals")
def test_real_processes_end_cleanly_from_their_imports_on(tmp_path) -> None:
    rng = random.Random(0)
    assert [fault for _ in range(8) for fault in asked_to_end(tmp_path, rng, 0.01, 5.0)[1]] == []


def asked_to_end(folder: Path, rng: random.Random, first: float, last: float) -> tuple[str, list[str]]:
    """Ask a command to end at a random moment. Returns which, and what was wrong."""
    kind, number = rng.choice(list(RUNS)), rng.choice(list(STATUS))
    moment, out = first * (last / first) ** rng.random(), folder / f"run{rng.random()}"
    words = [*ENTRY, *RUNS[kind], "--generations" if "evolve" in kind else "--steps", "1000000", "--out", str(out)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(moment)
    os.killpg(process.pid, number)
    _, messages = process.communicate(timeout=60)
    wrong = wrong_with(process.returncode, messages, number, out)
    begun = "a run" if (out / "progress.csv").exists() else "no run yet"
    return f"{kind}, {signal.Signals(number).name} after {moment:.3f} s, {begun}: {process.returncode}", wrong


def measure() -> None:
    """Print how so many commands ended, half of them in their first second."""
    parser = argparse.ArgumentParser(description=measure.__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--first", type=float, default=0.01)
    parser.add_argument("--last", type=float, default=10.0)
    given, rng, faults = parser.parse_args(), random.Random(1), 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(given.times):
            case, wrong = asked_to_end(Path(folder), rng, given.first, given.last)
            faults += bool(wrong)
            print(case, wrong or "right", flush=True)
    print(f"{given.times} asked to end, not clean {faults}")


if __name__ == "__main__":
    measure()
