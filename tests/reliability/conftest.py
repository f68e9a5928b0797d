"""What the tests of this folder share: commands in forked processes."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from forked import import_everything


@pytest.fixture(scope="session", autouse=True)
def imported() -> None:
    import_everything()
