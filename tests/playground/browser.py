"""Chromium without a window, by WebDriver: https://www.w3.org/TR/webdriver2/."""

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ARGUMENTS = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND"]


def missing() -> str | None:
    """The program that is not installed."""
    return next((name for name in ("chromium", "chromedriver") if shutil.which(name) is None), None)


class Browser:
    """One window of a session."""

    def __init__(self, session: str, driver: int) -> None:
        self.session, self.driver = session, driver

    def processor_seconds(self) -> float:
        """What all processes of the browser have used."""
        parents, ticks = {}, {}
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended
                entries = file.read_text().rpartition(")")[2].split()
                parents[int(file.parent.name)] = int(entries[1])
                ticks[int(file.parent.name)] = int(entries[11]) + int(entries[12])
        own = {self.driver}
        for _ in range(5):  # generations of processes
            own |= {pid for pid, parent in parents.items() if parent in own}
        return sum(ticks.get(pid, 0) for pid in own) / os.sysconf("SC_CLK_TCK")

    def open(self, page: Path) -> None:
        request(f"{self.session}/url", {"url": page.as_uri()})

    def resize(self, width: int, height: int) -> None:
        request(f"{self.session}/window/rect", {"width": width, "height": height})

    def run(self, script: str, *arguments: Any) -> Any:
        """What the body of a function returns."""
        return request(f"{self.session}/execute/sync", {"script": script, "args": list(arguments)})

    def hold(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the pointer at one pixel of the window, move it to another, and keep it pressed."""
        moves = [{"type": "pointerMove", "duration": 50, "x": round(x), "y": round(y)} for x, y in (start, end)]
        actions = [moves[0], {"type": "pointerDown", "button": 0}, moves[1]]
        pointer = {"type": "pointer", "id": "mouse", "actions": actions}
        request(f"{self.session}/actions", {"actions": [pointer]})

    def release(self) -> None:
        """Let go."""
        request(f"{self.session}/actions", method="DELETE")

    def picture(self) -> bytes:
        """PNG."""
        return base64.b64decode(request(f"{self.session}/screenshot"))

    def errors(self) -> list[str]:
        """What the console has said since the last call."""
        return [entry["message"] for entry in request(f"{self.session}/se/log", {"type": "browser"})]


def request(url: str, body: Any = None, method: str | None = None) -> Any:
    """A WebDriver command's value."""
    data = None if body is None else json.dumps(body).encode()
    call = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(call, timeout=60) as answer:
        return json.load(answer)["value"]


@contextmanager
def browser(width: int = 1240, height: int = 900) -> Iterator[Browser]:
    """A session that ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for(port)
        options = {"args": [*ARGUMENTS, f"--window-size={width},{height}"]}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        made = request(f"http://127.0.0.1:{port}/session", {"capabilities": wanted})
        session = f"http://127.0.0.1:{port}/session/{made['sessionId']}"
        try:
            yield Browser(session, driver.pid)
        finally:
            request(session, method="DELETE")
    finally:
        driver.terminate()
        driver.wait(10)


def wait_for(port: int, seconds: float = 20) -> None:
    """Until something listens."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"Nothing listens on port {port}.")
