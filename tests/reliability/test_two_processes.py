"""A folder belongs to one process: whoever comes second is refused while the first lives."""

import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from forked import RUNS, Forked

from nf_policies import atomic
from nf_policies.runs import lock
from nf_policies.runs.directory import RunError
from nf_policies.runs.lock import LOCK, claimed


def begun(out: Path) -> None:
    """Wait until a run has its first row."""
    table = out / "progress.csv"
    limit = time.monotonic() + 60
    while time.monotonic() < limit and not (table.exists() and table.read_text().count("\n") > 1):
        time.sleep(0.01)


def test_of_runs_in_one_folder_one_lives_and_the_others_are_refused(tmp_path) -> None:
    out, words = tmp_path / "run", [*RUNS["evolve"], "--generations", "100000", "--out", str(tmp_path / "run")]
    together = [Forked(words) for _ in range(4)]
    begun(out)
    resumes = [Forked(["evolve", "--resume", str(out)]) for _ in range(2)]
    refused = [resume.wait() for resume in resumes]
    for process in together:
        process.signal(signal.SIGTERM)
    *others, last = sorted([process.wait() for process in together], key=lambda ended: ended.status)
    assert last.status == 143
    for ended in (*refused, *others):
        assert ended.status == 1
        assert "Another process is writing into" in ended.messages or "holds a run already" in ended.messages
    assert "Traceback" not in "".join(ended.messages for ended in (last, *refused, *others))


def test_a_run_that_was_there_in_the_meantime_is_not_overwritten(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RunError, match="holds a run already"), claimed(tmp_path, new=True):
        pass
    with claimed(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_a_process_has_forked_does_not_keep_its_folder(tmp_path) -> None:
    reader, writer = os.pipe()
    with claimed(tmp_path):
        child = os.fork()
        if not child:
            os.write(writer, b"forked")
            time.sleep(60)
            os._exit(0)
    os.read(reader, 6)
    with claimed(tmp_path):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_windows_locks_a_file_in_the_folder(tmp_path, monkeypatch) -> None:
    locked: set[str] = set()

    def locking(handle: int, mode: int, n_bytes: int) -> None:
        assert (mode, n_bytes) == (2, 1)
        if LOCK in locked:
            raise PermissionError(13, "Permission denied")
        locked.add(LOCK)

    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=locking))
    with claimed(tmp_path):
        assert (tmp_path / LOCK).exists()
        with pytest.raises(RunError, match="Another process is writing"), claimed(tmp_path):
            pass


def test_windows_waits_for_a_file_that_somebody_reads(tmp_path, monkeypatch) -> None:
    replace, tries = Path.replace, []

    def busy(self: Path, target: Path) -> Path:
        tries.append(target)
        if len(tries) < 3:
            raise PermissionError(13, "The process cannot access the file")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", busy)
    monkeypatch.setattr(atomic, "PAUSES", (0.0, 0.0, 0.0))
    with atomic.atomic_path(tmp_path / "file.txt") as temporary:
        temporary.write_text("new")
    assert ((tmp_path / "file.txt").read_text(), len(tries)) == ("new", 3)
