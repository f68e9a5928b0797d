"""What reading many damaged and hostile files does to a process."""

import gc
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MEGABYTES_MAX, SECONDS_MAX, CHARACTERS_MAX = 200, 1.0, 300
WATCHED = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class", "ctypes.dlopen", "import")


@dataclass
class Report:
    """What happened."""

    verdicts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """At most a line for each file."""
    seconds: float = 0.0
    """Of the slowest file, in time of the processor."""
    megabytes: float = 0.0
    """By which the process grew beyond what the good file needs."""

    def __str__(self) -> str:
        return (
            f"{dict(self.verdicts)}, slowest {self.seconds:.2f} s, {self.megabytes:.0f} MB more than a good file; "
            f"{len(self.failures)} failures" + "".join(f"\n{line}" for line in self.failures[:40])
        )


def peak() -> float:
    """Megabytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def read_all(
    files: Iterable[tuple[int, bytes]],
    place: Path,
    use: Callable[[Path], str],
    refusals: tuple[type[Exception], ...],
) -> Report:
    """Write each file to a place and use it.

    Args:
        files: With their numbers.
        place: Where each of them is written in turn; a good file is there before.
        use: Reads the file, uses what it holds, and says what came of it.
        refusals: Errors with which a file may be refused, in one short sentence.
    """
    report, seen = Report(), set[str]()
    watching = [False]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching[0] and event.startswith(WATCHED) and (event != "import" or arguments[0] not in sys.modules):
            seen.add(f"{event} {arguments[0]}")

    sys.addaudithook(watch)
    use(place)
    usual = peak()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, contents in files:
            place.write_bytes(contents)
            seen.clear()
            began, watching[0] = time.process_time(), True
            try:
                verdict = use(place)
            except refusals as error:
                verdict, text = "refused", str(error)
                if len(text) > CHARACTERS_MAX or "\n" in text:
                    report.failures.append(f"{number}: {len(text)} characters: {text[:200]!r}")
            except Exception as error:
                verdict = "crash"
                report.failures.append(f"{number}: {type(error).__name__}: {str(error)[:200]!r}")
            watching[0] = False
            seconds = time.process_time() - began
            report.verdicts[verdict] += 1
            report.seconds = max(report.seconds, seconds)
            if seconds > SECONDS_MAX:
                report.failures.append(f"{number}: {seconds:.1f} s, {verdict}")
            if peak() - usual > report.megabytes:
                report.megabytes = peak() - usual
                if report.megabytes > MEGABYTES_MAX:
                    report.failures.append(f"{number}: {report.megabytes:.0f} MB, {verdict}")
            if executed := [event for event in seen if not event.startswith("import encodings")]:
                report.failures.append(f"{number}: {executed[0]}")
            gc.collect() if number % 1000 == 0 else None
    return report
