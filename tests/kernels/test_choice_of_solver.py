"""A field that is not quite a plain one is never taken for one."""

from typing import Any

import pytest
import torch
from kernel_reference import watched_solver
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from nf_policies.fields import NeuralField, SimpleNeuralField
from nf_policies.kernels.build import toolchain
from nf_policies.kernels.operator import WIDTH_MAX

pytestmark = pytest.mark.skipif(toolchain() is None, reason="no C++ compiler here")


class HalfTanh(nn.Tanh):
    """Not quite a hyperbolic tangent."""

    def forward(self, potentials: Tensor) -> Tensor:
        return torch.tanh(potentials) / 2


class HardSigmoid(nn.Sigmoid):
    """Not quite the logistic function."""

    def forward(self, potentials: Tensor) -> Tensor:
        return nn.functional.hardsigmoid(potentials)


def hooked(module: Any, register: str = "register_forward_hook") -> Any:
    getattr(module, register)(lambda *_: None)
    return module


def is_compiled(field: NeuralField | SimpleNeuralField, inputs: Tensor) -> bool:
    """Whether a solver is given a sequence of a field."""
    with watched_solver() as problems:
        field(inputs)
    return bool(problems)


@pytest.mark.parametrize("activation", [HalfTanh(), HardSigmoid(), hooked(nn.Tanh())], ids=["tanh", "sigmoid", "hook"])
def test_a_nonlinearity_derived_from_torchs_is_computed_as_its_own_code_says(activation, monkeypatch) -> None:
    field, inputs = NeuralField(3, 6, 2, activation=activation), torch.randn(5, 4, 3)
    outputs = field(inputs)[0]
    monkeypatch.setenv("NF_POLICIES_FUSED", "0")
    assert torch.equal(outputs, field(inputs)[0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["input_embedding", "output_embedding"])
def test_an_embedding_of_another_dtype_is_refused_by_torch_not_read_as_floats(name, dtype) -> None:
    sizes = {"input_embedding": (3, 6), "output_embedding": (6, 2)}[name]
    field = NeuralField(3, 6, 2, activation="tanh", **{name: nn.Linear(*sizes).to(dtype)})
    with pytest.raises(RuntimeError, match="dtype"):
        field(torch.randn(5, 4, 3))


def test_a_single_parameter_of_another_dtype_is_refused_by_torch_not_read_as_floats() -> None:
    field, inputs = NeuralField(3, 6, 2, activation="tanh"), torch.randn(5, 4, 3)
    field.log_tau.data = field.log_tau.data.double()
    with watched_solver() as problems, pytest.raises(RuntimeError, match="dtype"):
        field(inputs)
    assert not problems


@pytest.mark.parametrize(
    "register",
    ["register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"],
)
def test_hooks_of_the_embeddings_run(register) -> None:
    called: list[str] = []
    field = NeuralField(3, 6, 2, activation="tanh")
    for name in ("input_embedding", "output_embedding"):
        getattr(getattr(field, name), register)(lambda *_, name=name: called.append(name))
    inputs = torch.randn(5, 4, 3, requires_grad=True)
    field(inputs)[0].sum().backward()
    assert sorted(called) == ["input_embedding", "output_embedding"]


@pytest.mark.parametrize(("inputs", "hidden", "outputs"), [(WIDTH_MAX + 1, 3, 1), (3, 2, WIDTH_MAX + 1)])
def test_layers_too_wide_for_a_threads_stack_are_torchs(inputs, hidden, outputs, monkeypatch) -> None:
    field, x = NeuralField(inputs, hidden, outputs, activation="tanh"), torch.randn(2, 1, inputs)
    assert is_compiled(field, x) == (inputs <= WIDTH_MAX)
    found = field(x)[0]
    monkeypatch.setenv("NF_POLICIES_FUSED", "0")
    torch.testing.assert_close(found, field(x)[0])


def own_dynamics(u, s, h):
    return s + h - u


@pytest.mark.parametrize(
    "field",
    [
        NeuralField(3, 6, activation="relu"),
        NeuralField(3, 6, activation=torch.sin),
        NeuralField(3, 6, channels=2, pooling_norm=2),
        NeuralField(3, 6, input_embedding=torch.nn.Sequential(torch.nn.Linear(3, 6))),
        SimpleNeuralField(3, 2, dynamics=own_dynamics),
        SimpleNeuralField(3, 2, activation=["tanh", "sigmoid"]),
        SimpleNeuralField(3, 1, 300, activation="tanh"),
        SimpleNeuralField(3, 2).bfloat16(),
    ],
    ids=["relu", "own activation", "p = 2", "own embedding", "own dynamics", "two activations", "large", "bfloat16"],
)
def test_what_no_solver_can_do_is_stepped_in_python(field) -> None:
    inputs = torch.randn(4, 2, 3, dtype=field.resting_level.dtype)
    assert not is_compiled(field, inputs)
    assert field(inputs)[0].shape == (4, 2, field.output_size)


def test_potential_dynamics_need_no_hash() -> None:
    class Leak:
        __hash__ = None

        def __call__(self, u: Tensor, s: Tensor, h: Tensor) -> Tensor:
            return s + h - u

        def __eq__(self, other: object) -> bool:
            return self is other

    field, inputs = SimpleNeuralField(3, 2, activation="tanh", dynamics=Leak()), torch.randn(5, 4, 3)
    assert not is_compiled(field, inputs)
    assert field(inputs)[0].shape == (5, 4, 2)


@pytest.mark.parametrize(("time", "batch", "pays"), [(2, 1, False), (127, 1, False), (128, 1, True), (1, 999, False)])
def test_a_first_small_forward_does_not_wait_for_a_compiler_unless_asked_to(time, batch, pays, monkeypatch) -> None:
    field, inputs = NeuralField(3, 6, 2, activation="tanh"), torch.zeros(time, batch, 3)
    assert is_compiled(field, inputs) == (time > 1)
    monkeypatch.delenv("NF_POLICIES_FUSED")
    assert is_compiled(field, inputs) == pays


def test_a_traced_graph_computes_and_does_not_remember() -> None:
    field, (a, b) = NeuralField(3, 6, 2, activation="tanh"), torch.randn(2, 5, 4, 3)
    with torch.no_grad():
        graph = make_fx(lambda x: field(x)[0])(a)
        torch.testing.assert_close(graph(b), field(b)[0])
