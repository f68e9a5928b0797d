"""Where compiled code is kept. What lies there is executed, so nobody but the user may write there."""

import atexit
import logging
import os
import shutil
import stat
import tempfile
from pathlib import Path

logger = logging.getLogger(__name__)

OF_TORCH = "TORCHINDUCTOR_CACHE_DIR"


def only_ours(status: os.stat_result) -> bool:
    """Whether nobody but the user (or root) can write a file or folder: what lies there is executed."""
    return status.st_uid in (0, os.getuid()) and not status.st_mode & 0o022


def cache_folder() -> Path:
    """Where libraries are kept: `NF_POLICIES_CACHE`, or nf-policies in the user's cache folder; made if need be.

    Raises: OSError if there is none that is the user's (or root's) alone to write.
    """
    own = os.environ.get("NF_POLICIES_CACHE")
    try:
        folder = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nf-policies"
    except RuntimeError as error:  # a container's user without a home
        raise OSError(f"{error} Name a folder in NF_POLICIES_CACHE.") from error
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not only_ours(folder.stat()):
        raise OSError(
            f"Others can write into {folder}: make it yours alone (chmod 700), or name another one in "
            "NF_POLICIES_CACHE."
        )
    return folder


def keep_torchs_to_ourselves() -> None:
    """Let torch.compile keep its code below `cache_folder`, unless `TORCHINDUCTOR_CACHE_DIR` names a place.

    By default it is a folder in the temporary one, which anybody can make first, and torch reads pickles and opens
    libraries there. Where ours is not the user's alone, what is compiled lasts for this process only, after a word in
    the log.
    """
    if OF_TORCH in os.environ or os.name != "posix":  # elsewhere the temporary folder is the user's own
        return
    try:
        folder = cache_folder() / "torch"
        folder.mkdir(exist_ok=True, mode=0o700)
        if other := next(iter(foreign(folder)), None):
            raise OSError(f"{other} may be somebody else's: remove {folder}")
    except OSError as error:
        logger.warning("What torch compiles is not kept, so each run waits for the compiler: %s", error)
        folder = Path(tempfile.mkdtemp(prefix="nf-policies-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[OF_TORCH] = str(folder)


def foreign(folder: Path) -> list[Path]:
    """What somebody else may have put there: the folder where it is open to others, links, and what others own."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        return [folder]
    found = [Path(parent) / name for parent, folders, files in os.walk(folder) for name in (*folders, *files)]
    return [path for path in found if stat.S_ISLNK(path.lstat().st_mode) or path.lstat().st_uid != os.getuid()]
