"""Compile the recurrence for one shape with the machine's own C++ compiler, once per user.

A finished library is named after its sources, its compiler and its own contents, and appears in the cache by a single
rename. So an interrupted compile leaves nothing that could be loaded, two processes may compile at once, and a library
that is damaged, or was made by another compiler or for another processor, is never opened.
"""

import ctypes
import functools
import hashlib
import logging
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from nf_policies.kernels.cache import cache_folder, only_ours

logger = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("recurrence.cpp")
HEADERS = tuple(SOURCE.with_name(f"{name}.h") for name in ("vectors", "memory", "forward", "backward"))
FLAGS = (
    *("-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros"),
    *("-fPIC", "-shared"),
)
NATIVE: tuple[list[str], ...] = (["-march=native"], ["-mcpu=native"], [])
THREADS: tuple[list[str], ...] = (["-fopenmp"], [])
DEFINED = ("REAL", "HIDDEN", "INPUTS", "OUTPUTS", "POWER", "TERMS", "TANH")
"""What a library is compiled for, see `recurrence.cpp`."""
TIMEOUT = 300
"""Seconds after which a compiler is given up."""


class Library:
    """The functions of one compiled library, each of which takes the address of a `cpu.Call`.

    Attributes:
        packed_bytes: Work memory for one candidate's parameters.
    """

    def __init__(self, path: Path) -> None:
        functions = ctypes.CDLL(str(path))  # stays open when its file is gone
        functions.packed_size.restype = ctypes.c_int64
        self.packed_bytes = int(functions.packed_size())
        self.prepare, self.forward, self.backward = functions.prepare, functions.forward, functions.backward
        for function in (self.prepare, self.forward, self.backward):
            function.argtypes, function.restype = [ctypes.c_void_p], None


@functools.cache
def toolchain() -> tuple[tuple[str, ...], str] | None:
    """A compiler that works, in `CXX` or on the path, and what it says of itself and of the processor it compiles for.

    None, and a word in the log, if none works.
    """
    named = os.environ.get("CXX")
    candidates = [shlex.split(named)] if named else [["g++"], ["clang++"], ["c++"]]
    for command in candidates if os.name == "posix" else []:
        for native in NATIVE if command and shutil.which(command[0]) else []:
            arguments = [*command, *FLAGS, *native]
            probe = run([*arguments, "-x", "c++", "-dM", "-E", os.devnull])
            if probe is not None and probe.returncode == 0:
                return tuple(arguments), probe.stdout
    logger.warning(
        "No C++ compiler works here (%s), so neural fields run in plain PyTorch, slower. Install g++ or clang++, or "
        "name one in CXX. NF_POLICIES_FUSED=0 says that this is meant.",
        f"CXX={named}" if named else "g++ and clang++ were looked for",
    )
    return None


@functools.cache
def library(*shape: str | int) -> Library | None:
    """The compiled recurrence for a shape, from the cache or made now; None, and a word in the log, if it cannot be.

    Args:
        shape: The values of `DEFINED`.
    """
    tools = toolchain()
    if tools is None:
        return None
    command, _ = tools
    definitions = [f"-D{name}={value}" for name, value in zip(DEFINED, shape, strict=True)]
    texts = (path.read_text(encoding="utf-8") for path in (SOURCE, *HEADERS))
    key = digest(repr((*texts, *tools, *definitions)).encode())
    found = from_cache(key)
    if found is not None:
        return found
    try:
        with tempfile.TemporaryDirectory(prefix="nf-policies-") as folder:
            made = compile_library([*command, *definitions], Path(folder) / "recurrence.so")
            keep(made, key)
            return from_cache(key) or Library(made)  # a temporary folder may forbid execution
    except (OSError, RuntimeError) as error:
        logger.warning("The compiled recurrence is not used, plain PyTorch runs instead, slower: %s", error)
        return None


def from_cache(key: str) -> Library | None:
    """The library made from what `key` stands for, if the cache has one that is undamaged and only the user's."""
    try:
        paths = sorted(cache_folder().glob(f"{key}-*.so"))
    except OSError:  # reported when the library is to be kept
        return None
    for path in paths:
        try:
            status = path.lstat()
            if not (stat.S_ISREG(status.st_mode) and only_ours(status)):
                continue
            if path.name == finished_name(key, path):
                return Library(path)
            path.unlink()
        except OSError:
            continue
    return None


def keep(made: Path, key: str) -> None:
    """Put a library into the cache, if that can be written; it appears there complete or not at all."""
    try:
        folder = cache_folder()
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as own:
            copy = shutil.copyfile(made, Path(own) / finished_name(key, made))
            copy.chmod(0o600)
            copy.replace(folder / copy.name)
    except OSError as error:
        logger.warning("Compiled recurrences are not kept, so each run waits for the compiler: %s", error)


def finished_name(key: str, path: Path) -> str:
    """What a library is called in the cache: what it was made from, and a digest of its bytes."""
    return f"{key}-{digest(path.read_bytes())}.so"


def digest(contents: bytes) -> str:
    """Half of SHA-256, in hexadecimal digits."""
    return hashlib.sha256(contents).hexdigest()[:32]


def compile_library(command: list[str], target: Path) -> Path:
    """Compile, with threads if the compiler has OpenMP.

    Raises: RuntimeError with the compiler's own words if it fails.
    """
    for threads in THREADS:
        result = run([*command, *threads, str(SOURCE), "-o", str(target)])
        if result is not None and result.returncode == 0:
            return target
    words = "it took too long or could not be started" if result is None else result.stderr.strip()[-2000:]
    raise RuntimeError(f"{command[0]} failed: {words}")


def run(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    """Run a compiler and wait; None if it does not start or does not end."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return None
