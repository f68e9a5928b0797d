"""A run that is killed at any moment is resumed without a loss.

python tests/reliability/test_kills.py --times 50    # of each kind
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from forked import POLICIES, RUNS, TUNE, Forked, go_on, import_everything, rows, run, shown

from nf_policies.runs.directory import read_config

SECONDS = 0.1
"""Between checkpoints, so that there are many of them."""


def killed_and_resumed(kind: str, folder: Path, times: int, rng: random.Random) -> list[str]:
    """Kill a run `times` at random moments, each time from its start, and resume it. Returns what was wrong."""
    words, whole = RUNS[kind], folder / "whole"
    reference = run([*words, "--out", str(whole)])
    assert reference.status == 0, reference.messages
    wrong = []
    for number in range(times):
        out, moment = folder / f"run{number}", rng.uniform(0, reference.seconds)
        process = Forked([*words, "--out", str(out)])
        process.signal(signal.SIGKILL, after=moment)
        process.wait()
        resumed = go_on(words, out)
        faults = [resumed.messages] if resumed.status else differences(kind, whole, out)
        wrong += [f"{kind}, killed after {moment:.3f} s: {fault}" for fault in faults]
        shutil.rmtree(out)
    return wrong


def differences(kind: str, whole: Path, parts: Path) -> list[str]:
    """What a resumed run has that the uninterrupted one has not. A training continues with other episodes."""
    found = []
    counted = "env_steps" if kind == "train" else "generation"
    counts = [[int(row[counted]) for row in rows(folder)] for folder in (whole, parts)]
    if counts[0] != counts[1]:
        found.append(f"rows {counts[1]} instead of {counts[0]}")
    tag = "train/value_loss" if kind == "train" else "evolution/sigma"
    if shown(parts, tag) != counts[0]:
        found.append(f"TensorBoard shows {shown(parts, tag)} instead of {counts[0]}")
    if kind != "train":
        exact = (*POLICIES, "checkpoint/checkpoint.safetensors")
        found += [f"another {name}" for name in exact if (whole / name).read_bytes() != (parts / name).read_bytes()]
        found += ["other rows"] if rows(whole) != rows(parts) else []
    left = [path.name for path in [*parts.iterdir(), *(parts / "checkpoint").iterdir()] if path.name[0] == "."]
    return found + ([f"left over: {left}"] if left else [])


def searches_killed(folder: Path, times: int, rng: random.Random) -> list[str]:
    """The same for searches of settings: each trial is in the study once."""
    from nf_policies.tuning.study import Study

    wrong, words = [], TUNE
    reference = run([*words, "--out", str(folder / "whole")])
    assert reference.status == 0, reference.messages
    for number in range(times):
        out, moment = folder / f"search{number}", rng.uniform(0, reference.seconds)
        process = Forked([*words, "--out", str(out)])
        process.signal(signal.SIGKILL, after=moment)
        process.wait()
        resumed = go_on(words, out)
        ended = len(Study.open(out).trials("COMPLETE", "PRUNED", "FAIL")) if resumed.status == 0 else 0
        if resumed.status or ended != 4 or read_config(out)["trials"] != 4:
            wrong.append(f"tune, killed after {moment:.3f} s: {ended} trials; {resumed.messages}")
        shutil.rmtree(out)
    return wrong


def test_a_killed_run_is_resumed_without_a_loss(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("nf_policies.runs.session.CHECKPOINT_SECONDS", SECONDS)
    assert killed_and_resumed("evolve", tmp_path, 1, random.Random(0)) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", RUNS)
def test_runs_killed_at_many_moments_are_resumed_without_a_loss(kind, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("nf_policies.runs.session.CHECKPOINT_SECONDS", SECONDS)
    assert killed_and_resumed(kind, tmp_path, 6, random.Random(1)) == []


@pytest.mark.slow
def test_a_killed_search_is_resumed_without_a_loss(tmp_path) -> None:
    pytest.importorskip("optuna")
    assert searches_killed(tmp_path, 2, random.Random(1)) == []


def measure(arguments: Sequence[str]) -> None:
    """Kill so many of each kind and print what was wrong."""
    from nf_policies.runs import session

    parser = argparse.ArgumentParser(description=measure.__doc__)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--searches", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    session.CHECKPOINT_SECONDS = SECONDS
    import_everything(list(RUNS))
    for kind in [*RUNS, "tune"]:
        with tempfile.TemporaryDirectory() as folder:
            rng = random.Random(f"{kind} {given.seed}")
            if kind == "tune":
                times, wrong = given.searches, searches_killed(Path(folder), given.searches, rng)
            else:
                times, wrong = given.times, killed_and_resumed(kind, Path(folder), given.times, rng)
        print(f"{kind}: killed {times}, not resumed without a loss {len(wrong)}", *wrong, sep="\n  ", flush=True)


if __name__ == "__main__":
    measure(sys.argv[1:])
