"""The Triton kernels against the reference in float64; `test_gpu.py` starts these tests in a process of their own.

    TRITON_INTERPRET=1 python -m pytest tests/kernels/gpu_parity.py     on a CPU, run by Triton's interpreter
    python -m pytest tests/kernels/gpu_parity.py                        on a GPU

Errors are relative to the largest number of each tensor. What a GPU adds, TF32 and its exp, the interpreter lacks.
"""

import os

import pytest
import torch
from kernel_reference import double, reference, reference_backward
from torch import Tensor, nn

from nf_policies.fields import NeuralField, SimpleNeuralField
from nf_policies.fields.dynamics import DYNAMICS, polynomial
from nf_policies.fields.options import optional_parameters
from nf_policies.kernels import gpu
from nf_policies.kernels.operator import SOLVERS, Gradients, Problem, recurrence

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
# The first product in autograd's thread finds no context of the GPU there, and tells so.
pytestmark = pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS")
FORWARD, BACKWARD = 2e-6, 1e-5
SOME, NOWHERE, EVERYWHERE = "some", "nowhere", "everywhere"


def make(
    time: int = 6,
    batch: int = 19,
    hidden: int = 9,
    inputs: int = 3,
    outputs: int = 2,
    dynamics: str = "cubic",
    activation: str = "tanh",
    resets: str = SOME,
    biases: bool = True,
    seed: int = 0,
) -> Problem:
    """A problem with numbers of ordinary size, whose solution does not amplify rounding errors by itself."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(DEVICE)

    def uniform(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(hidden, generator=generator)).to(DEVICE)

    values = {"kappa": uniform(0.01, 0.1), "capacity": uniform(3.0, 6.0)}
    function = DYNAMICS[dynamics]
    form = polynomial(function, {name: values[name] for name in optional_parameters(function)})
    assert form is not None
    rows = (0.3 * normal(hidden), uniform(0.1, 0.4), uniform(0.5, 1.5), 0.3 * normal(hidden), 0.5 * normal(hidden))
    starts = {
        SOME: (torch.rand(time, batch, generator=generator) < 0.3).to(DEVICE),
        NOWHERE: None,
        EVERYWHERE: torch.ones(time, batch, dtype=torch.bool, device=DEVICE),
    }
    return Problem(
        inputs=0.5 * normal(time, batch, inputs or hidden),
        potentials=0.5 * normal(batch, hidden),
        episode_starts=starts[resets],
        lateral=0.5 * normal(hidden, hidden) / hidden**0.5,
        neurons=torch.stack([*rows, *form.terms]),
        weights_in=0.5 * normal(hidden, inputs) if inputs else None,
        bias_in=0.5 * normal(hidden) if inputs and biases else None,
        weights_out=normal(outputs, hidden) if outputs else None,
        bias_out=normal(outputs) if outputs and biases else None,
        activation=activation,
        power=form.power,
        leak=form.leak,
    )


def error(found: Tensor, exact: Tensor) -> float:
    """The largest difference over the largest number."""
    assert found.shape == exact.shape
    if exact.numel() == 0 or not exact.any():
        return float(found.abs().max()) if found.numel() else 0.0
    return float((found - exact).abs().max() / exact.abs().max())


def check(p: Problem, of_outputs: bool = True, of_potentials: bool = True) -> None:
    """Compare both passes with the reference."""
    exact = double(p)
    outputs, trajectory = gpu.forward(p)
    exact_outputs, exact_trajectory = reference(exact)
    assert error(outputs, exact_outputs) <= FORWARD
    assert error(trajectory, exact_trajectory) <= FORWARD

    generator = torch.Generator(DEVICE).manual_seed(1)
    d_outputs = (
        torch.randn(outputs.shape, generator=generator, device=DEVICE)
        if of_outputs and p.weights_out is not None
        else None
    )
    d_trajectory = torch.randn(trajectory.shape, generator=generator, device=DEVICE) if of_potentials else None
    found = gpu.backward(p, trajectory, d_outputs, d_trajectory, inputs_need_it=True)
    wanted = reference_backward(exact, *(None if d is None else d.double() for d in (d_outputs, d_trajectory)))
    for name in Gradients._fields:
        assert error(getattr(found, name), getattr(wanted, name)) <= BACKWARD, name


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_all_dynamics_and_activations_equal_the_reference(dynamics, activation) -> None:
    check(make(dynamics=dynamics, activation=activation))


@pytest.mark.parametrize("hidden", [1, 2, 3, 5, 8, 9, 16, 17, 33, 64, 100, 128])
def test_any_number_of_neurons_equals_the_reference(hidden) -> None:
    check(make(hidden=hidden, time=4, dynamics="capacity_32", seed=hidden))


@pytest.mark.parametrize("hidden", [3, 8, 16])
@pytest.mark.parametrize("batch", [1, 7, 8, 16, 33])
def test_any_batch_equals_the_reference(batch, hidden) -> None:
    check(make(batch=batch, hidden=hidden, time=3))


@pytest.mark.parametrize("resets", [SOME, NOWHERE, EVERYWHERE])
@pytest.mark.parametrize("time", [1, 2, 40])
def test_any_length_with_any_resets_equals_the_reference(time, resets) -> None:
    check(make(time=time, resets=resets, batch=5, hidden=5))


@pytest.mark.parametrize(("inputs", "outputs", "biases"), [(0, 0, False), (0, 2, True), (3, 0, True), (3, 2, False)])
def test_each_layer_may_be_missing(inputs, outputs, biases) -> None:
    check(make(inputs=inputs, outputs=outputs, biases=biases))


@pytest.mark.parametrize(("of_outputs", "of_potentials"), [(True, False), (False, True)])
def test_gradients_of_outputs_or_of_potentials_alone(of_outputs, of_potentials) -> None:
    check(make(), of_outputs, of_potentials)


def test_layouts_of_a_users_tensors_do_not_matter() -> None:
    p = make()
    assert p.episode_starts is not None
    check(
        p._replace(
            inputs=p.inputs.transpose(0, 1).contiguous().transpose(0, 1),
            potentials=p.potentials.repeat_interleave(2, dim=1)[:, ::2],
            episode_starts=p.episode_starts.T.contiguous().T,
            lateral=p.lateral.T.contiguous().T,
            neurons=p.neurons.repeat(2, 1)[: len(p.neurons)],
        )
    )


def test_neighbouring_memory_and_unwritten_memory_are_not_read() -> None:
    p = make(batch=5, hidden=5)
    framed = {}
    for name in ("inputs", "potentials", "lateral", "neurons"):
        tensor = getattr(p, name)
        frame = torch.full((tensor.numel() + 64,), torch.nan, device=DEVICE)
        framed[name] = frame[32:-32].view_as(tensor).copy_(tensor)
    torch.use_deterministic_algorithms(True)  # new memory is filled with NaN
    try:
        assert torch.empty(3, device=DEVICE).isnan().all()
        check(p._replace(**framed))
    finally:
        torch.use_deterministic_algorithms(False)


def test_results_repeat_to_the_bit() -> None:
    p = make(batch=33)
    results = []
    for _ in range(2):
        outputs, trajectory = gpu.forward(p)
        results.append((outputs, trajectory, *gpu.backward(p, trajectory, outputs, trajectory, True)))
    for first, second in zip(*results, strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("hidden", [4, 20])
@pytest.mark.parametrize("resets", [SOME, NOWHERE])
def test_a_potential_that_is_cut_to_the_bound_passes_no_gradient(hidden, resets) -> None:
    p = make(hidden=hidden, dynamics="linear", resets=resets)
    neurons = p.neurons.clone()
    neurons[2] *= 0.02  # so that large potentials do not only meet flat parts of the activation
    p = p._replace(inputs=600 * p.inputs, neurons=neurons)
    _, trajectory = gpu.forward(p)
    cut = float((trajectory.abs() == 100).float().mean())
    assert 0.05 < cut < 0.95
    check(p)


def test_a_potential_that_comes_to_lie_on_the_bound_by_itself_passes_its_gradient() -> None:
    p = make(inputs=0, dynamics="linear", resets=NOWHERE)
    neurons = p.neurons.clone()
    neurons[0] = 100  # at rest on the bound, without stimuli
    p = p._replace(
        inputs=torch.zeros_like(p.inputs),
        potentials=torch.full_like(p.potentials, 100),
        lateral=torch.zeros_like(p.lateral),
        neurons=neurons,
    )
    _, trajectory = gpu.forward(p)
    assert (trajectory == 100).all()
    assert gpu.backward(p, trajectory, None, torch.ones_like(trajectory), True).potentials.all()
    check(p)


def test_nan_stays_nan_and_stays_in_its_sequence() -> None:
    p = make(resets=NOWHERE)
    potentials = p.potentials.clone()
    potentials[3, 0] = torch.nan
    outputs, trajectory = gpu.forward(p._replace(potentials=potentials))
    assert trajectory[-1, 3].isnan().all()
    assert outputs[-1, 3].isnan().all()
    others = torch.arange(p.inputs.shape[1], device=DEVICE) != 3
    assert torch.equal(trajectory[:, others], gpu.forward(p)[1][:, others])


@pytest.mark.parametrize(("name", "function"), [("sigmoid", torch.sigmoid), ("tanh", torch.tanh)])
def test_activations_are_right_in_all_their_digits(name, function) -> None:
    z = torch.cat([sign * torch.logspace(-6, 2, 400) for sign in (-1, 1)])[:, None].to(DEVICE)
    still = torch.tensor([[0.0], [0.0], [1.0], [0.0], [0.0]], device=DEVICE)  # a rate of zero leaves the potentials
    one = torch.ones(1, 1, device=DEVICE)
    p = Problem(0 * z[None], z, None, one, still, None, None, one, None, name, 2, 1.0)
    outputs, trajectory = gpu.forward(p)
    assert torch.equal(trajectory[0], z)
    exact = function(z.double())
    # A GPU's exp(z) carries the rounding of its argument, 6e-8 |z|, which only the tail of a sigmoid shows.
    assert ((outputs[0] - exact).abs() <= (1e-6 + 1e-7 * z.abs().clamp(max=100)) * exact.abs() + 1e-37).all()


@pytest.mark.parametrize(
    "field",
    [
        lambda: NeuralField(3, 12, 2, activation="sigmoid", kappa_init=0.005, tau_init=2.0, channels=2, kernel_size=4),
        lambda: NeuralField(3, 6, 2, activation="tanh", tau_init=(1.2, 5.0), initial_potentials_learnable=True),
        *(lambda name=name: SimpleNeuralField(3, 2, hidden_size=3, dynamics=name) for name in DYNAMICS),
    ],
)
def test_a_field_has_the_same_outputs_and_gradients_through_the_operator(field, monkeypatch) -> None:
    monkeypatch.setitem(SOLVERS, DEVICE, gpu)
    monkeypatch.setattr(gpu, "fits", lambda p: p.neurons.dtype == torch.float32)
    torch.manual_seed(2)
    inputs, starts = torch.randn(5, 4, 3).to(DEVICE), (torch.rand(5, 4) < 0.3).to(DEVICE)
    single = field().to(DEVICE)
    double = field().to(DEVICE).double()
    double.load_state_dict({name: value.double() for name, value in single.state_dict().items()})

    def run(field: nn.Module, inputs: Tensor) -> list[Tensor]:
        inputs = inputs.clone().requires_grad_()
        outputs, potentials = field(inputs, episode_starts=starts)
        (outputs.square().sum() + potentials[-1].sum()).backward()
        gradients = [p.grad for p in field.parameters()]
        return [outputs, potentials, inputs.grad, *gradients]

    found = run(single, inputs)
    monkeypatch.setenv("NF_POLICIES_FUSED", "0")
    for ours, exact in zip(found, run(double, inputs.double()), strict=True):
        assert error(ours.detach(), exact.detach()) <= BACKWARD


def test_autocast_does_not_reach_into_the_operator(monkeypatch) -> None:
    monkeypatch.setitem(SOLVERS, DEVICE, gpu)
    monkeypatch.setattr(gpu, "fits", lambda p: p.neurons.dtype == torch.float32)
    p = make(time=3, batch=4, hidden=5)
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        outputs, trajectory = recurrence(*p)
    assert torch.equal(trajectory, gpu.forward(p)[1])
    assert torch.equal(outputs, gpu.forward(p)[0])


def test_the_operator_keeps_torchs_rules(monkeypatch) -> None:
    monkeypatch.setitem(SOLVERS, DEVICE, gpu)
    monkeypatch.setattr(gpu, "fits", lambda p: p.neurons.dtype == torch.float32)
    p = make(time=3, batch=4, hidden=5)
    arguments = [v.requires_grad_() if isinstance(v, Tensor) and v.is_floating_point() else v for v in p]
    torch.library.opcheck(recurrence, arguments)
