"""Exported files, read back and run on this machine as they are."""

import ctypes
import json
import re
import runpy
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec
import numpy as np
import torch
from msgspec import Meta

from nf_policies.export.needs import ExportError, needs
from nf_policies.export.text import EXPORT_VERSION, fill
from nf_policies.wording import in_short

Step = tuple[np.ndarray, Any]


class Side(TypedDict):
    """What a policy sees or does."""

    space: str
    entries: list[dict[str, Any]]


class Memory(TypedDict):
    """How many numbers a policy keeps, and those of an episode's start."""

    size: int
    initial: list[Annotated[float, Meta(ge=-1e30, le=1e30)]]


class Card(TypedDict):
    """What playing takes from a card."""

    task: str | None
    task_spec: dict[str, Any] | None
    n_parameters: int
    observation: Side
    action: Side
    memory: Memory


class Loaded:
    """An exported policy that plays: `begin` an episode, then `step` after `step`."""

    card: dict[str, Any]

    def begin(self) -> Any:
        """The memory at the start of an episode."""
        raise NotImplementedError

    def step(self, memory: Any, observation: np.ndarray) -> Step:
        """The action (action_size,) for an observation (observation_size,), and the memory after."""
        raise NotImplementedError

    def replay(self, observations: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, float]:
        """Actions (steps, action_size) of recorded observations, and seconds per step."""
        actions, memory = [], None
        began = time.perf_counter()
        for observation, start in zip(observations, starts, strict=True):
            action, memory = self.step(self.begin() if start else memory, observation)
            actions.append(np.array(action))
        return np.array(actions), (time.perf_counter() - began) / len(starts)


class InC(Loaded):
    """A `.c` file, compiled on the fly with the machine's compiler; `flags` are the compiler's."""

    def __init__(self, path: Path, *flags: str) -> None:
        found = re.search(r"^ \* card: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        self.card = card_in(found[1] if found else "", path)
        if not path.with_suffix(".h").is_file():
            raise ExportError(f"{path} needs its header beside it: {path.with_suffix('.h').name} is missing.")
        header = path.with_suffix(".h").read_text(encoding="utf-8")
        self.real_type = np.float64 if "typedef double policy_real" in header else np.float32
        self.library = compiled(path, flags)
        self._action = np.zeros(
            len(self.card["action"]["entries"]), np.int32 if "typedef int policy_action" in header else self.real_type
        )

    def begin(self) -> Any:
        """As above."""
        memory = np.zeros(2 * self.card["memory"]["size"] + 1, self.real_type)  # with what C keeps beside it
        self.library.policy_init(pointer(memory))
        return memory

    def step(self, memory: Any, observation: np.ndarray) -> Step:
        """As above."""
        seen = np.ascontiguousarray(observation, self.real_type)
        self.library.policy_step(pointer(memory), pointer(seen), pointer(self._action))
        return self._action, memory

    def replay(self, observations: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, float]:
        """As above, without a call from Python per step."""
        seen, begins = np.ascontiguousarray(observations, self.real_type), starts.astype(np.int8)
        actions = np.zeros((len(starts), len(self._action)), self._action.dtype)
        for _ in range(2):  # the first warms up
            began = time.perf_counter()
            self.library.policy_replay(ctypes.c_long(len(starts)), *map(pointer, (seen, begins, actions)))
        return actions, (time.perf_counter() - began) / len(starts)


def compiled(path: Path, flags: Sequence[str]) -> ctypes.CDLL:
    """A `.c` file as a library of this process."""
    if (compiler := shutil.which("cc") or shutil.which("gcc")) is None:
        raise ExportError("A .c file is compiled to be played, and there is no C compiler: install gcc or clang.")
    with tempfile.TemporaryDirectory(prefix="nf-policies-", ignore_cleanup_errors=True) as folder:
        library, replay = Path(folder) / "policy.so", Path(folder) / "replay.c"
        replay.write_text(fill("replay.c", {"name": path.stem}), encoding="utf-8")
        words = [compiler, "-std=c99", "-O2", "-shared", "-fPIC", f"-I{path.parent.absolute()}", *flags]
        done = subprocess.run([*words, path, replay, "-o", library, "-lm"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ExportError(f"{path} cannot be compiled: {done.stderr.strip().splitlines()[0]}")
        return ctypes.CDLL(str(library))


class InOnnx(Loaded):
    """An `.onnx` file in onnxruntime."""

    def __init__(self, path: Path) -> None:
        with needs("export", "onnxruntime"):
            import onnxruntime
        self.path = path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong comes out as an exception
        cpu = {"providers": ["CPUExecutionProvider"], "enable_fallback": 0}
        try:
            self.session = onnxruntime.InferenceSession(path.read_bytes(), options, **cpu)
            text = self.session.get_modelmeta().custom_metadata_map.get("card", "")
            self.dtype = np.float64 if "double" in self.session.get_inputs()[0].type else np.float32
        except Exception as error:  # onnxruntime has a class for each reason
            raise ExportError(f"{path} is no ONNX file that runs: {in_short(error)}") from error
        self.card = card_in(text, path)
        self.initial = np.array([self.card["memory"]["initial"]], self.dtype)

    def begin(self) -> Any:
        """As above."""
        return None

    def step(self, memory: Any, observation: np.ndarray) -> Step:
        """As above."""
        seen = np.asarray(observation, self.dtype)[None]
        inputs = {"observation": seen, "memory": np.zeros_like(self.initial) if memory is None else memory}
        inputs["episode_start"] = np.array([memory is None])
        try:
            action, after = self.session.run(["action", "memory_after"], inputs)
        except Exception as error:
            raise ExportError(f"{self.path} is no policy that acts: {in_short(error)}") from error
        return action[0], after


class InTorch(Loaded):
    """A `.pt2` file in torch.export's interpreter."""

    def __init__(self, path: Path) -> None:
        extra = {"card.json": ""}
        try:
            self.program = torch.export.load(path, extra_files=extra).module()
        except Exception as error:
            raise ExportError(f"{path} is no file of torch.export: {in_short(error)}") from error
        self.card = card_in(extra["card.json"], path)
        self.initial = self.program.get_buffer("initial_memory")

    def begin(self) -> Any:
        """As above."""
        return None

    @torch.no_grad()
    def step(self, memory: Any, observation: np.ndarray) -> Step:
        """As above."""
        start = torch.tensor([memory is None])
        before = torch.zeros_like(self.initial)[None] if memory is None else memory
        action, after = self.program(torch.as_tensor(observation)[None].to(self.initial), before, start)
        return action[0].numpy(), after


class InNumpy(Loaded):
    """A `.py` file."""

    def __init__(self, path: Path) -> None:
        self.names = runpy.run_path(str(path))
        self.card = self.names["CARD"]

    def begin(self) -> Any:
        """As above."""
        return self.names["policy_init"]()

    def step(self, memory: Any, observation: np.ndarray) -> Step:
        """As above."""
        return self.names["policy_step"](memory, observation)


class InJavaScript(Loaded):
    """A `.js` file in Node.js; it replays only."""

    SCRIPT = """
    import fs from "node:fs";
    const { policy, policyInit, policyStep } = await import(process.argv[1]);
    const { observations, starts } = JSON.parse(fs.readFileSync(0));
    let memory;
    const began = performance.now();
    const actions = observations.map((seen, t) => {
        if (starts[t]) memory = policyInit();
        return policyStep(memory, seen);
    });
    console.log(JSON.stringify({ policy, actions, seconds: (performance.now() - began) / 1000 / starts.length }));
    """

    def __init__(self, path: Path) -> None:
        if (node := shutil.which("node")) is None:
            raise ExportError("A .js file runs in Node.js, which is not installed.")
        self.command = [node, "--input-type=module", "-e", self.SCRIPT, path.absolute().as_uri()]
        self.card = self._run([], [])["policy"]

    def _run(self, observations: list[Any], starts: list[Any]) -> dict[str, Any]:
        text = json.dumps({"observations": observations, "starts": starts})
        done = subprocess.run(self.command, input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ExportError(f"Node.js cannot run the module: {done.stderr.strip().splitlines()[-1]}")
        return json.loads(done.stdout)

    def replay(self, observations: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, float]:
        """As above."""
        found = self._run(observations.tolist(), starts.tolist())
        return np.array(found["actions"]), found["seconds"]


KINDS: dict[str, Callable[[Path], Loaded]] = {
    ".c": InC,
    ".onnx": InOnnx,
    ".pt2": InTorch,
    ".py": InNumpy,
    ".js": InJavaScript,
    ".mjs": InJavaScript,
}
"""What runs a file, by its suffix."""


def load(path: Path) -> Loaded:
    """An exported file, ready to play. Raises: ExportError naming the file, and what would work."""
    if not path.is_file():
        raise ExportError(f"There is no exported policy at {path}.")
    return KINDS[path.suffix](path)


def card_in(text: str, path: Path) -> dict[str, Any]:
    """The card in an exported file, as JSON.

    Raises: ExportError if there is none, or it is of another version.
    """
    try:
        card = json.loads(text)
        if (version := card["export_version"]) == EXPORT_VERSION:
            msgspec.convert(card, Card)
        if len(card["memory"]["initial"]) != card["memory"]["size"]:
            raise ValueError("its memory is of another size")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ExportError(f"{path} is damaged, or was not exported by nf-policies: it holds no whole card.") from error
    if version != EXPORT_VERSION:
        was = in_short(repr(version))
        raise ExportError(f"{path} is of version {was} of exports, and this nf-policies reads {EXPORT_VERSION}.")
    return card


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """Where an array's numbers are."""
    return ctypes.c_void_p(array.ctypes.data)
