"""What all tests share: the small tasks, and one thread so that the machine's cores do not change a sum."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from small_tasks import register


@pytest.fixture(scope="session", autouse=True)
def small_tasks() -> None:
    register()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
