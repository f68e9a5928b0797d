"""The state of a pycma search as plain JSON values and arrays, and back: exact, bounded, without pickle.

pycma keeps its state in attributes of its objects, and which of them matter is its own affair. So `capture` walks over
all of them and writes down everything that is plain data: numbers, strings, arrays, lists, dicts. `restore` writes it
into a search made anew with the same options, and leaves alone what is not data there: functions and classes. Nothing
that a file names is ever imported or called.

Two things are kept because sums depend on them to the last bit: the memory order of arrays, and whether a number is
Python's or NumPy's. One array or object under several names stays one.
"""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

SKIPPED = frozenset({"logger", "timer", "inputargs", "inopts", "_tell2_args", "ary"})
"""Attributes without a bearing on what follows: clocks, files, and the generation that has been told."""

METHODS = frozenset({"_tfp", "_tfg"})
"""Methods of the search that pycma keeps as values, once it has changed its coordinates."""


class Capture(NamedTuple):
    """What a search holds: a tree of JSON values, whose arrays have names."""

    tree: Any
    arrays: dict[str, np.ndarray]


def capture(search: Any) -> Capture:
    """Everything that is plain data in a search, between `tell` and `ask`; the arrays are copies."""
    writer = _Writer()
    return Capture(writer.write(search), writer.arrays)


def restore(search: Any, tree: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a capture into a search of the same options.

    Raises: ValueError if the capture is damaged or of a search with other options.
    """
    try:
        _Reader(arrays).read(tree, search)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"This is not the state of such a search ({type(error).__name__}: {error}).") from error


class _Writer:
    """Writes values; remembers arrays and objects, so that each is written once."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._seen: dict[int, tuple[dict[str, Any], Any]] = {}  # holds what it knows by its id

    def write(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float) and not isinstance(value, np.generic):
            return value if np.isfinite(value) else {"float": repr(value)}
        if isinstance(value, np.generic):
            return {"scalar": value.dtype.str, "hex": value.tobytes().hex()}
        if id(value) in self._seen:
            return self._seen[id(value)][0]
        if isinstance(value, np.ndarray):
            return self._array(value)
        if type(value) in (list, tuple):
            return self._sequence(value)
        if inspect.ismethod(value) and value.__name__ in METHODS:
            return {"method": value.__name__, "of": self.write(value.__self__)}
        if isinstance(value, range):
            return {"range": [value.start, value.stop, value.step]}
        if type(value) is dict:
            return {"dict": [[self.write(k), self.write(v)] for k, v in value.items()]}
        if _is_object(value):
            return self._object(value)
        return {"kept": type(value).__name__}

    def _array(self, value: np.ndarray) -> Any:
        if value.dtype.hasobject:
            return {"kept": "array"}
        name = f"array{len(self.arrays)}"
        fortran = value.flags.f_contiguous and not value.flags.c_contiguous
        self.arrays[name] = np.array(value.T if fortran else value, order="C", copy=True)
        node = {"array": name, "fortran": fortran}
        self._seen[id(value)] = node, value
        return node

    def _sequence(self, value: Any) -> Any:
        # Histories are long: as one array they are small and quickly written.
        kind = type(value[0]) if value else None
        if kind in (float, np.float64) and all(type(v) is kind for v in value):
            return {"floats": self._array(np.array(value)), "numpy": kind is np.float64, "tuple": type(value) is tuple}
        return {type(value).__name__: [self.write(v) for v in value]}

    def _object(self, value: Any) -> Any:
        self._seen[id(value)] = {"again": len(self._seen)}, value
        node: dict[str, Any] = {"object": type(value).__name__, "number": self._seen[id(value)][0]["again"]}
        if isinstance(value, list):
            node["items"] = [self.write(v) for v in list(value)]
        if isinstance(value, dict):
            node["entries"] = [[self.write(k), self.write(v)] for k, v in dict.items(value)]
        node["attributes"] = {k: self.write(v) for k, v in _attributes(value).items()}
        return node


class _Reader:
    """Reads what a `_Writer` wrote, beside the value that is there now."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = arrays
        self._made: dict[str, np.ndarray] = {}
        self._objects: dict[int, Any] = {}

    def read(self, node: Any, now: Any) -> Any:
        if not isinstance(node, dict):
            return node
        if "kept" in node:
            if now is None:
                raise TypeError(f"a {node['kept']} is missing")
            return now
        if "method" in node and node["method"] in METHODS:
            return getattr(self.read(node["of"], None), node["method"])
        if "range" in node:
            return range(*node["range"])
        if "float" in node:
            return float(node["float"])
        if "scalar" in node:
            return np.frombuffer(bytes.fromhex(node["hex"]), np.dtype(node["scalar"]))[0]
        if "array" in node:
            return self._array(node)
        if "floats" in node:
            array = self._array(node["floats"])
            floats = list(array) if node["numpy"] else array.tolist()
            return tuple(floats) if node["tuple"] else floats
        if "dict" in node:
            return self._entries(node["dict"], now if isinstance(now, dict) else {})
        if "list" in node or "tuple" in node:
            nodes = node["list"] if "list" in node else node["tuple"]
            values = self._items(nodes, now if isinstance(now, list | tuple) else ())
            return values if "list" in node else tuple(values)
        if "again" in node:
            return self._objects[node["again"]]
        return self._object(node, now)

    def _array(self, node: Any) -> np.ndarray:
        name = node["array"]
        if name not in self._made:
            value = np.array(self._arrays[name], order="C", copy=True)
            self._made[name] = value.T if node["fortran"] else value
        return self._made[name]

    def _items(self, nodes: list[Any], now: list[Any] | tuple[Any, ...]) -> list[Any]:
        return [self.read(node, now[i] if i < len(now) else None) for i, node in enumerate(nodes)]

    def _entries(self, nodes: list[Any], now: dict[Any, Any]) -> dict[Any, Any]:
        keys = [self.read(k, None) for k, _ in nodes]
        return {key: self.read(v, dict.get(now, key)) for key, (_, v) in zip(keys, nodes, strict=True)}

    def _object(self, node: Any, now: Any) -> Any:
        if type(now).__name__ != node["object"] or not _is_object(now):
            raise TypeError(f"{node['object']} is not {type(now).__name__}")
        self._objects[node["number"]] = now
        if isinstance(now, list):
            now[:] = self._items(node["items"], list(now))
        if isinstance(now, dict):
            entries = self._entries(node["entries"], dict(dict.items(now)))
            dict.clear(now)
            dict.update(now, entries)
        before = _attributes(now)
        after = {name: self.read(value, before.get(name)) for name, value in node["attributes"].items()}
        for name in before:
            del vars(now)[name]
        getattr(now, "__dict__", {}).update(after)
        return now


def _is_object(value: Any) -> bool:
    """Whether a value is an object of pycma's own, whose attributes are its state."""
    return type(value).__module__.partition(".")[0] == "cma" and (hasattr(value, "__dict__") or isinstance(value, list))


def _attributes(value: Any) -> dict[str, Any]:
    return {name: v for name, v in getattr(value, "__dict__", {}).items() if name not in SKIPPED}
