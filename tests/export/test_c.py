"""C by itself: the bits of a float32 reference, clean code, a self-test that can fail, and polynomials."""

import ctypes
import ctypes.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every_policy import FIELDS, make, play

from nf_policies import Policy
from nf_policies.export.algebra import evaluate
from nf_policies.export.describe import describe
from nf_policies.export.form import ACTIVE_BEFORE, AFTER, MEMORY, OBSERVATION, Choice, Constant, Form
from nf_policies.export.loaded import InC
from nf_policies.export.polynomial import ERROR, without_exponentials
from nf_policies.export.torch import at_start
from nf_policies.export.write import Request, write

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
CARTPOLE = Path(__file__).parent / "cartpole.safetensors"
f32 = np.float32


class OfLibm:
    """The algebra of float32 numbers, one after the other, with the C library's functions."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(ctypes.util.find_library("m"))
        for name in ("expf", "tanhf"):
            function = getattr(self.library, name)
            function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]

    def number(self, value: float) -> Any:
        return np.array([value], f32)

    def constant(self, constant: Constant) -> Any:
        return constant.values.astype(f32)

    def slice(self, vector: Any, start: int, stop: int) -> Any:
        return vector[start:stop]

    def pick(self, vector: Any, indices: tuple[int, ...]) -> Any:
        return vector[list(indices)]

    def apply(self, operation: str, arguments: list[Any]) -> Any:
        one = f32(1)
        return {
            "+": lambda x, y: x + y,
            "-": lambda x, y: x - y,
            "*": lambda x, y: x * y,
            "/": lambda x, y: x / y,
            "identity": lambda x: x,
            "tanh": lambda x: np.array([self.library.tanhf(float(v)) for v in x], f32),
            "sigmoid": lambda x: np.array([one / (one + f32(self.library.expf(float(-v)))) for v in x], f32),
            "relu": lambda x: np.maximum(x, f32(0)),
            "abs": np.abs,
            "clip": np.clip,
        }[operation](*arguments)

    def product(self, matrix: Any, vector: Any, bias: Any | None) -> Any:
        total = np.zeros(len(matrix), f32) if bias is None else bias.copy()
        for column, factor in zip(matrix.T, vector, strict=True):
            total += column * factor
        return total

    def join(self, parts: list[Any]) -> Any:
        return np.concatenate(parts)

    def choice(self, outputs: Any, choice: Choice) -> Any:
        raise NotImplementedError


def reference(form: Form, observations: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Actions of a form, number by number in float32."""
    algebra, actions, known = OfLibm(), [], {}
    for observation, start in zip(observations, starts, strict=True):
        known = {OBSERVATION: observation.astype(f32), MEMORY: known.get(AFTER)}
        if start:
            known[MEMORY] = form.initial_memory.astype(f32)
        for statement in form.statements:
            known[statement.name] = evaluate(statement.value, algebra, known.__getitem__)
            if statement.name == ACTIVE_BEFORE and start:  # C has it from the export, correctly rounded
                known[statement.name] = at_start(form, ACTIVE_BEFORE).astype(f32)
        actions.append(known["action"])
    return np.array(actions)


@pytest.mark.slow
@pytest.mark.parametrize("field", [name for name in FIELDS if "pool" not in name])
def test_c_has_the_bits_of_a_float32_reference(field, tmp_path) -> None:
    """All but pooled fields: their roots are powf, which NumPy and libm round differently."""
    policy = make(field, "tanh")
    episodes = play(policy, 200, 1)
    rows = episodes.observations[:, 0], episodes.starts[:, 0]
    source = write(policy, "c", tmp_path / "policy", Request())[0]
    wanted = reference(describe(policy), *rows)
    for flags in (("-O0",), ("-O2", "-ffp-contract=off")):
        actions, _ = InC(source, *flags).replay(*rows)
        np.testing.assert_array_equal(actions, wanted)


BUILD = {"__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}
"""What some compilers add."""
WARNED = [("simple_cubic", "two"), ("neural_pool_3", "multi_discrete"), ("linear", "tanh")]


@pytest.mark.parametrize(("field", "head"), WARNED)
def test_the_compiler_has_nothing_to_say(field, head, tmp_path) -> None:
    policy = make(field, head)
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wdouble-promotion", "-Wconversion", "-Werror"]
    for options in ({}, {"double": True}, {"polynomial": True}):
        source = write(policy, "c", tmp_path / "policy", Request(**options))[0]
        subprocess.run(["cc", "-std=c99", *warnings, "-fsyntax-only", source], check=True)
        subprocess.run(["cc", "-c", source, "-o", tmp_path / "policy.o"], check=True)
        listed = subprocess.run(["nm", tmp_path / "policy.o"], capture_output=True, text=True, check=True).stdout
        symbols = {tuple(line.split()[-2:]) for line in listed.splitlines()}
        assert {name for kind, name in symbols if kind == "U"} <= {
            "tanhf",
            "expf",
            "powf",
            "tanh",
            "exp",
            "pow",
        } | BUILD
        assert not {name for kind, name in symbols if kind in "DdBbC"}, "no variables outside its functions"


def test_the_self_test_finds_a_changed_number(tmp_path) -> None:
    source = write(Policy.load(CARTPOLE), "c", tmp_path / "policy", Request())[0]
    assert InC(source).library.policy_check() == 0
    text = source.read_text()
    number = next(line for line in text.splitlines() if line.strip().startswith("outputs[0] = ")).split()[2]
    source.write_text(text.replace(f"outputs[0] = {number}", f"outputs[0] = -{number}"))
    assert InC(source).library.policy_check() > 0


def test_the_polynomial_keeps_to_its_error() -> None:
    form = without_exponentials(describe(make("memoryless", "tanh")))
    statements = {statement.name: statement for statement in form.statements}
    assert not any("tanh(" in str(part) for part in statements)
    x = np.linspace(-20, 20, 10_001)

    class OfNumbers(OfLibm):
        def constant(self, constant: Constant) -> Any:
            return constant.values

        def number(self, value: float) -> Any:
            return np.array([value])

    known: dict[str, Any] = {"sums_0": x}
    for name in ("hidden_0_0_within", "hidden_0_0_square", "hidden_0"):
        known[name] = evaluate(statements[name].value, OfNumbers(), known.__getitem__)
    worst = np.abs(known["hidden_0"] - np.tanh(x)).max()
    assert 0.9 * ERROR < worst <= ERROR
