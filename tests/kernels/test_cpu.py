"""The solver of a CPU equals plain torch, forward and backward, in every corner."""

import os
import subprocess
import sys

import pytest
import torch
from kernel_reference import (
    assert_parity,
    double,
    random_problem,
    reference,
    relative_error,
    solved_with_gradients,
    watched_solver,
)

from nf_policies.fields import NeuralField, SimpleNeuralField
from nf_policies.kernels import build
from nf_policies.kernels.build import toolchain
from nf_policies.kernels.operator import recurrence, solve

pytestmark = pytest.mark.skipif(toolchain() is None, reason="no C++ compiler here")


def compiled(p):
    solved = solve(p)
    assert solved is not None, "these tests are about the compiled recurrence"
    return solved


SHAPES = {
    "one neuron": {"inputs": 2, "hidden": 1, "outputs": 1, "terms": 0, "seed": 3},
    "two neurons": {"inputs": 3, "hidden": 2, "outputs": 1, "biases": True},
    "off every tile": {"time": 9, "batch": 37, "inputs": 5, "hidden": 17, "outputs": 3},
    "one step, one sequence": {"time": 1, "batch": 1},
    "a whole tile": {"batch": 16, "hidden": 16},
    "wide": {"time": 6, "batch": 20, "hidden": 100, "outputs": 7, "inputs": 9},
    "widest": {"time": 4, "batch": 3, "hidden": 256, "outputs": 2, "inputs": 2},
    "stimuli instead of inputs": {"inputs": 0, "hidden": 6},
    "no outputs": {"outputs": 0},
    "many outputs": {"hidden": 4, "outputs": 33},
    "no resets": {"starts": None},
    "resets everywhere": {"starts": 1.1},
    "long": {"time": 200, "batch": 4},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_it_equals_the_reference_for_any_shape(shape) -> None:
    assert_parity(compiled, random_problem(**SHAPES[shape]))


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
@pytest.mark.parametrize(
    ("power", "terms", "leak"), [(2, 0, 1.0), (2, 1, 1.0), (2, 1, -1.0), (1, 1, -1.0), (1, 2, 1.0), (2, 2, 1.0)]
)
def test_it_equals_the_reference_for_all_potential_dynamics(activation, power, terms, leak) -> None:
    assert_parity(compiled, random_problem(activation=activation, power=power, terms=terms, leak=leak, hidden=5))


@pytest.mark.parametrize("seed", range(20))
def test_it_equals_the_reference_on_fresh_seeds(seed) -> None:
    assert_parity(compiled, random_problem(time=30, batch=11, seed=seed, gain=0.5 + seed / 10))


def test_in_float64_it_is_exact_to_rounding() -> None:
    assert_parity(compiled, random_problem(dtype=torch.float64), forward=1e-13, backward=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_potentials_cut_at_their_bound_pass_no_gradient(dtype) -> None:
    p = random_problem(time=20, gain=300.0, starts=0.1, dtype=dtype)
    p.neurons[1] = 0.9
    p.neurons[5:] = 0
    _, trajectory = reference(p)
    at_bound = trajectory.abs() >= 100
    assert 0.1 < at_bound.float().mean() < 0.9, "some are cut and some are not"
    assert_parity(compiled, p)


def test_gradients_pass_through_the_final_and_the_initial_potentials() -> None:
    p = random_problem(starts=None)
    u0 = p.potentials.clone().requires_grad_()
    _, trajectory = recurrence(*p._replace(potentials=u0))
    (gradient,) = torch.autograd.grad(trajectory[-1].sum(), u0)
    wide = double(p)
    v0 = wide.potentials.clone().requires_grad_()
    (expected,) = torch.autograd.grad(reference(wide._replace(potentials=v0))[1][-1].sum(), v0)
    assert relative_error(gradient, expected) < 1e-5
    assert expected.abs().min() > 0


def test_nothing_uninitialised_is_read_or_left() -> None:
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        assert torch.empty(3).isnan().all()
        for options in ({}, {"hidden": 17, "batch": 3}, {"outputs": 0}, {"biases": True, "terms": 2}):
            found = solved_with_gradients(compiled, random_problem(**options))
            assert all(value.isfinite().all() for value in found.values())
    finally:
        torch.use_deterministic_algorithms(False)


def test_results_do_not_depend_on_the_number_of_threads_nor_on_the_run() -> None:
    p = random_problem(batch=100, hidden=16, time=20)
    runs = []
    threads = torch.get_num_threads()
    for n in (1, 2, 2, 3):
        torch.set_num_threads(n)
        runs.append(solved_with_gradients(compiled, p))
    torch.set_num_threads(threads)
    for run in runs[1:]:
        assert all(torch.equal(run[name], value) for name, value in runs[0].items())


def test_torchs_operator_gives_the_same_bytes() -> None:
    p = random_problem(biases=True)
    a, b = solved_with_gradients(compiled, p), solved_with_gradients(lambda q: recurrence(*q), p)
    assert all(torch.equal(a[name], b[name]) for name in a)


FORK = """
import os, signal, torch
from nf_policies import NeuralField
torch.set_num_threads(2)
field, inputs = NeuralField(3, 6, 2, activation="tanh"), torch.randn(5, 100, 3)
field(inputs)[0].sum().backward()
child = os.fork()
if child == 0:
    signal.alarm(30)
    field(inputs)[0].sum().backward()
    os._exit(0)
print("status", os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_does_not_wait_for_threads_that_it_does_not_have() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "status 0", done.stderr


def test_strided_inputs_and_resets_need_no_copy_and_give_the_same() -> None:
    p = random_problem(time=7, batch=6)
    assert p.episode_starts is not None
    wide = torch.randn(6, 7, 10)
    wide[:, :, 2:5] = p.inputs.transpose(0, 1)
    strided = p._replace(
        inputs=wide[:, :, 2:5].transpose(0, 1),
        episode_starts=p.episode_starts.T.contiguous().T,
        potentials=p.potentials.repeat(2, 1)[::2],
    )
    strided.potentials.copy_(p.potentials)
    a, b = solved_with_gradients(compiled, p), solved_with_gradients(compiled, strided)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_operator_keeps_all_of_torchs_promises() -> None:
    p = random_problem(biases=True)
    leaves = [t.requires_grad_() if isinstance(t, torch.Tensor) and t.is_floating_point() else t for t in p]
    torch.library.opcheck(recurrence, tuple(leaves))
    bare = random_problem(outputs=0, starts=None)
    torch.library.opcheck(recurrence, tuple(bare))


def test_vmap_over_it_is_a_loop() -> None:
    problems = [random_problem(seed=seed) for seed in range(3)]
    lateral, inputs = (torch.stack([getattr(p, name) for p in problems]) for name in ("lateral", "inputs"))
    outputs, trajectory = torch.func.vmap(
        lambda m, x: recurrence(*problems[0]._replace(lateral=m, inputs=x)), in_dims=(0, 0)
    )(lateral, inputs)
    for i in range(3):
        expected = recurrence(*problems[0]._replace(lateral=lateral[i], inputs=inputs[i]))
        assert torch.equal(outputs[i], expected[0])
        assert torch.equal(trajectory[i], expected[1])


@pytest.mark.parametrize("kind", ["neural", "simple"])
def test_a_field_is_differentiated_by_torch_func(kind) -> None:
    field = FIELDS[kind]()
    parameters = {name: p.detach() for name, p in field.named_parameters()}
    inputs = torch.randn(5, 4, 3)

    def loss(p):
        return torch.func.functional_call(field, p, (inputs,))[0].square().sum()

    found = torch.func.grad(loss)(parameters)
    loss(dict(field.named_parameters())).backward()
    for name, parameter in field.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-5)


def test_gradients_of_gradients_are_refused_in_one_sentence() -> None:
    p = random_problem()
    x = p.inputs.clone().requires_grad_()
    for solver in (lambda q: recurrence(*q), compiled):
        outputs, _ = solver(p._replace(inputs=x))
        with pytest.raises(NotImplementedError, match="NF_POLICIES_FUSED=0"):
            torch.autograd.grad(outputs.sum(), x, create_graph=True)[0].sum().backward()


FIELDS = {
    "neural": lambda **o: NeuralField(3, 6, 2, activation="tanh", **o),
    "simple": lambda **o: SimpleNeuralField(3, 2, 4, **o),
}


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_field_gives_the_same_with_and_without_it(kind, batch_first, monkeypatch) -> None:
    field = FIELDS[kind](batch_first=batch_first).double()
    inputs = torch.randn(6, 9, 3, dtype=torch.float64)
    starts = torch.rand(6, 9) < 0.2

    def run():
        field.zero_grad()
        outputs, potentials = field(inputs, episode_starts=starts)
        (outputs.square().sum() + potentials.sum()).backward()
        return [outputs, potentials, *(p.grad.clone() for p in field.parameters())]

    with watched_solver() as problems:
        with_it = run()
        assert len(problems) == 1
        monkeypatch.setenv("NF_POLICIES_FUSED", "0")
        without = run()
        assert len(problems) == 1, "the environment variable turns it off"
    for a, b in zip(with_it, without, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_a_field_compiles_and_exports_with_one_node_for_the_sequence() -> None:
    field = FIELDS["neural"]()
    inputs, starts = torch.randn(5, 4, 3), torch.rand(5, 4) < 0.3
    expected, _ = field(inputs, episode_starts=starts)
    outputs, _ = torch.compile(field, fullgraph=True, backend="aot_eager")(inputs, episode_starts=starts)
    torch.testing.assert_close(outputs, expected)
    outputs.sum().backward()
    program = torch.export.export(field, (inputs,), {"episode_starts": starts})
    names = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert sum("nf_policies.recurrence" in name for name in names) == 1
    torch.testing.assert_close(program.module()(inputs, episode_starts=starts)[0], expected)


def test_a_graph_has_the_operator_only_where_something_solves_it(monkeypatch) -> None:
    field, inputs = FIELDS["simple"](), torch.randn(5, 4, 3)
    monkeypatch.setattr(build, "library", lambda *shape: None)  # as without a compiler
    program = torch.export.export(field, (inputs,))
    assert not any("nf_policies" in str(node.target) for node in program.graph.nodes)
    outputs = torch.compile(field, fullgraph=True, backend="aot_eager")(inputs)[0]
    torch.testing.assert_close(outputs, field(inputs)[0])


def test_a_graph_with_the_operator_says_what_to_do_where_nothing_solves_it(monkeypatch) -> None:
    field, inputs = FIELDS["simple"](), torch.randn(5, 4, 3)
    program = torch.export.export(field, (inputs,)).module()
    assert torch.equal(program(inputs)[0], field(inputs)[0])
    monkeypatch.setenv("NF_POLICIES_FUSED", "0")
    with pytest.raises(ValueError, match="set NF_POLICIES_FUSED=0 when the field is compiled or exported"):
        program(inputs)
