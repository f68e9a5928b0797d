"""Compiled code is read only from where nobody else can have put it."""

import os
import stat
from pathlib import Path

import pytest

from nf_policies.kernels.cache import OF_TORCH, keep_torchs_to_ourselves

OTHER = 12345
"""A user who is not us."""
needs_root = pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives files away")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The user's cache folder; torch's is not chosen yet."""
    monkeypatch.setenv("NF_POLICIES_CACHE", str(tmp_path))
    monkeypatch.setenv(OF_TORCH, "")
    monkeypatch.delenv(OF_TORCH)
    tmp_path.chmod(0o700)
    return tmp_path


def chosen() -> Path:
    keep_torchs_to_ourselves()
    return Path(os.environ[OF_TORCH])


def test_torch_keeps_its_code_below_the_users_own_folder(folder, monkeypatch) -> None:
    assert chosen() == folder / "torch"
    assert stat.S_IMODE((folder / "torch").stat().st_mode) == 0o700
    (folder / "torch" / "graph").write_bytes(b"ours")
    monkeypatch.delenv(OF_TORCH)
    assert chosen() == folder / "torch"


def test_a_folder_that_is_named_is_used(folder, monkeypatch) -> None:
    monkeypatch.setenv(OF_TORCH, "elsewhere")
    assert chosen() == Path("elsewhere")


def open_to_others(folder: Path) -> None:
    (folder / "torch").mkdir()
    (folder / "torch").chmod(0o777)


def link_to_elsewhere(folder: Path) -> None:
    (folder / "elsewhere").mkdir(mode=0o700)
    (folder / "torch").symlink_to(folder / "elsewhere")


def link_inside(folder: Path) -> None:
    (folder / "torch" / "a").mkdir(mode=0o700, parents=True)
    (folder / "torch").chmod(0o700)
    (folder / "torch" / "a" / "graph").symlink_to("/etc/hostname")


def of_another_owner(folder: Path) -> None:
    (folder / "torch").mkdir(mode=0o700)
    os.chown(folder / "torch", OTHER, OTHER)


def file_of_another_owner(folder: Path) -> None:
    (folder / "torch" / "a").mkdir(mode=0o700, parents=True)
    (folder / "torch").chmod(0o700)
    planted = folder / "torch" / "a" / "graph"
    planted.write_bytes(b"a pickle")
    os.chown(planted, OTHER, OTHER)


def cache_open_to_others(folder: Path) -> None:
    folder.chmod(0o777)


@pytest.mark.parametrize(
    "plant",
    [
        open_to_others,
        link_to_elsewhere,
        link_inside,
        cache_open_to_others,
        pytest.param(of_another_owner, marks=needs_root),
        pytest.param(file_of_another_owner, marks=needs_root),
    ],
)
def test_what_somebody_else_may_have_put_there_is_not_read(plant, folder, caplog) -> None:
    plant(folder)
    used = chosen()
    assert folder not in (used, *used.parents)
    assert stat.S_IMODE(used.stat().st_mode) == 0o700
    assert list(used.iterdir()) == []
    assert "What torch compiles is not kept" in caplog.text
