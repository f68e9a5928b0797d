"""A disk that is full or a limit on the size of files ends a run with a sentence; what was there stays, and goes on.

python tests/reliability/test_full_disk.py    # on a small file system of its own, as root
"""

import contextlib
import csv
import errno
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked import RUNS, TUNE, Ended, Forked, go_on, import_everything, rows, run

from nf_policies import Policy
from nf_policies.atomic import atomic_path
from nf_policies.runs.progress import Progress

KILOBYTES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)


def told_in_a_sentence(ended: Ended, out: Path) -> list[str]:
    """What is wrong with how a command ended that could not write a file."""
    wrong = [f"status {ended.status}"] if ended.status != 1 else []
    wrong += ["a traceback"] if "Traceback" in ended.messages or "Exception" in ended.messages else []
    sentences = [line for line in ended.messages.splitlines() if line.startswith("nf-policies: ")]
    wrong += [f"{len(sentences)} sentences"] if len(sentences) != 1 else []
    way_on = (out / "config.json").exists()
    wrong += ["no way on"] if way_on and f"--resume {out}" not in ended.messages else []
    return wrong and [*wrong, ended.messages]


def limited(kilobytes: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * kilobytes, 1024 * kilobytes))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("kilobytes", [1, pytest.param(16, marks=pytest.mark.slow)])
def test_a_limit_on_the_size_of_files_is_told_and_the_run_goes_on_without_it(kilobytes, tmp_path) -> None:
    out, words = tmp_path / "run", RUNS["evolve"]
    ended = Forked([*words, "--out", str(out)], first=lambda: limited(kilobytes)).wait()
    assert told_in_a_sentence(ended, out) == []
    assert go_on(words, out).status == 0
    assert [int(row["generation"]) for row in rows(out)] == list(range(1, 31))
    Policy.load(out / "best.safetensors")


def test_a_file_that_cannot_be_written_is_named_and_the_old_one_stays(tmp_path, monkeypatch) -> None:
    path = tmp_path / "file.bin"
    path.write_text("old")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for call in ("open", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(f"nf_policies.atomic.os.{call}", full)
            reason = pytest.raises(OSError, match=r"file\.bin cannot be written: No space left on device")
            with reason, atomic_path(path) as temporary:
                temporary.write_text("new")
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


class Learner:
    """Columns of a table."""

    kind = "test"
    columns = ("step", "value")
    tags: dict[str, str] = {}  # noqa: RUF012


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_row_for_which_there_is_no_room_is_told_once_and_closing_tells_nothing_more(tmp_path) -> None:
    progress = Progress(tmp_path, Learner())
    progress._file.close()
    progress._file = open("/dev/full", "w")  # noqa: SIM115 (closed below)
    progress._csv.writer = csv.writer(progress._file)
    with pytest.raises(OSError, match=r"progress\.csv cannot be written: No space left on device"):
        progress.write({"step": 1, "value": 2.0})
    progress.close()


@contextlib.contextmanager
def small_disk(kilobytes: int) -> Iterator[Path]:
    """A file system with so much room, for root on Linux."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes + 8}k", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def on_a_full_disk(words: tuple[str, ...], kilobytes: int) -> list[str]:
    """Run a command with so much room, then resume it with more. Returns what was wrong."""
    with small_disk(kilobytes) as disk:
        out = disk / "run"
        ended = run([*words, "--out", str(out)])
        wrong = told_in_a_sentence(ended, out) if ended.status else []
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        resumed = go_on(words, out) if ended.status else ended
        wrong += [f"not resumed: {resumed.messages}"] if resumed.status else []
        print(f"{words[0]}, {kilobytes} kB: status {ended.status} after {ended.seconds:.1f} s, {wrong or 'right'}")
        print(f"  {ended.messages.splitlines()[-1:]}", flush=True)
        return wrong


if __name__ == "__main__":
    import_everything(list(RUNS))
    chosen = [int(word) for word in sys.argv[1:]] or KILOBYTES
    for size in chosen:
        for command in (*RUNS.values(), TUNE):
            on_a_full_disk(command, size)
