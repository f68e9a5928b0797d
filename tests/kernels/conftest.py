"""The folder's own helpers are importable from its tests, and short sequences are fused too."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def fuse_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NF_POLICIES_FUSED", "1")
