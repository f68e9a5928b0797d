"""Files are written whole or not at all, and what goes wrong names them."""

import os

import pytest
import torch
from safetensors.torch import save_file

from nf_policies.atomic import atomic_path, write_text


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
