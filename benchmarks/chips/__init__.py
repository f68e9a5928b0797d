"""Exported C on emulated chips: an Arduino Uno in simavr, and a Cortex-M4 in qemu.

Debian's packages gcc-avr, avr-libc, simavr, libsimavr-dev and libelf-dev bring the first; gcc-arm-none-eabi,
libnewlib-arm-none-eabi and qemu-system-arm the second.
"""

import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

HERE = Path(__file__).parent
SMALL = ("-std=c99", "-Os", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")
AVR = ("avr-gcc", "-mmcu=atmega328p", "-mrelax", "-flto", *SMALL)
M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "--specs=nano.specs")
ARM = ("arm-none-eabi-gcc", *M4, *SMALL)
ON_BOARD = ("-nostartfiles", f"-T{HERE / 'cortex.ld'}")


class Size(NamedTuple):
    """Bytes of a program: in flash, and of memory that is taken all the time."""

    flash: int
    data: int


def missing(chip: str) -> str:
    """Why a chip, "uno" or "cortex", cannot be emulated here; nothing where it can."""
    needed = {"uno": ("avr-gcc", "cc", "simavr"), "cortex": ("arm-none-eabi-gcc", "qemu-system-arm")}[chip]
    absent = [name for name in needed if shutil.which(name) is None]
    if chip == "uno" and not absent and not Path("/usr/include/simavr/sim_avr.h").exists():
        absent = ["libsimavr-dev"]
    return f"{', '.join(absent)} missing" if absent else ""


def compiler(chip: str) -> tuple[str, ...]:
    """The words of a chip's compiler."""
    return AVR if chip == "uno" else ARM


def size_of(chip: str, source: Path, folder: Path) -> Size:
    """What the smallest program around a policy takes on a chip."""
    program = folder / f"smallest_{chip}.elf"
    board = ("-nostartfiles", "-Wl,-emain") if chip == "cortex" else ()
    run([*compiler(chip), *board, f"-I{source.parent}", HERE / "smallest.c", source, "-o", program, "-lm"])
    text, data, bss = run([f"{compiler(chip)[0].removesuffix('gcc')}size", program]).splitlines()[1].split()[:3]
    return Size(int(text) + int(data), int(data) + int(bss))


def run(words: list[Any]) -> str:
    """What a program prints; a RuntimeError with what it complains about."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


class Chip:
    """An emulated chip that acts: `step` sends an observation and waits for the action.

    Args:
        name: "uno" or "cortex".
        source: The exported policy.c.
        folder: For what is built.
        card: Of the policy.
    """

    def __init__(self, name: str, source: Path, folder: Path, card: dict[str, Any]) -> None:
        self.size, whole = (
            len(card["observation"]["entries"]),
            "int policy_action" in source.with_suffix(".h").read_text(),
        )
        number = ("h" if name == "uno" else "i") if whole else "f"
        self.answer = f"<{len(card['action']['entries'])}{number}I"
        program = folder / f"{name}.elf"
        board = ON_BOARD if name == "cortex" else ()
        run([*compiler(name), *board, f"-I{source.parent}", HERE / f"{name}.c", source, "-o", program, "-lm"])
        bytes_in, bytes_out = 1 + 4 * self.size, struct.calcsize(self.answer)
        if name == "uno":
            host = folder / "uno_host"
            run(["cc", "-O2", HERE / "uno_host.c", "-o", host, "-lsimavr", "-lelf"])
            words = [str(host), str(program), str(bytes_in), str(bytes_out)]
            self.process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            self.to, self.of = self.process.stdin, self.process.stdout
            return
        pipes = [folder / "to_chip", folder / "from_chip"]
        for pipe in pipes:
            os.mkfifo(pipe)
        machine = [
            "-machine",
            "mps2-an386",
            "-icount",
            "shift=0",
            "-display",
            "none",
            "-monitor",
            "none",
            "-serial",
            "none",
        ]
        words = ["qemu-system-arm", *machine, "-semihosting-config", "enable=on,target=native", "-kernel", str(program)]
        self.process = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL)
        self.to, self.of = pipes[0].open("wb"), pipes[1].open("rb")

    def step(self, observation: Any, start: int = 0) -> tuple[np.ndarray, int]:
        """The action, laid flat, and cycles of the step (on the Cortex, ticks of 40 instructions)."""
        assert self.to is not None
        assert self.of is not None
        seen = np.asarray(observation, np.float32).reshape(-1)
        self.to.write(bytes([start]) + seen.tobytes())
        self.to.flush()
        *action, took = struct.unpack(self.answer, self.of.read(struct.calcsize(self.answer)))
        return np.array(action), took

    def check(self) -> int:
        """The self-test on the chip: how many steps are wrong."""
        return self.step(np.zeros(self.size), start=2)[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self.to is not None
        self.to.close()
        self.process.kill()
        self.process.wait()
        if self.of is not None:
            self.of.close()
