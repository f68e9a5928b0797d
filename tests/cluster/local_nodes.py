"""Ray nodes as processes of this machine, each with a loopback address of its own, and commands that run on them."""

import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
RAY = str(Path(sys.executable).with_name("ray"))
CPUS = 2
OUR_TOKEN = secrets.token_hex(32)
"""Keeps these clusters apart from others on this machine, and others out of them."""


def environment(folder: Path) -> dict[str, str]:
    """Of processes that find this package, and the modules of a folder."""
    more = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "OMP_NUM_THREADS": "1"}
    more |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": OUR_TOKEN}
    return {**os.environ, **more, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "envs", folder)))}


class Node:
    """A node with two CPUs."""

    def __init__(self, number: int, head: str, folder: Path, variables: Mapping[str, str]) -> None:
        self.ip, self.head = f"127.0.0.{number + 1}", head  # for 127.0.0.1, Ray takes the address of the machine
        place = ["--head", f"--port={head.rpartition(':')[2]}"] if number == 1 else [f"--address={head}"]
        words = [f"--node-ip-address={self.ip}", f"--num-cpus={CPUS}", "--object-store-memory=80000000"]
        if number == 1:
            words += ["--include-dashboard=false", f"--temp-dir={folder / 'ray'}"]
        self.log = (folder / f"node-{number}.log").open("w+")
        self.process = subprocess.Popen(
            [RAY, "start", "--block", "--disable-usage-stats", *place, *words],
            env={**environment(folder), **variables}, cwd=folder, start_new_session=True,
            stdout=self.log, stderr=self.log,
        )  # fmt: skip

    def wait(self, seconds: float = 90.0) -> None:
        """Until it has started."""
        until = time.monotonic() + seconds
        while "Ray runtime started" not in Path(self.log.name).read_text():
            if self.process.poll() is not None or time.monotonic() > until:
                raise TimeoutError(f"The node {self.ip} does not start: {Path(self.log.name).read_text()[-500:]}")
            time.sleep(0.2)

    def processes(self) -> list[psutil.Process]:
        """All of the node, the first one included."""
        try:
            first = psutil.Process(self.process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def players(self) -> list[psutil.Process]:
        """Its workers that have a task."""
        return [process for process in self.processes() if "ray::Player" in name_of(process)]

    def kill(self) -> None:
        """As a power cut would."""
        if self.log.closed:
            return
        for process in self.processes():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()
        self.log.close()


def name_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def nodes(count: int, folder: Path, **variables: str) -> Iterator[list[Node]]:
    """A cluster of so many nodes; the first one is its head, and the others have further environment variables."""
    head = f"127.0.0.2:{random.randint(20_000, 30_000)}"
    running = [Node(1, head, folder, {})]
    try:
        running[0].wait()
        for number in range(2, count + 1):  # side by side they would take too long for Ray
            running.append(Node(number, head, folder, variables))
            running[-1].wait()
        yield running
    finally:
        for node in running:
            node.kill()


def command(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Begin nf-policies in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "nf_policies", *words],
        env=environment(folder), cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finished(process: subprocess.Popen[str], seconds: float = 150.0) -> tuple[int, str]:
    """The exit status of a command, and what it said."""
    try:
        out, messages = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        out, messages = process.communicate()
        raise TimeoutError(f"the command has not ended: {out}{messages}") from None
    return process.returncode, out + messages
