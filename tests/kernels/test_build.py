"""Whatever the machine is like, the compiled recurrence works or plain PyTorch does; nothing broken is loaded."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nf_policies.kernels.build import toolchain

pytestmark = pytest.mark.skipif(toolchain() is None, reason="no C++ compiler here")

PROGRAM = """
import logging, sys, torch
logging.basicConfig(level=logging.INFO, format="LOG %(message)s")
torch.set_num_threads(1)
from nf_policies import SimpleNeuralField
from nf_policies.kernels import build
g = torch.Generator().manual_seed(0)
field = SimpleNeuralField(2, 1, 2, dynamics="linear", activation="tanh", generator=g)
outputs = None
for _ in range(3):
    outputs, _ = field(torch.ones(4, 3, 2))
print("compiled" if build.library("float", 2, 2, 1, 2, 0, 1) is not None else "plain")
print(" ".join(f"{x:.5f}" for x in outputs.flatten().tolist()))
"""


def run(cache: Path, **environment: str) -> tuple[str, list[float], str]:
    """What solved it, the outputs, and the log, from a fresh process."""
    done = finish(start(cache, **environment))
    how, numbers = done.stdout.splitlines()
    return how, [float(x) for x in numbers.split()], done.stderr


def start(cache: Path, program: str = PROGRAM, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"NF_POLICIES_CACHE": str(cache), "NF_POLICIES_FUSED": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return subprocess.CompletedProcess(process.args, 0, out, err)


@pytest.fixture(scope="module")
def warm(tmp_path_factory) -> tuple[Path, list[float]]:
    """A cache with the library in it, and the right outputs."""
    cache = tmp_path_factory.mktemp("cache")
    how, outputs, log = run(cache)
    assert (how, log) == ("compiled", "")
    return cache, outputs


def libraries(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.so"))


def test_the_library_is_compiled_once_and_then_found(warm) -> None:
    cache, outputs = warm
    assert len(libraries(cache)) == 1
    assert (cache.stat().st_mode & 0o022) == 0, "nobody else may put a library there"
    how, again, _ = run(cache, CXX="/bin/false")  # another compiler: not this library
    assert (how, again) == ("plain", pytest.approx(outputs, abs=2e-5))
    before = libraries(cache)[0].stat().st_mtime_ns
    assert run(cache)[:2] == ("compiled", outputs)
    assert libraries(cache)[0].stat().st_mtime_ns == before


def test_without_a_compiler_plain_pytorch_says_so_once(warm, tmp_path) -> None:
    how, outputs, log = run(tmp_path, PATH=str(tmp_path), CXX="")
    assert how == "plain"
    assert outputs == pytest.approx(warm[1], abs=2e-5)
    assert log.count("No C++ compiler works here") == 1
    assert len(log.splitlines()) == 1


def test_it_can_be_turned_off_silently(warm, tmp_path) -> None:
    how, outputs, log = run(tmp_path, NF_POLICIES_FUSED="0")
    assert outputs == pytest.approx(warm[1], abs=2e-5)
    assert log == ""
    assert how == "compiled", "asked for directly it is still there"


def test_a_cache_that_cannot_be_written_costs_only_time(warm, tmp_path) -> None:
    (tmp_path / "file").write_text("not a folder")
    how, outputs, log = run(tmp_path / "file")
    assert (how, outputs) == ("compiled", warm[1])
    assert "are not kept" in log


def test_a_user_without_a_home_has_no_cache_and_still_a_compiled_recurrence(warm) -> None:
    program = "import pwd\npwd.getpwuid = {}.__getitem__\n" + PROGRAM
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME", "NF_POLICIES_CACHE")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.startswith("compiled"), done.stderr
    assert done.stderr.count("NF_POLICIES_CACHE") == 1


def test_nothing_is_loaded_from_a_folder_that_others_can_write(warm, tmp_path) -> None:
    good = libraries(warm[0])[0]
    planted = tmp_path / good.name
    planted.write_bytes(good.read_bytes())
    tmp_path.chmod(0o777)
    how, outputs, log = run(tmp_path)
    assert (how, outputs) == ("compiled", warm[1])
    assert "Others can write" in log
    assert libraries(tmp_path) == [planted], "nor kept there"


def with_loader(body: str) -> str:
    """The program with another `ctypes.CDLL`, whose `load` is the real one."""
    patch = f"import ctypes, os, tempfile\nload = ctypes.CDLL\ndef loader(path):\n    {body}\nctypes.CDLL = loader\n"
    return PROGRAM.replace("g = torch", patch + "g = torch", 1)


def test_a_planted_file_or_link_is_not_opened_in_ones_own_folder_either(warm, tmp_path) -> None:
    good = libraries(warm[0])[0]
    writable, link = tmp_path / good.name, tmp_path / "cache" / good.name
    writable.write_bytes(good.read_bytes())
    writable.chmod(0o666)
    link.parent.mkdir()
    link.symlink_to(good)
    program = with_loader("print(os.lstat(path).st_mode); return load(path)")
    for cache in (tmp_path, link.parent):
        *modes, how, numbers = finish(start(cache, program)).stdout.splitlines()
        assert (how, [float(x) for x in numbers.split()]) == ("compiled", warm[1])
        assert modes, "the one that was made anew"
        assert all(stat.S_ISREG(int(mode)) and not int(mode) & 0o022 for mode in modes)


def test_a_temporary_folder_without_execution_costs_nothing(warm, tmp_path) -> None:
    program = with_loader("return load('/noexec' if path.startswith(tempfile.gettempdir()) else path)")
    cache, temporary = tmp_path / "cache", tmp_path / "noexec"
    temporary.mkdir()
    how, numbers = finish(start(cache, program, TMPDIR=str(temporary))).stdout.splitlines()
    assert (how, [float(x) for x in numbers.split()]) == ("compiled", warm[1])


def test_a_compiler_that_fails_is_reported_once_and_plain_pytorch_runs(warm, tmp_path) -> None:
    compiler = tmp_path / "broken-c++"  # answers the probe, then fails
    compiler.write_text('#!/bin/sh\ncase "$*" in *-dM*) exit 0;; esac\necho "out of luck" >&2\nexit 1\n')
    compiler.chmod(0o755)
    how, outputs, log = run(tmp_path / "cache", CXX=str(compiler))
    assert (how, outputs) == ("plain", pytest.approx(warm[1], abs=2e-5))
    assert log.count("out of luck") == 1


@pytest.mark.slow
def test_a_compiler_that_makes_rubbish_is_reported_and_plain_pytorch_runs(warm, tmp_path) -> None:
    compiler = tmp_path / "rubbish-c++"
    compiler.write_text('#!/bin/sh\ncase "$*" in *-dM*) exit 0;; esac\nfor last; do :; done\necho rubbish > "$last"\n')
    compiler.chmod(0o755)
    how, outputs, log = run(tmp_path / "cache", CXX=str(compiler))
    assert (how, outputs) == ("plain", pytest.approx(warm[1], abs=2e-5))
    assert "plain PyTorch runs instead" in log


@pytest.mark.parametrize("damage", ["truncated", "other bytes"])
@pytest.mark.slow
def test_a_damaged_library_is_never_opened_but_made_anew(damage, warm, tmp_path) -> None:
    good = libraries(warm[0])[0]
    contents = good.read_bytes()
    (tmp_path / good.name).write_bytes(
        {
            "truncated": contents[: len(contents) // 2],
            "other bytes": contents[:-1] + bytes([contents[-1] ^ 1]),
        }[damage]
    )
    assert run(tmp_path)[:2] == ("compiled", warm[1])
    assert libraries(tmp_path)[0].read_bytes() != b""
    assert run(tmp_path)[:2] == ("compiled", warm[1])


def test_a_library_for_another_processor_or_compiler_is_left_alone(warm, tmp_path) -> None:
    good = libraries(warm[0])[0]
    stale = tmp_path / f"{'0' * 32}-{good.stem.split('-')[1]}.so"  # made from something else
    stale.write_bytes(b"would crash if it were opened")
    assert run(tmp_path)[:2] == ("compiled", warm[1])
    assert stale.read_bytes() == b"would crash if it were opened"


@pytest.mark.slow
def test_an_interrupted_compile_leaves_nothing_that_could_be_loaded(warm, tmp_path) -> None:
    slow = tmp_path / "slow-c++"
    slow.write_text('#!/bin/sh\ncase "$*" in *-dM*) exec g++ "$@";; esac\necho started >&2\nsleep 60\n')
    slow.chmod(0o755)
    cache = tmp_path / "cache"
    process = start(cache, CXX=str(slow))
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=6)
    process.kill()
    process.communicate()
    assert not cache.exists() or libraries(cache) == []
    (cache).mkdir(exist_ok=True)
    (cache / ".unfinished-abc").write_bytes(b"half a library")  # as a kill during the copy leaves it
    assert run(cache)[:2] == ("compiled", warm[1])


@pytest.mark.slow
def test_processes_may_compile_at_once(warm, tmp_path) -> None:
    processes = [start(tmp_path) for _ in range(4)]
    for process in processes:
        how, numbers = finish(process).stdout.splitlines()
        assert (how, [float(x) for x in numbers.split()]) == ("compiled", warm[1])
    assert all(path.name.endswith(".so") for path in tmp_path.iterdir())
