"""What all tests share: small tasks, Ctrl-C, SB3's folders, and one thread, so that cores do not change a sum."""

import os
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
def folders_of_sb3(tmp_path_factory: pytest.TempPathFactory) -> None:
    """SB3's logger makes a folder for each training, empty ones too, and would leave them in the system's."""
    os.environ["SB3_LOGDIR"] = str(tmp_path_factory.mktemp("sb3"))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
