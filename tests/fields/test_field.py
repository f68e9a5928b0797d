"""What every field promises: shapes, purity, copies, populations, finite parameters, clear refusals."""

import copy
import gc
import io
import math
import shutil

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from nf_policies.fields import NeuralField, ParameterVector, SimpleNeuralField
from nf_policies.fields.dynamics import POTENTIALS_MAX, take
from nf_policies.fields.options import TAU_MIN

BOTH = pytest.mark.parametrize("kind", [NeuralField, SimpleNeuralField])


# Sequences


def assert_equals_its_steps(field, sequence, episode_starts):
    outputs, potentials = field(sequence, episode_starts=episode_starts)
    memory = field.start(4)
    for t in range(5):
        memory = torch.where(episode_starts[t, :, None], field.start(1), memory)
        output, memory = field.step(sequence[t], memory)
        torch.testing.assert_close(outputs[t], output, rtol=0, atol=1e-12)
        torch.testing.assert_close(potentials[t], memory, rtol=0, atol=1e-12)


def test_a_sequence_is_its_steps_one_after_the_other(field, sequence, episode_starts):
    assert_equals_its_steps(field, sequence, episode_starts)


def test_a_sequence_in_two_pieces_is_the_sequence(field, sequence, episode_starts):
    outputs, potentials = field(sequence, episode_starts=episode_starts)
    _, first = field(sequence[:3], episode_starts=episode_starts[:3])
    rest = field(sequence[3:], first[-1], episode_starts[3:])
    torch.testing.assert_close(rest, (outputs[3:], potentials[3:]), rtol=0, atol=1e-12)


def test_after_a_reset_a_field_is_as_fresh_as_at_the_start(field, sequence, episode_starts):
    outputs, _ = field(sequence, 3 * torch.ones(4, field.memory_size, dtype=torch.float64), episode_starts)
    fresh, _ = field(sequence[2:, 2:3])
    torch.testing.assert_close(outputs[2:, 2:3], fresh, rtol=0, atol=1e-12)


@BOTH
def test_neither_the_batch_axis_nor_its_absence_changes_a_value(kind, sequence, episode_starts, generator):
    plain_field, batch_first = (kind(3, 6, batch_first=b).double() for b in (False, True))
    batch_first.load_state_dict(plain_field.state_dict())
    start = torch.randn(4, plain_field.hidden_size, dtype=torch.float64, generator=generator)
    outputs, potentials = plain_field(sequence, start, episode_starts)

    alone = plain_field(sequence[:, 2], start[2], episode_starts[:, 2])
    torch.testing.assert_close(alone, (outputs[:, 2], potentials[:, 2]), rtol=0, atol=1e-12)
    assert plain_field(sequence[:, 2])[0].shape == (5, 6)

    alone = batch_first(sequence[:, 2], start[2], episode_starts[:, 2])  # unbatched is (time, features) either way
    torch.testing.assert_close(alone, (outputs[:, 2], potentials[:, 2]), rtol=0, atol=1e-12)
    transposed = batch_first(sequence.transpose(0, 1), start, episode_starts.transpose(0, 1))
    expected = (outputs.transpose(0, 1), potentials.transpose(0, 1))
    torch.testing.assert_close(transposed, expected, rtol=0, atol=0)


@pytest.mark.parametrize(("time", "batch"), [(0, 4), (5, 0), (1, 1)])
def test_empty_and_single_sequences_are_fine(plain_field, time, batch):
    outputs, potentials = plain_field(torch.zeros(time, batch, 3, dtype=torch.float64))
    assert outputs.shape == (time, batch, 2)
    assert potentials.shape == (time, batch, plain_field.hidden_size)


def test_a_call_changes_neither_its_arguments_nor_the_field(field, sequence, episode_starts):
    potentials = torch.ones(4, field.memory_size, dtype=torch.float64)
    before = copy.deepcopy((sequence, potentials, episode_starts, field.state_dict()))
    field(sequence, potentials, episode_starts)
    field.start(1).fill_(99.0)
    torch.testing.assert_close((sequence, potentials, episode_starts, field.state_dict()), before, rtol=0, atol=0)


def test_a_trace_shows_what_a_step_adds_up(field, sequence):
    potentials = field.start(4)
    trace = field.trace(sequence[0], potentials)
    outputs, after = field.step(sequence[0], potentials)
    assert torch.equal(trace.outputs, outputs)
    assert torch.equal(trace.potentials, after)
    felt = torch.cat((sequence[0], 0 * sequence[0]), dim=-1)[:, : field.felt]  # a first step knows no change
    torch.testing.assert_close(trace.stimuli_external, field.input_embedding(felt), rtol=0, atol=1e-12)
    torch.testing.assert_close(field.output_embedding(trace.activations), outputs, rtol=0, atol=1e-12)


def test_potentials_stay_bounded_whatever_the_inputs(field):
    _, potentials = field(torch.full((20, 1, 3), 1e30, dtype=torch.float64))
    assert (potentials[..., : field.hidden_size].abs() <= POTENTIALS_MAX).all()


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_of_a_field_is_the_dtype_of_all_it_gives(kind, dtype, generator):
    start = torch.arange(6)  # of another dtype, on purpose
    field = kind(3, 6, initial_potentials=start, initial_potentials_learnable=True, generator=generator).to(dtype)
    starts = torch.tensor([[True], [False]])
    outputs, potentials = field(torch.zeros(2, 1, 3, dtype=dtype), episode_starts=starts)
    assert outputs.dtype == potentials.dtype == field.tau.dtype == field.kappa.dtype == dtype


# Copies, transforms, memory


def test_a_field_can_be_copied_after_a_training_step(field, sequence):
    outputs, _ = field(sequence)
    outputs.sum().backward()
    twin = copy.deepcopy(field)
    assert torch.equal(twin(sequence)[0], outputs)
    with torch.no_grad():
        twin.resting_level += 1
    assert torch.equal(field(sequence)[0], outputs)
    assert not torch.equal(twin(sequence)[0], outputs)


def test_the_state_dict_is_complete(field, sequence, tmp_path):
    twin = copy.deepcopy(field)
    for tensor in twin.state_dict().values():
        tensor.zero_()
    file = io.BytesIO()
    torch.save(field.state_dict(), file)
    file.seek(0)
    twin.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(twin(sequence)[0], field(sequence)[0])
    assert "initial_potentials" in field.state_dict()


def test_vmap_over_stacked_fields_is_a_loop_over_them(field, sequence, episode_starts):
    fields = [copy.deepcopy(field) for _ in range(3)]
    with torch.no_grad():
        for i, one in enumerate(fields):
            one.resting_level += 0.1 * i
    parameters, buffers = stack_module_state(fields)
    together, _ = vmap(
        lambda p, b: functional_call(fields[0], (p, b), (sequence,), {"episode_starts": episode_starts})
    )(parameters, buffers)
    one_by_one = torch.stack([one(sequence, episode_starts=episode_starts)[0] for one in fields])
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=1e-12)


@BOTH
def test_a_step_compiles_into_one_graph_without_a_break(kind, generator):
    field = kind(3, 4, activation="tanh", generator=generator)
    inputs, potentials = torch.randn(2, 3, generator=generator), field.start(2)
    compiled = torch.compile(field.step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(inputs, potentials), field.step(inputs, potentials))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # by torch, in torch
def test_an_inductor_compiled_step_gives_the_same_values(generator):
    field = SimpleNeuralField(3, 2, generator=generator)
    inputs, potentials = torch.randn(2, 3, generator=generator), field.start(2)
    compiled = torch.compile(field.step, fullgraph=True)
    torch.testing.assert_close(compiled(inputs, potentials), field.step(inputs, potentials))


def test_memory_is_flat_over_a_thousand_updates(plain_field, sequence):
    optimizer = torch.optim.SGD(plain_field.parameters(), lr=1e-4)

    def update():
        optimizer.zero_grad()
        plain_field(sequence)[0].square().sum().backward()
        optimizer.step()

    def living_tensors():
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    update()
    before = living_tensors()
    for _ in range(1000):
        update()
    assert living_tensors() == before


@BOTH
def test_a_field_made_with_a_generator_is_reproducible_and_leaves_the_global_one_alone(kind):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    options = {"bell_init": True} if kind is NeuralField else {}
    fields = [kind(3, 4, generator=torch.Generator().manual_seed(7), **options) for _ in range(2)]
    assert torch.equal(torch.rand(1), expected)
    other = kind(3, 4, generator=torch.Generator().manual_seed(8), **options)
    one, same, different = (ParameterVector.of(f).start for f in (*fields, other))
    assert torch.equal(one, same)
    assert not torch.equal(one, different)


# Positive parameters


@pytest.mark.parametrize("tau_min", [TAU_MIN, 0.5])
@pytest.mark.parametrize("log_tau", [-1e4, -100.0, -20.0, 0.0])
def test_tau_never_falls_below_its_minimum_however_far_it_is_pushed(tau_min, log_tau):
    field = SimpleNeuralField(1, 1, tau_min=tau_min)
    with torch.no_grad():
        field.log_tau.fill_(log_tau)
    assert (field.tau >= tau_min).all()
    outputs, _ = field(torch.ones(10, 1, 1))
    outputs.sum().backward()
    assert outputs.isfinite().all()
    assert all(p.grad.isfinite().all() for p in field.parameters())


def test_the_minimum_of_tau_does_not_move_its_start():
    field = SimpleNeuralField(1, 3, tau_init=(1.2, 5.0), tau_min=1.0)
    torch.testing.assert_close(field.tau[[0, -1]], torch.tensor([1.2, 5.0]))
    ratios = field.tau[1:] / field.tau[:-1]
    torch.testing.assert_close(ratios[0], ratios[1])  # log-spaced


@pytest.mark.parametrize("init", [0.3, [0.3], torch.tensor([0.1, 0.2, 0.3, 0.4])])
@pytest.mark.parametrize("name", ["tau", "kappa"])
def test_tau_and_kappa_are_shared_or_one_per_neuron(name, init):
    field = SimpleNeuralField(1, 1, 4, **{f"{name}_init": init})
    expected = torch.as_tensor(init).reshape(-1)
    torch.testing.assert_close(getattr(field, name).detach(), expected)


@BOTH
def test_a_kappa_of_zero_is_exactly_off(kind, generator):
    options = {} if kind is NeuralField else {"dynamics": "cubic"}
    field = kind(3, 4, kappa_init=0, generator=generator, **options)
    assert field.kappa == 0
    assert "log_kappa" not in field.state_dict()
    inputs, potentials = torch.randn(2, 3, generator=generator), 50 * torch.randn(2, 4, generator=generator)
    trace = field.trace(inputs, potentials)
    s = trace.stimuli_external + trace.stimuli_internal
    linear = potentials + (1 / field.tau) * (s + (field.resting_level - potentials))
    assert torch.equal(trace.potentials, linear.clamp(-POTENTIALS_MAX, POTENTIALS_MAX))
    weak = kind(3, 4, kappa_init=1e-6, **options)
    weak.load_state_dict(field.state_dict() | {"log_kappa": weak.log_kappa.detach()})
    assert not torch.equal(weak.step(inputs, potentials)[1], trace.potentials)


@pytest.mark.parametrize(("activation", "level"), [("sigmoid", 7.0), ("tanh", 3.8), (["sigmoid", nn.Sigmoid()], 7.0)])
def test_the_capacity_starts_where_the_activation_saturates(activation, level):
    field = SimpleNeuralField(1, 2, dynamics="capacity_32", activation=activation)
    torch.testing.assert_close(field.capacity.detach(), torch.tensor([level]))
    assert field.activation(torch.full((1, 2), level)).min() > 0.998


def test_sigmoid_neurons_start_silent_and_others_at_zero():
    field = NeuralField(1, 3, activation=["tanh", "sigmoid", torch.relu])
    assert field.initial_potentials.tolist() == [0, -7, 0]


# The parameter vector


def test_every_entry_of_the_parameter_vector_is_finite_and_changes_the_outputs(field, sequence, episode_starts):
    vector = ParameterVector.of(field)
    assert vector.start.isfinite().all()
    assert (vector.scale > 0).all()
    assert len(vector) == len(vector.names) == len(set(vector.names)) == field.n_parameters
    with torch.no_grad():
        reference, _ = field(sequence, episode_starts=episode_starts)
        for i, name in enumerate(vector.names):
            moved = vector.start.clone()
            moved[i] += 1e-3
            vector.load(field, moved)
            assert not torch.equal(field(sequence, episode_starts=episode_starts)[0], reference), name


def test_what_is_fixed_is_not_in_the_parameter_vector():
    field = NeuralField(3, 6, tau_learnable=False, kappa_learnable=False, input_embedding=nn.Linear(3, 6))
    field.input_embedding.bias.requires_grad_(False)
    names = {name.partition("[")[0] for name in ParameterVector.of(field).names}
    assert names == {
        "activation_scale", "activation_bias", "resting_level", "kernel",
        "input_embedding.weight", "output_embedding.weight",
    }  # fmt: skip


def test_a_vector_written_into_a_field_is_read_back(field):
    vector = ParameterVector.of(field)
    values = torch.arange(len(vector), dtype=torch.float64)
    vector.load(field, values)
    assert torch.equal(ParameterVector.of(field).start, values)
    assert vector.names[0].partition("[")[0] == vector.entries[0][0]
    split = vector.split(values)
    assert all(torch.equal(split[name], p) for name, p in field.named_parameters())


def test_the_table_of_parameters_has_a_row_for_each_with_its_start_and_scale():
    field = SimpleNeuralField(3, 1, tau_init=math.e, generator=torch.Generator().manual_seed(0))
    vector = ParameterVector.of(field)
    head, *rows, total = vector.describe().splitlines()
    assert head.split() == ["parameter", "start", "scale"]
    assert [row.split()[0] for row in rows] == vector.names
    assert "input_embedding.weight[0,2]" in vector.names
    assert dict(row.split()[:2] for row in rows)["log_tau"] == "1"
    assert total == f"{len(vector)} parameters"


def test_weights_are_scaled_by_what_they_sum_over_and_logarithms_by_a_third():
    vector = ParameterVector.of(NeuralField(4, 6, kernel_size=3, mirrored=False, activation="tanh"))
    scales = {name: scale.unique().item() for name, scale in vector.split(vector.scale).items()}
    assert scales == pytest.approx(
        {
            "input_embedding.weight": 4**-0.5,
            "output_embedding.weight": 6**-0.5,
            "kernel": 3**-0.5,
            "log_tau": 1 / 3,
            "log_kappa": 1 / 3,
            "resting_level": 1,
            "activation_scale": 1,
            "activation_bias": 1,
        }
    )


def test_a_vector_of_the_wrong_length_or_of_nothing_is_refused():
    field = SimpleNeuralField(3, 1)
    with pytest.raises(ValueError, match=rf"has {field.n_parameters} entries, not 3"):
        ParameterVector.of(field).split(torch.zeros(3))
    with pytest.raises(ValueError, match="no learnable parameters"):
        ParameterVector.of(field.requires_grad_(False))
    with torch.no_grad():
        field.log_tau.fill_(-math.inf)
    with pytest.raises(ValueError, match="start value of log_tau is not finite"):
        ParameterVector.of(field.requires_grad_(True))


@pytest.mark.parametrize("inputs", [1, 4])
def test_one_neuron_with_one_output_has_below_twelve_parameters_and_repr_says_how_many(inputs):
    field = SimpleNeuralField(inputs, 1)
    assert field.n_parameters == sum(p.numel() for p in field.parameters()) < 12
    assert f"n_parameters={field.n_parameters}" in repr(field)


def test_repr_names_the_dynamics_even_of_a_function_of_one_s_own():
    assert "dynamics=capacity_21" in repr(SimpleNeuralField(1, 1, dynamics="capacity_21"))

    def my_dynamics(u, s, h):
        return s + h - u

    assert "dynamics=my_dynamics" in repr(SimpleNeuralField(1, 1, dynamics=my_dynamics))


# Populations


def candidates(field, vector, generator):
    """A population of 5 around a field's own parameters. Shape: (5, n_parameters)."""
    return vector.start + 0.2 * torch.randn(5, len(vector), dtype=torch.float64, generator=generator)


def one_by_one(field, vector, population, inputs, potentials):
    """Step every candidate alone."""
    results = []
    for parameters, x, u in zip(population, inputs, potentials, strict=True):
        vector.load(field, parameters)
        results.append(field.step(x, u))
    return tuple(torch.stack(r) for r in zip(*results, strict=True))


def test_a_population_in_one_call_is_a_loop_over_its_candidates(field, sequence, generator):
    vector = ParameterVector.of(field)
    population = candidates(field, vector, generator)
    inputs = torch.randn(5, 4, 3, dtype=torch.float64, generator=generator)
    potentials = torch.randn(5, 4, field.memory_size, dtype=torch.float64, generator=generator)
    c = field.coefficients(vector.split(population))
    together = field.step(inputs, potentials, c)
    some = torch.tensor([3, 0, 3])
    torch.testing.assert_close(
        field.step(inputs[some], potentials[some], take(c, some)), tuple(x[some] for x in together)
    )
    assert c.initial_potentials.shape == (5, 1, field.memory_size)
    alone = one_by_one(field, vector, population, inputs, potentials)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_what_a_population_leaves_out_stays_as_the_field_has_it(generator):
    field = SimpleNeuralField(3, 2, input_embedding=nn.Linear(3, 2), generator=generator).double()
    field.input_embedding.bias.requires_grad_(False).fill_(5.0)
    vector = ParameterVector.of(field)
    population = candidates(field, vector, generator)
    inputs = torch.randn(5, 4, 3, dtype=torch.float64, generator=generator)
    potentials = torch.randn(5, 4, 2, dtype=torch.float64, generator=generator)
    together = field.step(inputs, potentials, field.coefficients(vector.split(population)))
    alone = one_by_one(field, vector, population, inputs, potentials)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


# Custom parts


def test_custom_embeddings_and_activations_are_the_ones_that_run(sequence):
    calls = []

    class Watched(nn.Linear):
        def forward(self, x):
            calls.append(self)
            return super().forward(x)

    embeddings = {"input_embedding": Watched(3, 4), "output_embedding": Watched(4, 2)}
    NeuralField(3, 4, 2, **embeddings).double()(sequence)
    assert calls == list(embeddings.values())


def test_an_empty_sequential_is_an_embedding_too():
    nothing = nn.Sequential()  # false in a boolean context
    field = NeuralField(4, 4, input_embedding=nothing, output_embedding=nothing)
    assert field.input_embedding is field.output_embedding is nothing


@pytest.mark.parametrize("as_list", [list, nn.ModuleList])
def test_modules_among_the_activations_are_learned(as_list, sequence):
    modules = [nn.PReLU(), nn.Sigmoid(), nn.PReLU(init=0.7)]
    field = NeuralField(3, 3, activation=as_list(modules))
    names = [name for name, _ in field.named_parameters() if name.startswith("activation.")]
    assert names == ["activation.neuron_0.weight", "activation.neuron_2.weight"]
    u = torch.tensor([[-1.0, -2.0, -3.0]])
    torch.testing.assert_close(field.activation(u), torch.tensor([[-0.25, 1 / (1 + math.exp(2)), -2.1]]))


class Negating(NeuralField):
    """A subclass with a step of its own: it sees its inputs negated."""

    def trace(self, inputs, potentials, coefficients=None):
        return super().trace(-inputs, potentials, coefficients)


class Doubling(SimpleNeuralField):
    """A subclass whose outputs are doubled."""

    def step(self, inputs, potentials, coefficients=None):
        outputs, after = super().step(inputs, potentials, coefficients)
        return 2 * outputs, after


@pytest.mark.parametrize("fused", ["0", "1"])
@pytest.mark.parametrize("subclass", [Negating, Doubling])
def test_a_sequence_of_a_subclass_is_its_own_steps(subclass, fused, sequence, episode_starts, monkeypatch):
    monkeypatch.setenv("NF_POLICIES_FUSED", fused)
    field = subclass(3, 6, activation="tanh").double()
    assert_equals_its_steps(field, sequence, episode_starts)
    assert field(sequence[:0])[0].shape == (0, 4, 6)


def test_a_step_that_is_set_on_one_field_is_its_sequence_too(sequence):
    field = NeuralField(3, 6, activation="tanh").double()
    outputs, _ = field(sequence)
    step = field.step
    field.step = lambda inputs, potentials, c=None: step(-inputs, potentials, c)
    torch.testing.assert_close(field(-sequence)[0], outputs, rtol=0, atol=1e-12)


# Bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": 0}, "input_size must be at least 1, not 0"),
        ({"output_size": -1}, "output_size must be at least 1, not -1"),
        ({"dt": 0.0}, "dt must be positive and finite"),
        ({"dt": math.nan}, "dt must be finite, not nan"),
        ({"integrator": "heun"}, "choose euler, exponential_euler"),
        ({"tau_min": 0.0}, "tau_min must be positive"),
        ({"tau_init": 0.0}, "tau_init must be greater than tau_min"),
        ({"tau_init": -3.0}, "tau_init must be greater than tau_min"),
        ({"tau_init": math.nan}, "tau_init must be finite"),
        ({"tau_init": (0.0, 5.0)}, "tau_init as a pair must be positive"),
        ({"tau_init": (1.0, 2.0, 3.0)}, "tau_init must be a number .* a pair .* or 4 values"),
        ({"tau_init": 2.0, "tau_min": 2.0}, "tau_init must be greater than tau_min"),
        ({"kappa_init": -0.1}, "kappa_init must be positive, or 0"),
        ({"kappa_init": (0.0, 0.1)}, "kappa_init as a pair must be positive"),
        ({"kappa_init": (0.0, 0.1, 0.1, 0.1)}, "kappa_init must be positive, or 0"),
        ({"kappa_init": math.inf}, "kappa_init must be finite"),
        ({"activation": "softmax"}, "Unknown activation 'softmax': choose sigmoid, tanh"),
        ({"activation": ["tanh"] * 3}, "One activation or 4"),
        ({"activation": ["tanh", "tanh", "tanh", "softmax"]}, "Unknown activation 'softmax'"),
        ({"initial_potentials": torch.zeros(3)}, "initial_potentials must have 4 entries"),
        ({"initial_potentials": torch.full((4,), math.nan)}, "initial_potentials must be finite"),
    ],
)
@BOTH
def test_a_bad_option_is_refused_by_name(kind, options, message):
    sizes = {"input_size": 3, "hidden_size": 4, "output_size": 2}
    with pytest.raises(ValueError, match=message):
        kind(**(sizes | options))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (NeuralField, {"hidden_size": 1}, "needs hidden_size >= 2"),
        (NeuralField, {"kernel_size": 0}, "kernel_size must be between 1 and hidden_size = 4"),
        (NeuralField, {"kernel_size": 5}, "kernel_size must be between 1 and hidden_size = 4"),
        (NeuralField, {"padding": "replicate"}, "choose circular, reflect, zeros"),
        (NeuralField, {"channels": 0}, "channels and pooling_norm are integers >= 1"),
        (NeuralField, {"pooling_norm": 1.5}, "channels and pooling_norm are integers >= 1"),
        (SimpleNeuralField, {"hidden_size": 0}, "hidden_size must be at least 1"),
        (SimpleNeuralField, {"dynamics": "quartic"}, "Unknown dynamics 'quartic': choose linear, cubic"),
        (SimpleNeuralField, {"dynamics": "capacity_21", "capacity_init": 0.0}, "capacity_init must be positive"),
        (
            SimpleNeuralField,
            {"dynamics": "capacity_21", "capacity_init": math.inf},
            "capacity_init must be finite, not inf",
        ),
        (SimpleNeuralField, {"dynamics": "capacity_21", "activation": "relu"}, "need capacity_init"),
    ],
)
def test_a_bad_option_of_one_kind_is_refused_by_name(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**({"input_size": 3, "hidden_size": 4, "output_size": 2} | options))


@pytest.mark.parametrize(
    ("inputs", "potentials", "episode_starts", "message"),
    [
        ((3,), None, None, r"inputs must be \(time, batch, input_size\) or \(time, input_size\), not \(3,\)"),
        ((5, 4, 2), None, None, r"must end with input_size = 3 features, not \(5, 4, 2\)"),
        ((5, 4, 3), (5, 6), None, r"potentials must be \(4, 6\), not \(5, 6\)"),
        ((5, 4, 3), (6,), None, r"potentials must be \(4, 6\), not \(6,\)"),
        ((5, 3), (1, 6), None, r"potentials must be \(6,\), not \(1, 6\)"),
        ((5, 4, 3), None, torch.zeros(4, 5, dtype=torch.bool), r"episode_starts must be \(5, 4\) as the inputs"),
        ((5, 4, 3), None, torch.zeros(5, 4), "episode_starts must be bool, not torch.float32"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(inputs, potentials, episode_starts, message):
    field = NeuralField(3, 6)
    with pytest.raises(ValueError, match=message):
        field(torch.zeros(inputs), None if potentials is None else torch.zeros(potentials), episode_starts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_embedding": nn.Linear(3, 1)}, r"input_embedding must map to hidden_size = 6, not \(4, 1\)"),
        ({"output_embedding": nn.Linear(6, 5)}, r"output_embedding must map to output_size = 2, not \(4, 5\)"),
    ],
)
def test_an_embedding_of_the_wrong_size_is_not_broadcast_but_refused(options, message):
    field = NeuralField(3, 6, 2, **options)
    with pytest.raises(ValueError, match=message):
        field.step(torch.zeros(4, 3), field.start(4))


def test_only_capacity_dynamics_have_a_capacity():
    assert hasattr(SimpleNeuralField(1, 1, dynamics="capacity_21"), "capacity")
    with pytest.raises(AttributeError, match="no attribute 'capacity'"):
        _ = SimpleNeuralField(1, 1, dynamics="linear").capacity
