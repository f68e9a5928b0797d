"""A robot that is set up wrongly is told so before the first action, in C and in NumPy; a damaged file is refused."""

import ctypes
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nf_policies import Policy
from nf_policies.export.facts import of_mapping
from nf_policies.export.loaded import InC, load, pointer
from nf_policies.export.needs import ExportError
from nf_policies.export.play import play
from nf_policies.export.write import Request, write

NAMES = ["cart position", "cart velocity", "pole angle", "pole velocity"]
UNITS = ["m", "m/s", "rad", "rad/s"]
CARD = {
    "rate_hz": 50,
    "observation_names": [f"{name} [{unit}]" for name, unit in zip(NAMES, UNITS, strict=True)],
    "action_names": ["push left [10 N]", "push right [10 N]"],
}
SEEN = [0.1, 0.0, 0.02, 0.1]
FITTING: dict[str, Any] = {"rate_hz": 50, "names": NAMES, "version": 1}
OK, VERSION, RATE, SIZE, ORDER, NOT_FINITE, RANGE = range(7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One policy for all targets."""
    folder = tmp_path_factory.mktemp("exports")
    policy = Policy.load(Path(__file__).parent / "cartpole.safetensors")
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    for target in ("c", "numpy", "onnx"):
        write(policy, target, folder / "policy", Request(of_mapping(CARD, "the test")))
    return folder


@pytest.fixture(scope="module")
def runner(folder) -> Any:
    return load(folder / "policy.py").names["Runner"]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def in_c(folder) -> InC:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    return InC(folder / "policy.c")


@pytest.mark.parametrize(
    ("setup", "sentence"),
    [
        ({"rate_hz": 100}, "made for 50 steps per second, not 100"),
        ({"rate_hz": 0}, "not 0"),
        ({"rate_hz": float("nan")}, "not nan"),
        ({"names": [NAMES[2], *NAMES[1:2], NAMES[0], NAMES[3]]}, "in this order"),
        ({"names": NAMES[:3]}, "in this order"),
        ({"names": [*NAMES, "temperature"]}, "in this order"),
        ({"names": ["x", *NAMES[1:]]}, "in this order"),
        ({"units": ["m", "m/s", "deg", "deg/s"]}, "The units of the policy's observations"),
        ({"version": 2}, "version 1, not 2"),
    ],
)
def test_a_runner_refuses_a_robot_that_the_policy_was_not_made_for(runner, setup, sentence) -> None:
    runner(**FITTING, units=UNITS)
    with pytest.raises(ValueError, match=sentence):
        runner(**FITTING | setup)


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (SEEN[:3], "4 entries, not 3"),
        ([*SEEN, 0.0], "4 entries, not 5"),
        ([0.1, 0.0, float("nan"), 0.1], "pole angle is nan"),
        ([0.1, float("inf"), 0.02, 0.1], "cart velocity is inf"),
        ([0.1, 0.0, 1.15, 0.1], "pole angle is 1.15, outside"),  # degrees
        ([100.0, 0.0, 0.02, 0.1], "cart position is 100, outside"),  # millimetres
    ],
)
def test_a_runner_refuses_an_observation_and_remembers_as_before(runner, seen, sentence) -> None:
    kept = runner(**FITTING)
    before = kept.memory.copy()
    with pytest.raises(ValueError, match=sentence):
        kept.act(seen)
    assert (kept.memory == before).all()


class RunnerInC(ctypes.Structure):
    """`policy_runner` of a field of two neurons."""

    _fields_ = [
        ("memory", ctypes.c_float * 4),
        ("period", ctypes.c_ulong),
        ("last", ctypes.c_ulong),
        ("missed", ctypes.c_ulong),
        ("running", ctypes.c_char),
    ]


def opened(in_c: InC, rate_hz=50.0, names: list[str] | None = NAMES, version=1, entries=4) -> tuple[int, RunnerInC]:
    kept = RunnerInC()
    words = None if names is None else (ctypes.c_char_p * len(names))(*map(str.encode, names))
    code = in_c.library.policy_open(ctypes.byref(kept), version, ctypes.c_float(rate_hz), entries, words)
    return code, kept


@pytest.mark.parametrize(
    ("setup", "code"),
    [
        ({}, OK),
        ({"names": None}, OK),
        ({"version": 2}, VERSION),
        ({"rate_hz": 100.0}, RATE),
        ({"rate_hz": 0.0}, RATE),
        ({"rate_hz": float("nan")}, RATE),
        ({"entries": 3, "names": NAMES[:3]}, SIZE),
        ({"entries": 5, "names": [*NAMES, "temperature"]}, SIZE),
        ({"names": NAMES[::-1]}, ORDER),
        ({"names": ["x", *NAMES[1:]]}, ORDER),
    ],
)
def test_the_runner_in_c_refuses_the_same(in_c, setup, code) -> None:
    assert opened(in_c, **setup)[0] == code


@pytest.mark.parametrize(
    ("seen", "entries", "code"),
    [
        (SEEN, 4, OK),
        (SEEN, 3, SIZE),
        ([0.1, 0.0, float("nan"), 0.1], 4, NOT_FINITE),
        ([0.1, 0.0, float("-inf"), 0.1], 4, NOT_FINITE),
        ([0.1, 0.0, 1.15, 0.1], 4, RANGE),
    ],
)
def test_the_runner_in_c_refuses_the_same_observations(in_c, seen, entries, code) -> None:
    _, kept = opened(in_c)
    array, action = np.array(seen, np.float32), np.full(1, -1, np.int32)
    words = pointer(array), entries, ctypes.c_ulong(0), pointer(action)
    assert in_c.library.policy_act(ctypes.byref(kept), *words) == code
    assert (action[0] == -1) == (code != OK)


def test_missed_deadlines_are_counted(runner, in_c) -> None:
    times = [0.0, 0.02, 0.041, 0.09, 0.11, 0.15]  # two late ones at 50 Hz
    kept, (_, kept_in_c) = runner(**FITTING), opened(in_c)
    seen, action = np.array(SEEN, np.float32), np.zeros(1, np.int32)
    for seconds in times:
        kept.act(SEEN, seconds)
        words = pointer(seen), 4, ctypes.c_ulong(round(seconds * 1e6)), pointer(action)
        in_c.library.policy_act(ctypes.byref(kept_in_c), *words)
    assert kept.missed == kept_in_c.missed == 2


DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "onnx, half": ("policy.onnx", lambda whole: whole[: len(whole) // 2], "no ONNX file that runs"),
    "onnx, empty": ("policy.onnx", lambda whole: b"", "no ONNX file that runs"),
    "c, half of its card": ("policy.c", lambda whole: whole[:400], "holds no whole card"),
    "c, half of its code": ("policy.c", lambda whole: whole[:-900], "cannot be compiled"),
    "c of another version": ("policy.c", lambda whole: whole.replace(b'version": 1', b'version": 9'), "version 9"),
    "c of somebody else": ("policy.c", lambda whole: b"int main(void) { return 0; }", "holds no whole card"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused(folder, in_c, damage, tmp_path) -> None:
    name, spoil, sentence = DAMAGES[damage]
    shutil.copy(folder / "policy.h", tmp_path)
    (tmp_path / name).write_bytes(spoil((folder / name).read_bytes()))
    with pytest.raises(ExportError, match=sentence):
        load(tmp_path / name)


def test_a_policy_of_another_task_is_refused(folder) -> None:
    with pytest.raises(ExportError, match="was made for observations in Box"):
        play(folder / "policy.onnx", env="Pendulum-v1", episodes=1, seed=0)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"rate": 50}, "not 'rate'"),
        ({"rate_hz": -1}, "rate_hz must be above 0"),
        ({"observation_names": [1]}, "is a list of names with units"),
        ({"observation_names": ["angle [rad]"]}, "Names are given to 1 entries"),
    ],
)
def test_facts_that_do_not_fit_are_refused(facts, sentence, tmp_path) -> None:
    policy = Policy.load(Path(__file__).parent / "cartpole.safetensors")
    with pytest.raises(ExportError, match=re.escape(sentence)):
        write(policy, "card", tmp_path / "policy", Request(of_mapping(facts, "the test")))


def test_nothing_in_a_name_can_leave_a_comment(tmp_path) -> None:
    policy = Policy.load(Path(__file__).parent / "cartpole.safetensors")
    policy.env_id = '*/ #error "outside" /*\n" """'
    named = CARD | {"observation_names": [f"*/ {name} #error" for name in NAMES]}
    for target in ("c", "js", "numpy"):
        files = write(policy, target, tmp_path / "policy", Request(of_mapping(named, "the test")))
        if target == "js" and shutil.which("node") is None:
            continue
        if target == "c" and shutil.which("cc") is None:
            continue
        assert json.dumps(load(files[0]).card["task"]) == json.dumps(policy.env_id)
