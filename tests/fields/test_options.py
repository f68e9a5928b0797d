"""The options of a field are one value: compared by what they say, kept in files, and refused by name."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from nf_policies.fields import NeuralField, SimpleNeuralField
from nf_policies.fields.field import Field
from nf_policies.fields.options import NeuralOptions, SimpleOptions

DESCRIBED = {
    "neural": lambda: NeuralField(3, 6, 2),
    "neural, reflect, two channels": lambda: NeuralField(
        3, 6, padding="reflect", kernel_size=4, mirrored=False, channels=2, pooling_norm=2, bell_init=True
    ),
    "neural, kappa off, one tau per neuron": lambda: NeuralField(
        3, 6, 2, tau_init=(1.2, 5.0), kappa_init=0, activation=["tanh", torch.relu] * 3, integrator="exponential_euler"
    ),
    "neural, numbers of NumPy and torch": lambda: NeuralField(
        3, 4, 2, tau_init=np.full(4, 3.0), kappa_init=torch.tensor(0.1), dt=np.float32(0.5), activation=torch.tanh
    ),
    "simple": lambda: SimpleNeuralField(3, 2, tau_learnable=False, batch_first=True),
    "simple, capacity": lambda: SimpleNeuralField(3, 2, 4, dynamics="capacity_32_abs", capacity_learnable=False),
    "simple, initial potentials": lambda: SimpleNeuralField(
        3, 2, 4, initial_potentials=torch.ones(4), initial_potentials_learnable=True
    ),
}


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_field_built_from_its_description_is_the_same_once_it_has_the_tensors(name):
    field = DESCRIBED[name]()
    options = json.loads(json.dumps(field.describe(), allow_nan=False))
    twin = Field.kinds[type(field).__name__](**options, generator=torch.Generator().manual_seed(1))
    twin.load_state_dict(field.state_dict())
    assert [n for n, _ in twin.named_parameters()] == [n for n, _ in field.named_parameters()]
    assert twin.describe() == field.describe()
    inputs = torch.randn(5, 4, 3)
    assert torch.equal(twin(inputs)[0], field(inputs)[0])


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (lambda: NeuralField(3, 6, activation=torch.sin), "activation of your own"),
        (lambda: NeuralField(3, 6, activation=[nn.PReLU()] * 6), "activation of your own"),
        (lambda: NeuralField(3, 6, input_embedding=nn.Linear(3, 6)), "input_embedding of your own"),
        (lambda: NeuralField(3, 6, output_embedding=nn.Identity()), "output_embedding of your own"),
        (lambda: SimpleNeuralField(3, 2, dynamics=lambda u, s, h: s - u), "dynamics of your own"),
    ],
)
def test_a_field_with_functions_of_ones_own_cannot_be_described(field, message):
    with pytest.raises(ValueError, match=message):
        field().describe()


def test_a_class_that_takes_another_ones_name_is_not_described_as_that():
    impostor = type("NeuralField", (NeuralField,), {})
    assert Field.kinds["NeuralField"] is NeuralField
    with pytest.raises(ValueError, match="two kinds of field named NeuralField"):
        impostor(3, 6).describe()


def test_options_are_equal_where_they_say_the_same():
    field = NeuralField(3, 4, 2, tau_init=[1, 2, 3, 4], activation=["tanh"] * 4, initial_potentials=torch.zeros(4))
    same = NeuralField(3, 4, 2, tau_init=torch.arange(1.0, 5.0), activation=("tanh",) * 4, initial_potentials=[0] * 4)
    assert field.options == same.options
    assert hash(field.options) == hash(same.options)
    for options in ({"activation": "tanh"}, {"dt": 0.5}, {"tau_init": 3.0}):
        assert NeuralField(3, 4, 2, **options).options != NeuralField(3, 4, 2).options


@pytest.mark.parametrize(("kind", "options"), [(NeuralField, NeuralOptions), (SimpleNeuralField, SimpleOptions)])
def test_an_unknown_option_is_refused_with_all_there_are(kind, options):
    with pytest.raises(ValueError, match=r"Unknown option 'taus' of a field: choose from activation, tau_init"):
        kind(3, 4, taus=1.0)
    assert kind(3, 4).options == kind(3, 4, **vars(options())).options


@pytest.mark.parametrize("value", ["slow", [1.0, [2.0]], object()])
def test_an_option_that_is_no_number_is_refused_by_name(value):
    with pytest.raises(ValueError, match="tau_init must be numbers"):
        SimpleNeuralField(3, 2, tau_init=value)


def test_the_options_of_a_field_cannot_be_changed_behind_its_back():
    field = NeuralField(3, 6)
    with pytest.raises(AttributeError):
        field.batch_first = True
    with pytest.raises(AttributeError):
        field.options.dt = 2.0


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "identity"])
def test_a_field_can_be_pickled(activation):
    field, inputs = SimpleNeuralField(3, 2, activation=activation), torch.randn(5, 4, 3)
    for twin in (pickle.loads(pickle.dumps(field)), copy.deepcopy(field)):
        assert torch.equal(twin(inputs)[0], field(inputs)[0])
