"""The state of a pycma search as plain JSON values and arrays, and back: exact, bounded, without pickle.

Every attribute that is plain data is written down, and written into a search made anew with the same options, whose
functions and classes stay as they are: nothing that a file names is ever imported or called.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

SKIPPED = frozenset({"logger", "timer", "inputargs", "inopts", "_tell2_args", "ary"})
"""Attributes without a bearing on what follows: clocks, files, and the generation that has been told."""

OPTIONS = "CMAOptions"
"""What a search is made with; never read back."""

LARGEST = 1e150
"""Of a finite number: its square is finite."""

METHODS = frozenset({"_tfp", "_tfg"})
"""Methods of the search that pycma keeps as values, once it has changed its coordinates."""


def capture(search: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """All plain data of a search, between `tell` and `ask`: a tree of JSON values, and its arrays by name (copies)."""
    writer = _Writer()
    return writer.write(search), writer.arrays


def restore(search: Any, tree: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a capture into a search of the same options that was asked once; damage raises what reading it raises."""
    _Reader(arrays).read(tree, search)


class _Writer:
    """Writes values; an array or object under several names is written once.

    Sums depend, to the last bit, on the memory order of arrays and on whether a number is Python's or NumPy's.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._seen: dict[int, tuple[dict[str, Any], Any]] = {}  # holds what it knows by its id

    def write(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            return {"scalar": value.dtype.str, "value": value.item()}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if id(value) in self._seen:
            return self._seen[id(value)][0]
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return self._array(value)
        if type(value) is list and value and all(type(v) is np.float64 for v in value):
            return {"floats": self._array(np.array(value))}  # histories are long
        if type(value) in (list, tuple):
            return {type(value).__name__: [self.write(v) for v in value]}
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
        name = f"array{len(self.arrays)}"
        self.arrays[name] = np.array(value, order="C")
        node = {"array": name, "order": "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"}
        self._seen[id(value)] = node, value
        return node

    def _object(self, value: Any) -> Any:
        number = len(self._seen)
        self._seen[id(value)] = {"again": number}, value
        node: dict[str, Any] = {"object": type(value).__name__, "number": number}
        if node["object"] == OPTIONS:
            return node
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
            return _plain(node, now)
        if "kept" in node:
            if now is None:
                raise TypeError(f"a {node['kept']} is missing")
            return now
        if "method" in node and node["method"] in METHODS:
            return getattr(self.read(node["of"], None), node["method"])
        if "range" in node:
            if not isinstance(now, range | None) or max(map(abs, node["range"])) > 2**31:
                raise TypeError("a range is not one")
            return range(*node["range"])
        if "scalar" in node:
            if (dtype := np.dtype(node["scalar"])).kind not in "biuf":
                raise TypeError(f"a number is of dtype {dtype}")
            return dtype.type(_plain(node["value"], 0))
        if "array" in node:
            if node["array"] not in self._made:
                array = np.array(self._arrays[node["array"]], order=node["order"])
                if _is_huge(array).any():
                    raise TypeError("a number is huge")
                self._made[node["array"]] = array
            return self._made[node["array"]]
        if "floats" in node:
            return list(self.read(node["floats"], None))
        if "dict" in node:
            return self._entries(node["dict"], now if isinstance(now, dict) else {})
        for kind in (list, tuple):
            if kind.__name__ in node:
                return kind(self._items(node[kind.__name__], now if isinstance(now, list | tuple) else ()))
        if "again" in node:
            return self._objects[node["again"]]
        return self._object(node, now)

    def _items(self, nodes: list[Any], now: list[Any] | tuple[Any, ...]) -> list[Any]:
        return [self.read(node, now[i] if i < len(now) else None) for i, node in enumerate(nodes)]

    def _entries(self, nodes: list[Any], now: dict[Any, Any]) -> dict[Any, Any]:
        keys = [self.read(k, None) for k, _ in nodes]
        return {key: self.read(v, dict.get(now, key)) for key, (_, v) in zip(keys, nodes, strict=True)}

    def _object(self, node: Any, now: Any) -> Any:
        if type(now).__name__ != node["object"] or not _is_object(now):
            raise TypeError(f"{node['object']} is not {type(now).__name__}")
        self._objects[node["number"]] = now
        if node["object"] == OPTIONS:
            return now
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


def _plain(value: Any, now: Any) -> Any:
    """A value of JSON beside the one that is there now: only words can follow words, only numbers numbers."""
    if isinstance(value, list) or (
        value is not None and now is not None and isinstance(value, str) != isinstance(now, str)
    ):
        raise TypeError(f"{value!s:.20} is in the place of {now!s:.20}")
    if isinstance(value, int | float) and _is_huge(value):
        raise TypeError("a number is huge")
    return value


def _is_huge(value: Any) -> Any:
    """Whether numbers are finite, but their squares are not."""
    size = np.abs(value)
    return (size > LARGEST) & (size < np.inf)


def _is_object(value: Any) -> bool:
    """Whether a value is an object of pycma's own, whose attributes are its state."""
    return type(value).__module__.partition(".")[0] == "cma" and (hasattr(value, "__dict__") or isinstance(value, list))


def _attributes(value: Any) -> dict[str, Any]:
    return {name: v for name, v in getattr(value, "__dict__", {}).items() if name not in SKIPPED}
