"""Chromium without a window, by WebDriver: https://www.w3.org/TR/webdriver2/."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND"]


def missing() -> str | None:
    """The program that is not installed."""
    return next((name for name in ("chromium", "chromedriver") if shutil.which(name) is None), None)


class Browser:
    """One window of a session."""

    def __init__(self, session: str) -> None:
        self.session = session

    def open(self, page: Path) -> None:
        request(f"{self.session}/url", {"url": page.as_uri()})

    def resize(self, width: int, height: int) -> None:
        request(f"{self.session}/window/rect", {"width": width, "height": height})

    def run(self, script: str, *arguments: Any) -> Any:
        """What the body of a function returns."""
        return request(f"{self.session}/execute/sync", {"script": script, "args": list(arguments)})

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
            yield Browser(session)
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
