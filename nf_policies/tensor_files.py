"""Files of tensors: safetensors with a JSON header. Reading one executes nothing."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nf_policies.atomic import atomic_path


class Kind(NamedTuple):
    """A kind of file: what errors call it and raise, and the header's key and version."""

    name: str
    error: type[ValueError]
    key: str
    version: int
    oldest: int
    """Versions from this one on can be read."""
    version_entry: str = "version"
    """Where the header has it."""


def write(
    path: Path, kind: Kind, header: Mapping[str, Any], tensors: Mapping[str, Tensor], *, allow_nan: bool = True
) -> None:
    """Write a header of JSON values and tensors, atomically.

    Raises: TypeError or ValueError for what JSON cannot hold; NaN and infinity are refused too unless `allow_nan`.
        OSError if the file cannot be written; what was there is kept.
    """
    text = json.dumps({kind.version_entry: kind.version, **header}, allow_nan=allow_nan)
    # Tensors that share memory cannot be stored as they are.
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(whole, temporary, metadata={kind.key: text})


def read(path: Path, kind: Kind) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `write` was given, with the version among the header's entries.

    Raises: `kind.error` if the file is missing, damaged, or of another kind or version.
    """
    if not path.is_file():
        raise kind.error(f"There is no {kind.name} at {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(kind.key)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        header = {kind.version_entry: kind.version} if text is None else json.loads(text)
        version = int(header[kind.version_entry])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise kind.error(f"{path} is not a whole {kind.name} ({type(error).__name__}: {reason}).") from error
    if text is None:
        raise kind.error(f"{path} is a safetensors file, but not a {kind.name} written by nf-policies.")
    if not kind.oldest <= version <= kind.version:
        change = "upgrade it" if version > kind.version else "use an older one"
        raise kind.error(f"{path} has version {version}, and this nf-policies reads {kind.version}: {change}.")
    return header, tensors
