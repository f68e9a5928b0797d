"""docs/deploy.md does what it says: its commands run in order, its sketch compiles, its node and its page act."""

import re
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "deploy.md"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the commands of the page have run."""
    folder = tmp_path_factory.mktemp("deploy")
    (folder / "bin").mkdir()
    command = folder / "bin" / "nf-policies"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m nf_policies "$@"\n')
    command.chmod(0o755)
    for block in blocks("bash"):
        if "avr-gcc" in block and shutil.which("avr-gcc") is None:
            continue
        script = f"set -euo pipefail\nPATH={folder}/bin:$PATH\n{block}"
        done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


def test_the_commands_leave_the_files_of_the_table(folder) -> None:
    names = {path.name for path in (folder / "run").iterdir()}
    assert {"best.c", "best.h", "best.py", "best.js", "best.json", "best.md", "fast.c", "fast.h"} <= names
    assert "| 2 | pole_angle | rad | -0.418879 | 0.418879 |" in (folder / "run" / "best.md").read_text()


class FakeNode:
    """As much of rclpy's Node as the page's node uses."""

    published: ClassVar[list[Any]] = []
    errors: ClassVar[list[str]] = []

    def __init__(self, name: str) -> None:
        self.name = name

    def create_publisher(self, kind: Any, topic: str, depth: int) -> Any:
        return types.SimpleNamespace(publish=self.published.append)

    def create_subscription(self, *arguments: Any) -> None:
        pass

    def create_timer(self, seconds: float, call: Any) -> None:
        assert seconds == 0.02

    def get_logger(self) -> Any:
        return types.SimpleNamespace(error=self.errors.append)


def test_the_runner_and_the_ros_node_act(folder, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(folder / "run"))
    monkeypatch.delitem(sys.modules, "best", raising=False)

    def message(**fields: Any) -> Any:
        return types.SimpleNamespace(**fields)

    fakes = {
        "rclpy": types.ModuleType("rclpy"),
        "rclpy.node": types.SimpleNamespace(Node=FakeNode),
        "std_msgs": types.ModuleType("std_msgs"),
        "std_msgs.msg": types.SimpleNamespace(Float32MultiArray=message, Int32=message),
    }
    for name, module in fakes.items():
        monkeypatch.setitem(sys.modules, name, module)
    names: dict[str, Any] = {}
    for block in blocks("py"):
        exec(compile(block, str(PAGE), "exec"), names)
    assert int(names["action"][0]) in (0, 1)
    node = names["PolicyNode"]()
    node.act()
    assert FakeNode.published == []
    node.observe(message(data=[0.01, 0.0, 0.02, 0.0]))
    node.act()
    assert FakeNode.published[0].data in (0, 1)
    node.observe(message(data=[0.01, 0.0, float("nan"), 0.0]))
    node.act()
    assert FakeNode.errors == ["pole_angle is nan: the policy needs finite numbers."]


ARDUINO = """
extern "C" unsigned long micros(void);
extern "C" int analogRead(unsigned char pin);
extern "C" void digitalWrite(unsigned char pin, unsigned char value);
extern "C" void pinMode(unsigned char pin, unsigned char mode);
#define HIGH 1
#define OUTPUT 1
"""


@pytest.mark.skipif(shutil.which("avr-g++") is None, reason="gcc-avr is missing")
def test_the_sketch_compiles_for_an_arduino(folder) -> None:
    sketch = folder / "balance.cpp"
    sketch.write_text(ARDUINO + blocks("cpp")[0])
    words = ["avr-g++", "-mmcu=atmega328p", "-Os", "-Wall", "-Wextra", "-Werror", f"-I{folder / 'run'}"]
    subprocess.run([*words, "-c", sketch, "-o", folder / "sketch.o"], check=True)


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js")
def test_the_script_of_the_page_acts(folder) -> None:
    script = re.search(r"<script type=\"module\">(.*)</script>", blocks("html")[0], re.DOTALL)
    assert script is not None
    (folder / "run" / "page.mjs").write_text("const document = {};\n" + script[1] + "\nconsole.log(document.title);\n")
    done = subprocess.run(["node", "run/page.mjs"], cwd=folder, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"CartPole-v1: SimpleNeuralField, \d+ parameters: [01]\n", done.stdout)
