"""Damaged and hostile files: random changes of a good one, of its bytes and of what they mean."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save

CODE = "__import__('os').system('touch executed')"
"""Whoever evaluates it leaves a file."""
NUMBERS = (0, 1, -1, 2, 3, 255, 2**31, 2**63, 10**9, 10**30, 10**400, 0.5, -0.0, 1e-300, 1e15, 1e38, 1e308)
NUMBERS += (float("nan"), float("inf"), -float("inf"))
VALUES: tuple[Any, ...] = (
    *NUMBERS,
    None,
    True,
    False,
    "",
    "x",
    CODE,
    "é\u0000\ud800",
    "A" * 10_000,
    "1e999",
    "V2147483647",
)
VALUES += ([], [[]], {}, {"": None}, [0.5, 1.5], [True, False], [10**9], ["x"] * 1000, {"kind": "Box"}, {CODE: CODE})


def of_bytes(contents: bytes, rng: np.random.Generator) -> bytes:
    """A file with a few of its bytes changed, removed or added."""
    changed = bytearray(contents)
    for _ in range(rng.integers(1, 4)):
        at, n = int(rng.integers(len(changed) + 1)), int(rng.integers(1, 40))
        match rng.integers(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.integers(8)
            case 1:
                changed[at : at + n] = rng.bytes(n)
            case 2:
                del changed[at : at + n]
            case 3:
                changed[at:at] = changed[max(at - n, 0) : at]
            case 4:
                changed[at:at] = rng.bytes(n)
            case _:
                del changed[at:]
    return bytes(changed)


def of_json(value: Any, rng: np.random.Generator) -> Any:
    """A JSON value with a few of its parts replaced, removed, added or exchanged."""
    changed = copy.deepcopy(value)
    for _ in range(rng.integers(1, 4)):
        places = [*places_of(changed)]
        if not places:
            return copy.deepcopy(VALUES[rng.integers(len(VALUES))])
        holder, key = places[rng.integers(len(places))]
        other, other_key = places[rng.integers(len(places))]
        new = copy.deepcopy(VALUES[rng.integers(len(VALUES))])
        old = holder[key]
        match rng.integers(8):
            case 0:
                del holder[key]
            case 1:
                holder[key] = copy.deepcopy(other[other_key])
            case 2 if isinstance(old, dict):
                old["further"] = new
            case 2 | 3 if isinstance(old, list):
                old.append(new)
            case 4 if isinstance(old, int | float):
                holder[key] = old * NUMBERS[rng.integers(len(NUMBERS))]
            case 5 if isinstance(old, int | float):
                holder[key] = type(old)(old + rng.integers(-3, 4)) if abs(old) < 2**53 else new
            case _:
                holder[key] = new
    return changed


def places_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """(dict or list, key or index) of every part."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in list(entries):
        yield value, key
        yield from places_of(part)


def of_tensors(tensors: dict[str, torch.Tensor], rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Tensors of which one is removed, renamed, reshaped, or of another dtype or other numbers."""
    changed = dict(tensors)
    name = list(changed)[rng.integers(len(changed))]
    tensor = changed[name].clone()
    number = float(min(NUMBERS[rng.integers(len(NUMBERS))], 1e308))
    match rng.integers(7):
        case 0:
            del changed[name]
        case 1:
            changed[f"{name}x"] = changed.pop(name)
        case 2:
            dtypes = (torch.float16, torch.bfloat16, torch.float8_e5m2, torch.complex64, torch.int8, torch.bool)
            dtypes += (torch.int64, torch.float64, torch.float32, torch.uint8)
            changed[name] = tensor.to(dtypes[rng.integers(len(dtypes))])
        case 3:
            shapes = ((0,), (1,), (*tensor.shape, 1), (1, *tensor.shape), (3, 5), (2**16, 0), (1000,), ())
            changed[name] = torch.ones(shapes[rng.integers(len(shapes))], dtype=tensor.dtype)
        case 4:
            changed[name] = torch.full_like(tensor.double(), number).to(tensor.dtype)
        case 5 if tensor.numel():
            tensor.view(-1)[rng.integers(tensor.numel())] = number if tensor.is_floating_point() else 7
            changed[name] = tensor
        case _:
            changed[name] = -tensor if tensor.dtype != torch.bool else ~tensor
    return changed


def of_tensor_file(good: Path, key: str, rng: np.random.Generator) -> bytes:
    """A safetensors file with a JSON header, changed in its bytes, its header or its tensors; or in all of them.

    What is changed on purpose has no digest, as if an older release had written it.
    """
    kind = rng.integers(4)
    if kind == 0:
        return of_bytes(good.read_bytes(), rng)
    with safe_open(good, framework="pt") as file:
        header = json.loads(file.metadata()[key])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header.pop("sha256", None)
    header = of_json(header, rng) if kind != 2 else header
    tensors = of_tensors(tensors, rng) if kind != 1 else tensors
    text = json.dumps(header).encode("utf-8", "replace").decode()
    return save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata={key: text})


def of_json_file(good: Path, rng: np.random.Generator) -> bytes:
    """A JSON file, changed in its bytes or in its values."""
    if rng.integers(2):
        return of_bytes(good.read_bytes(), rng)
    return json.dumps(of_json(json.loads(good.read_text()), rng)).encode()


def mutations(change: Callable[[np.random.Generator], bytes], count: int, seed: int = 0) -> Iterator[tuple[int, bytes]]:
    """So many changed files with their numbers, each from a generator of its own."""
    for number in range(count):
        try:
            yield number, change(np.random.default_rng([seed, number]))
        except (ValueError, OverflowError, RuntimeError):  # what cannot be written, such as 10**400 as an index
            continue
