"""JavaScript in Node.js."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js (the Debian package nodejs)")


def evaluate(script: str, expression: str, folder: Path, **data: Any) -> Any:
    """The value of an expression after a script, as JSON values; the data are constants."""
    constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in data.items())
    file = folder / "script.mjs"
    file.write_text(f"{script}\n{constants}process.stdout.write(JSON.stringify({expression}));\n", encoding="utf-8")
    done = subprocess.run(["node", str(file)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
