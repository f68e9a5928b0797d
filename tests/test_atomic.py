"""Files are written whole or not at all; a Ctrl-C waits for what must not be cut in two."""

import os
import signal
import threading
from contextlib import nullcontext

import pytest
import torch
from safetensors.torch import save_file

from nf_policies.atomic import atomic_path, uninterrupted, write_text


def test_a_file_has_the_rights_that_the_umask_gives_and_nobody_sees_another_umask(tmp_path, monkeypatch) -> None:
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask is of all threads"))
        write_text(tmp_path / "file.txt", "text")
        with atomic_path(tmp_path / "file.safetensors") as temporary:
            save_file({"x": torch.zeros(1)}, temporary)
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in sorted(tmp_path.iterdir())] == [0o640, 0o640]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(TypeError), atomic_path(path) as temporary, temporary.open("w") as file:
        file.writelines(["half of the ", None])  # type: ignore[list-item]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_safetensors_cannot_write_is_an_oserror_that_names_the_file(tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(OSError, match=r"model\.safetensors cannot be written"), atomic_path(path) as temporary:
        save_file({"x": torch.zeros(1)}, temporary / "no-folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("inner", [nullcontext, uninterrupted])
def test_ctrl_c_comes_after_what_is_inside_of_blocks_that_may_nest(inner) -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            with inner():
                signal.raise_signal(signal.SIGINT)
            done.append("all")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_inside_is_told_and_leaves_ctrl_c_as_it_was() -> None:
    with pytest.raises(ValueError, match="inside"), uninterrupted():
        raise ValueError("inside")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_and_other_handlers_are_left_alone() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.default_int_handler]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with uninterrupted():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
