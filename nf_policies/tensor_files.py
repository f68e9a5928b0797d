"""Files of tensors: safetensors with a JSON header. Reading one executes nothing and trusts nothing.

Sizes are those of the file's own bytes, dtypes are those that `write` writes, the header is of the kind's schema, and a
digest tells damage from change. Whatever is wrong comes out as the kind's own error, in one short sentence.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from nf_policies.atomic import atomic_path
from nf_policies.wording import reason_of

DTYPES = {torch.float32: "F32", torch.float64: "F64", torch.int32: "I32", torch.int64: "I64"}
DTYPES |= {torch.uint8: "U8", torch.bool: "BOOL"}
"""What is written, by safetensors' names; no other dtype is read."""
DIGEST = "sha256"
"""The entry of a header with the digest of all else; older files have none."""


class Kind(NamedTuple):
    """A kind of file: what errors call it and raise, and the header's key, version and schema."""

    name: str
    error: type[ValueError]
    key: str
    version: int
    oldest: int
    """Versions from this one on can be read."""
    version_entry: str = "version"
    """Where the header has it."""
    schema: Any = dict[str, Any]
    """A type as msgspec checks it, for example a TypedDict. Further entries of a header are kept."""


def write(
    path: Path,
    kind: Kind,
    header: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    allow_nan: bool = True,
    check: Callable[[Path], object] = lambda file: None,
) -> None:
    """Write a header of JSON values and tensors, atomically.

    `check` is called with the finished file before it takes the place of an older one, which stays if it raises.

    Raises: TypeError or ValueError for what JSON cannot hold, or for a dtype that `read` would refuse; NaN and infinity
        are refused too unless `allow_nan`. OSError if the file cannot be written; what was there is kept.
    """
    text = json.dumps({kind.version_entry: kind.version, **header}, allow_nan=allow_nan)
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            raise ValueError(f"A {kind.name} cannot hold {name}, which is {tensor.dtype}: make it float32 or float64.")
    # Tensors that share memory cannot be stored as they are.
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(whole, temporary, metadata={kind.key: signed(text, digest(text, whole))})
        check(temporary)


def read(path: Path, kind: Kind) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `write` was given, with the version among the header's entries.

    Raises: `kind.error` if the file is missing, damaged, or of another kind or version.
    """
    if not path.is_file():
        raise kind.error(f"There is no {kind.name} at {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            if (text := (file.metadata() or {}).get(kind.key)) is None:
                raise kind.error(f"{path} is a safetensors file, but not a {kind.name} written by nf-policies.")
            header = header_of(text, kind, path)
            names = list(file.keys())
            for name in names:
                if (dtype := file.get_slice(name).get_dtype()) not in DTYPES.values():
                    raise ValueError(f"{name} is of dtype {dtype}")
            tensors = {name: file.get_tensor(name) for name in names}
        if DIGEST in header and text != signed(body := unsigned(text, header.pop(DIGEST)), digest(body, tensors)):
            raise ValueError("its contents are not those that were written")
    except kind.error:
        raise
    except Exception as error:  # whatever a malformed file makes go wrong
        raise kind.error(f"{path} is not a whole {kind.name} ({reason_of(error)}).") from error
    return header, tensors


def header_of(text: str, kind: Kind, path: Path) -> dict[str, Any]:
    """The header in a file's text, of this version and of the kind's schema."""
    header = json.loads(text)
    version = header[kind.version_entry]
    if type(version) is not int:
        raise ValueError(f"its version is {version!r}")
    if not kind.oldest <= version <= kind.version:
        change = "upgrade it" if version > kind.version else "use an older one"
        what = f"{path} has version {version:.20g}, and this nf-policies reads {kind.version}: {change}."
        raise kind.error(what)
    msgspec.convert(header, kind.schema)
    return dict(header)


def signed(text: str, of_contents: str) -> str:
    """A header's text with a digest as its last entry. Metadata of more than one entry would be in random order."""
    return f'{text[:-1]}, "{DIGEST}": "{of_contents}"}}'


def unsigned(text: str, of_contents: object) -> str:
    """The text without its last entry, if that is this digest."""
    return text.removesuffix(f', "{DIGEST}": "{of_contents}"}}') + "}"


def digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a header and tensors, in hexadecimal digits: it finds damage, not malice."""
    found = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name, tensor in sorted(tensors.items()):
        found.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode("utf-8", "surrogatepass"))
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


@contextmanager
def complete(path: Path, kind: Kind) -> Iterator[None]:
    """Turn whatever the contents of a malformed file make go wrong into the kind's error."""
    try:
        yield
    except kind.error:
        raise
    except Exception as error:
        what = kind.name.removesuffix(" file")
        raise kind.error(f"{path} does not hold a complete {what} ({reason_of(error)}).") from error
