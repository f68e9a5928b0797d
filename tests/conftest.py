"""What all tests share: the small tasks, Ctrl-C, and one thread so that the machine's cores do not change a sum."""

import signal
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
def ctrl_c_is_heard() -> None:
    """Also where a shell started the tests in the background, which ignores it in all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
