"""A policy is one file: safetensors with a JSON header. Loading never unpickles and never imports.

The tensors are the field's parameters and buffers, and the normaliser's statistics.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import numpy as np
import torch
from gymnasium import Space, spaces
from msgspec import Meta
from torch import Tensor

from nf_policies import tensor_files
from nf_policies.fields.field import Field
from nf_policies.policies.cells import Cell
from nf_policies.policies.spaces import UnsupportedSpaceError

FORMAT_VERSION = 2
"""Version 1 called the visible entries "observed"."""
HEADER = "nf_policies"
SPACES = ("observation_space", "action_space")
NUMBERS_MAX = 2**22
"""Numbers in a matrix of hidden_size x hidden_size that a file may ask for without having as many itself."""
NOT_IN_FILES = {"input_embedding", "output_embedding", "generator"}
"""Arguments of a field's constructor that are no option."""
SPACE_DTYPES = {"bool", "float16", "float32", "float64"}
SPACE_DTYPES |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


class PolicyFileError(ValueError):
    """A policy file that cannot be read; the message says which and why."""


class FieldHeader(TypedDict):
    """The field in a header."""

    kind: str
    options: dict[str, Any]
    """Checked by the field's constructor, but for the sizes, which are compared with those of the tensors."""


class Header(TypedDict):
    """The header of a policy file."""

    field: FieldHeader
    observation_space: dict[str, Any]
    action_space: dict[str, Any]
    visible: NotRequired[list[Annotated[int, Meta(ge=0)]] | None]
    observed: NotRequired[list[Annotated[int, Meta(ge=0)]] | None]
    """What version 1 calls the visible entries."""
    env_id: str | None
    env_spec: NotRequired[dict[str, Any] | None]
    names: NotRequired[dict[str, list[str]]]
    made_by: dict[str, Any]
    squash: NotRequired[Literal["tanh", "clip"] | None]


KIND = tensor_files.Kind("policy file", PolicyFileError, HEADER, FORMAT_VERSION, 1, "format_version", Header)
complete = functools.partial(tensor_files.complete, kind=KIND)


def write(
    path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor], check: Callable[[Path], object]
) -> None:
    """Write a policy's header (JSON values, and its field and spaces) and tensors, atomically.

    Args:
        path: The file.
        header: As `read` gives it.
        tensors: Of the policy.
        check: Reads the finished file before it takes the place of an older one.
    Raises:
        ValueError: If the field cannot be described, or the file could not be read again.
        OSError: If the file cannot be written; what was there is kept.
    """
    options = header["field"].describe()
    check_sizes(options, tensors)
    described = {name: space_to_json(header[name]) for name in SPACES}
    described |= {"field": {"kind": type(header["field"]).__name__, "options": options}, "dt": options.get("dt")}
    check_tensors(tensors)
    try:
        tensor_files.write(path, KIND, {**header, **described}, tensors, allow_nan=False, check=check)
    except PolicyFileError as error:
        raise ValueError(f"{path} is not written, because it could not be read: {error.__cause__ or error}") from error


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header of a policy file, as `write` takes it, and its tensors.

    Raises:
        PolicyFileError: If the file is missing, truncated, foreign, newer than this package or not finite, or if the
            sizes in its header are not those of its tensors.
    """
    header, tensors = tensor_files.read(path, KIND)
    with complete(path):
        if header["format_version"] < 2:
            header["visible"] = header.pop("observed")
        header.setdefault("env_spec", None)  # which older files do not have
        check_sizes(header["field"]["options"], tensors)
        check_tensors(tensors)
        header["field"] = build_field(**header["field"])
        header |= {name: space_from_json(header[name]) for name in SPACES}
    return header, tensors


def check_sizes(options: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Refuse, with a ValueError, sizes that are not those of the tensors, before anything of these sizes is made."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    output_size, hidden_size = shapes["field.output_embedding.weight"]
    found = {"input_size": shapes["normalizer.mean"][0], "hidden_size": hidden_size, "output_size": output_size}
    found["channels"] = shapes.get("field.kernel", (1,))[0]
    found["layers"] = sum(name.startswith("field.layers.") and name.endswith(".weight") for name in shapes)
    for name, size in found.items():
        stated = options.get(name, size)
        if type(stated) is not int or stated != size:
            raise ValueError(f"{name} is {stated!r}, but the tensors are of {size}")
    if hidden_size**2 > max(NUMBERS_MAX, sum(tensor.numel() for tensor in tensors.values())):
        raise ValueError(f"hidden_size is {hidden_size}, which is too large for a policy file")


def check_tensors(tensors: Mapping[str, Tensor]) -> None:
    """Refuse, with a ValueError, numbers that no policy has."""
    for name, tensor in tensors.items():
        if not (tensor.is_floating_point() and tensor.isfinite().all()):
            raise ValueError(f"the policy's {name} is not finite")
    for name in ("normalizer.count", "normalizer.var"):
        if (tensors[name] < 0).any():
            raise ValueError(f"the policy's {name} is below 0")


def build_field(kind: str, options: Mapping[str, Any]) -> Field | Cell:
    """The field or cell that a header describes, with start values where the tensors will go."""
    kinds: dict[str, Any] = {**Field.kinds, **Cell.kinds}
    if kind not in kinds:
        raise ValueError(f"unknown kind of field {kind!r}")
    if given := NOT_IN_FILES & options.keys():
        raise ValueError(f"{min(given)} is no option of a field")
    with torch.random.fork_rng(devices=[]):
        # Policies of version 1 could be batch_first, which only their `forward` noticed.
        return kinds[kind](**{name: value for name, value in options.items() if name != "batch_first"})


def space_to_json(space: Space[Any]) -> dict[str, Any]:
    """A space as plain JSON values; bounds are strings, which can be infinite."""
    if isinstance(space, spaces.Box):
        number = int if space.dtype.kind in "iub" else float
        bounds = {side: [repr(number(x)) for x in getattr(space, side).reshape(-1)] for side in ("low", "high")}
        return {"kind": "Box", **bounds, "shape": list(space.shape), "dtype": str(space.dtype)}
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "spaces": [[key, space_to_json(part)] for key, part in space.spaces.items()]}
    if isinstance(space, spaces.Tuple):
        return {"kind": "Tuple", "spaces": [space_to_json(part) for part in space.spaces]}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.shape)}
    if isinstance(space, spaces.Discrete):
        values: dict[str, Any] = {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    elif isinstance(space, spaces.MultiDiscrete):
        values = {"kind": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    else:
        raise UnsupportedSpaceError(f"{type(space).__name__} cannot be stored in a policy file.")
    return values | {"dtype": str(space.dtype)}


def space_from_json(data: Mapping[str, Any]) -> Space[Any]:
    """The space that `space_to_json` described; a KeyError or ValueError if the description is not complete."""
    kind, name = data["kind"], data.get("dtype", "int64")
    if name not in SPACE_DTYPES:
        raise ValueError(f"unknown dtype of a space {name!r}")
    dtype = np.dtype(name)
    if kind == "Dict":
        pairs = data["spaces"].items() if isinstance(data["spaces"], dict) else data["spaces"]
        return spaces.Dict([(key, space_from_json(part)) for key, part in pairs])  # a plain dict would be sorted
    if kind == "Tuple":
        return spaces.Tuple([space_from_json(part) for part in data["spaces"]])
    if kind == "Box":
        bounds = (np.array([number(x, dtype) for x in data[side]], dtype) for side in ("low", "high"))
        low, high = (bound.reshape(data["shape"]) for bound in bounds)
        return spaces.Box(low, high, dtype=dtype.type)
    if kind == "Discrete":
        return spaces.Discrete(data["n"], start=data["start"], dtype=dtype.type)
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(data["nvec"], dtype=dtype.type, start=data["start"])
    if kind == "MultiBinary":
        return spaces.MultiBinary(data["n"])
    raise ValueError(f"unknown space {kind!r}")


def number(text: str, dtype: np.dtype[Any]) -> float | int:
    """A bound from its text; version 1 wrote those of integers as floats, which may be rounded past the dtype's."""
    if text.lstrip("-").isdigit():
        return int(text)
    if dtype.kind in "iu":
        return int(min(max(int(float(text)), np.iinfo(dtype).min), np.iinfo(dtype).max))
    return float(text)
