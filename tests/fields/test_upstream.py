"""Against the real neuralfields 0.5.2: the same outputs from its parameters, and none of its traps."""

import copy
import gc
import multiprocessing

import pytest
import torch
from torch import nn

from nf_policies.fields import NeuralField, ParameterVector, SimpleNeuralField, load_neuralfields
from nf_policies.fields.dynamics import DYNAMICS

neuralfields = pytest.importorskip("neuralfields")

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # upstream's Conv1d, a copy

TIME, BATCH, INPUTS, HIDDEN = 30, 4, 3, 6


@pytest.fixture(autouse=True)
def _seeded():
    """Upstream draws its parameters from the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield


def agree(field, upstream):
    """Whether both give the same outputs and potentials over a sequence, from the same parameters."""
    with torch.no_grad():
        for parameter in upstream.parameters():  # away from the start values, which might agree by accident
            parameter += 0.1 * torch.randn_like(parameter)
    load_neuralfields(field, upstream.state_dict())
    inputs = 2 * torch.randn(TIME, BATCH, INPUTS)
    for start in (None, torch.randn(BATCH, field.hidden_size)):
        with torch.no_grad():
            expected_outputs, expected_potentials = upstream(inputs.transpose(0, 1), start)
            outputs, potentials = field(inputs, start)
        torch.testing.assert_close(outputs.transpose(0, 1), expected_outputs, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(potentials.transpose(0, 1), expected_potentials, rtol=1e-6, atol=2e-6)
    assert outputs.std() > 0.01


NEURAL = {  # ours, upstream's where they are called differently
    "default": ({}, {}),
    "tanh, short kernel": ({"kernel_size": 3}, {"conv_kernel_size": 3, "activation_nonlin": torch.tanh}),
    "even kernel": ({"kernel_size": 4}, {"conv_kernel_size": 4}),
    "free kernel": ({"mirrored": False}, {"mirrored_conv_weights": False}),
    "free even kernel": (
        {"mirrored": False, "kernel_size": 4},
        {"mirrored_conv_weights": False, "conv_kernel_size": 4},
    ),
    "reflect": ({"padding": "reflect", "kernel_size": 5}, {"conv_padding_mode": "reflect", "conv_kernel_size": 5}),
    "zeros": ({"padding": "zeros"}, {"conv_padding_mode": "zeros"}),
    "free zeros": ({"padding": "zeros", "mirrored": False}, {"conv_padding_mode": "zeros", "mirrored_conv_weights": 0}),
    "two channels": ({"channels": 2}, {"conv_out_channels": 2}),
    "p = 2": ({"channels": 3, "pooling_norm": 2}, {"conv_out_channels": 3, "conv_pooling_norm": 2}),
    "one channel, p = 2": ({"pooling_norm": 2}, {"conv_pooling_norm": 2}),
    "no cubic decay": ({"kappa_init": 0}, {"kappa_init": 0}),
    "strong decay, fast, fixed": (
        {"kappa_init": 0.02, "tau_init": 1.5, "tau_learnable": False, "kappa_learnable": False},
        {"kappa_init": 0.02, "tau_init": 1.5, "tau_learnable": False, "kappa_learnable": False},
    ),
    "tau per neuron": ({"tau_init": (1.2, 5.0), "kappa_init": (0.1, 0.2)}, {"tau_init": 3.0, "kappa_init": 0.01}),
    "initial potentials": (
        {"initial_potentials": torch.linspace(-2, 2, HIDDEN)},
        {"potentials_init": torch.linspace(-2, 2, HIDDEN)[None]},
    ),
    "own output size": ({"output_size": 2}, {"output_size": 2}),
    "bell": ({"bell_init": True}, {"init_param_kwargs": {"bell": True}}),
}


@pytest.mark.parametrize("options", NEURAL)
def test_a_neural_field_with_upstream_s_parameters_gives_upstream_s_outputs(options):
    ours, theirs = NEURAL[options]
    field = NeuralField(INPUTS, HIDDEN, activation="tanh" if "activation_nonlin" in theirs else "sigmoid", **ours)
    agree(field, neuralfields.NeuralField(INPUTS, HIDDEN, **theirs))


@pytest.mark.parametrize("name", DYNAMICS)
@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_simple_field_with_upstream_s_parameters_gives_upstream_s_outputs(name, activation, outputs):
    dynamics = getattr(neuralfields, f"pd_{name}")
    field = SimpleNeuralField(INPUTS, outputs, dynamics=name, activation=activation)
    agree(
        field, neuralfields.SimpleNeuralField(INPUTS, outputs, dynamics, activation_nonlin=getattr(torch, activation))
    )


@pytest.mark.parametrize("kind", ["neural", "simple"])
@pytest.mark.parametrize("activation", [[torch.tanh, torch.sigmoid, nn.PReLU()] * 2, nn.PReLU()])
def test_activations_and_embeddings_with_parameters_are_read_too(kind, activation):
    parts = {
        "input_embedding": nn.Sequential(nn.Linear(INPUTS, 5), nn.Tanh(), nn.Linear(5, HIDDEN)),
        "output_embedding": nn.Linear(HIDDEN, HIDDEN),
    }
    # Upstream starts at 0 where the neurons' activations are a list, whatever they are.
    start = {"initial_potentials": torch.zeros(HIDDEN)}
    mine, theirs = copy.deepcopy((parts, activation)), copy.deepcopy((parts, activation))
    if kind == "neural":
        field = NeuralField(INPUTS, HIDDEN, **mine[0], activation=mine[1], **start)
        agree(field, neuralfields.NeuralField(INPUTS, HIDDEN, **theirs[0], activation_nonlin=theirs[1]))
    else:
        field = SimpleNeuralField(INPUTS, HIDDEN, **mine[0], activation=mine[1], **start)
        upstream = neuralfields.SimpleNeuralField(
            INPUTS, HIDDEN, neuralfields.pd_cubic, **theirs[0], activation_nonlin=theirs[1]
        )
        agree(field, upstream)


def test_a_field_starts_where_upstream_does():
    upstream = neuralfields.SimpleNeuralField(
        INPUTS, 3, neuralfields.pd_capacity_21, init_param_kwargs={"self_centric_init": True}
    )
    field = SimpleNeuralField(INPUTS, 3, dynamics="capacity_21", self_centric_init=True)
    assert torch.equal(field.interaction.weight, upstream.prev_activations_embedding.weight)
    for name in ("tau", "capacity"):
        torch.testing.assert_close(getattr(field, name), getattr(upstream, name))
    assert torch.equal(field.initial_potentials, upstream.init_hidden())


@pytest.mark.parametrize(
    ("field", "theirs", "message"),
    [
        ({"hidden_size": HIDDEN + 1}, {}, "activation_scale is"),
        ({"mirrored": False}, {}, "kernel is"),
        ({"channels": 2}, {}, "kernel is"),
        ({"kappa_init": 0}, {}, "use a positive kappa_init"),
        ({}, {"kappa_init": 0}, "use kappa_init=0"),
        ({"tau_min": 1.0}, {"tau_init": 0.5}, "tau_min = 1.0"),
        ({"input_embedding": nn.Identity()}, {"input_embedding": nn.PReLU()}, "has input_embedding.weight"),
        ({"input_embedding": nn.Linear(INPUTS, HIDDEN)}, {}, "has no input_embedding.bias"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_by_name_and_nothing_is_changed(field, theirs, message):
    upstream = neuralfields.NeuralField(INPUTS, HIDDEN, **theirs)
    field = NeuralField(INPUTS, **({"hidden_size": HIDDEN} | field))
    before = copy.deepcopy(field.state_dict())
    with pytest.raises(ValueError, match=message):
        load_neuralfields(field, upstream.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in field.state_dict().items())


def test_a_model_of_the_other_kind_or_of_no_kind_is_refused():
    upstream = neuralfields.SimpleNeuralField(INPUTS, HIDDEN, neuralfields.pd_cubic)
    with pytest.raises(ValueError, match="another kind of field"):
        load_neuralfields(NeuralField(INPUTS, HIDDEN), upstream.state_dict())
    with pytest.raises(ValueError, match="weight_ih_l0 is not an entry"):
        load_neuralfields(NeuralField(INPUTS, HIDDEN), nn.GRU(3, 4).state_dict())


# Upstream's traps: each test shows that upstream falls in (so that the trap is real) and that these fields do not.


@pytest.fixture
def pair():
    """A field with the parameters of an upstream one, and the upstream one."""
    upstream = neuralfields.NeuralField(INPUTS, HIDDEN, tau_init=2.0, activation_nonlin=torch.tanh)
    field = NeuralField(INPUTS, HIDDEN, tau_init=2.0, activation="tanh")
    load_neuralfields(field, upstream.state_dict())
    return field, upstream


def test_the_gradient_goes_back_through_time(pair):
    field, upstream = pair
    inputs = torch.randn(5, 1, INPUTS, requires_grad=True)

    def at_the_first_step(outputs):
        return torch.autograd.grad(outputs.sum(), inputs)[0][0]

    assert (at_the_first_step(upstream(inputs.transpose(0, 1))[0][:, -1]) == 0).all()
    assert (at_the_first_step(field(inputs)[0][-1]) != 0).all()


def test_a_sigmoid_field_is_reset_to_its_own_start_not_to_zero():
    field = NeuralField(INPUTS, HIDDEN)
    inputs = torch.randn(4, 1, INPUTS)
    starts = torch.tensor([[False], [False], [True], [False]])
    torch.testing.assert_close(field(inputs, episode_starts=starts)[0][2:], field(inputs[2:])[0], rtol=0, atol=0)
    multiplied_by_zero = field(inputs[2:], torch.zeros(1, HIDDEN))[0]
    assert (multiplied_by_zero - field(inputs[2:])[0]).abs().max() > 1e-3


def test_the_parameter_vector_leaves_out_what_is_fixed_or_ignored():
    upstream = neuralfields.SimpleNeuralField(INPUTS, 2, neuralfields.pd_linear, tau_learnable=False)
    field = SimpleNeuralField(INPUTS, 2, dynamics="linear", tau_learnable=False)
    assert len(upstream.param_values) == len(ParameterVector.of(field)) + 3  # tau, kappa and capacity


def test_a_kappa_of_zero_leaves_no_infinity_in_the_parameter_vector():
    assert not neuralfields.NeuralField(INPUTS, HIDDEN, kappa_init=0).param_values.isfinite().all()
    assert ParameterVector.of(NeuralField(INPUTS, HIDDEN, kappa_init=0)).start.isfinite().all()


def test_custom_initial_potentials_survive_save_and_load():
    start = torch.linspace(-2, 2, HIDDEN)
    upstream = neuralfields.NeuralField(INPUTS, HIDDEN, potentials_init=start[None])
    assert not any("potentials_init" in name for name in upstream.state_dict())
    restored = NeuralField(INPUTS, HIDDEN)
    restored.load_state_dict(NeuralField(INPUTS, HIDDEN, initial_potentials=start).state_dict())
    assert torch.equal(restored.initial_potentials, start)


def test_a_field_can_be_copied_after_a_training_step(pair):
    field, upstream = pair
    inputs = torch.randn(5, BATCH, INPUTS)
    outputs = [model(inputs)[0].sum() for model in pair]
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(upstream)
    assert torch.equal(copy.deepcopy(field)(inputs)[0].sum(), outputs[0])


def test_a_field_keeps_nothing_of_a_forward_pass_alive(pair):
    field, upstream = pair

    def graph_tensors(model):
        return sum(t.grad_fn is not None for m in model.modules() for t in [*m.buffers(), *vars(m).values()]
                   if isinstance(t, torch.Tensor))  # fmt: skip

    for model in pair:
        model(torch.randn(5, BATCH, INPUTS))
    gc.collect()
    assert graph_tensors(upstream) > 0
    assert graph_tensors(field) == 0


def test_two_dimensions_are_one_sequence_not_a_batch(pair):
    field, upstream = pair
    inputs = torch.randn(5, INPUTS)
    assert upstream(inputs)[0].shape == (5, 1, HIDDEN)
    outputs, potentials = field(inputs)
    assert outputs.shape == potentials.shape == (5, HIDDEN)
    torch.testing.assert_close(outputs, upstream(inputs[None])[0][0], rtol=1e-6, atol=1e-6)


def test_a_step_never_asks_the_device_for_a_value():
    """On the meta device there are no values to ask for: a check in Python of tau would fail."""
    field = SimpleNeuralField(INPUTS, 2).to("meta")
    outputs, _ = field.step(torch.empty(BATCH, INPUTS, device="meta"), field.start(BATCH))
    assert outputs.shape == (BATCH, 2)
    upstream = neuralfields.SimpleNeuralField(INPUTS, 2, neuralfields.pd_cubic).to("meta")
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        upstream(torch.empty(BATCH, 1, INPUTS, device="meta"))


def test_constructing_a_field_leaves_the_start_method_of_processes_alone():
    before = multiprocessing.get_start_method(allow_none=True)
    NeuralField(INPUTS, HIDDEN)
    SimpleNeuralField(INPUTS, 2)
    assert multiprocessing.get_start_method(allow_none=True) == before


@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("kernel_size", [3, 4])
def test_padding_really_happens(mirrored, kernel_size):
    """Older upstream ignored it for mirrored kernels: then all three would be the same."""
    inputs, outputs = torch.randn(3, 1, INPUTS), []
    fields = [
        NeuralField(INPUTS, HIDDEN, padding=padding, mirrored=mirrored, kernel_size=kernel_size, activation="tanh")
        for padding in ("circular", "reflect", "zeros")
    ]
    for field in fields:
        field.load_state_dict(fields[0].state_dict())
        outputs.append(field(inputs)[0])
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (outputs[one] - outputs[other]).abs().max() > 1e-4


def test_lp_pooling_of_negative_stimuli_is_not_nan():
    options = {"conv_out_channels": 2, "conv_pooling_norm": 3}
    upstream = neuralfields.NeuralField(INPUTS, HIDDEN, activation_nonlin=torch.tanh, **options)
    field = NeuralField(INPUTS, HIDDEN, activation="tanh", channels=2, pooling_norm=3)
    load_neuralfields(field, upstream.state_dict())
    inputs = torch.randn(10, BATCH, INPUTS)
    assert upstream(inputs.transpose(0, 1))[0].isnan().any()
    assert field(inputs)[0].isfinite().all()
