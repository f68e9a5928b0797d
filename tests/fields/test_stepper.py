"""A stepper is the field's own step, whatever solves it."""

import copy
import pickle
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from nf_policies.fields import NeuralField, ParameterVector, SimpleNeuralField
from nf_policies.fields.stepper import Stepper

FIELDS = {
    "neural": lambda: NeuralField(3, 6, 2, activation="tanh"),
    "simple": lambda: SimpleNeuralField(3, 2, 1, dynamics="capacity_32"),
    "own readout": lambda: NeuralField(3, 6, 2, output_embedding=nn.Sequential(nn.Linear(6, 2), nn.Tanh())),
    "own functions": lambda: NeuralField(3, 6, 2, activation=torch.sin, output_embedding=nn.Linear(6, 2)),
    "changes": lambda: SimpleNeuralField(3, 2, 4, changes=True),
    "changes, own readout": lambda: NeuralField(3, 6, 2, changes=True, output_embedding=nn.Linear(6, 2)),
    "changes, own functions": lambda: NeuralField(3, 6, 2, changes=True, activation=torch.sin),
    "float64": lambda: NeuralField(3, 5, 2).double(),
}


@pytest.fixture(params=FIELDS)
def field(request) -> Iterator[NeuralField | SimpleNeuralField]:
    with torch.random.fork_rng():  # a field by chance may be chaotic, and differ from itself after ten steps
        torch.manual_seed(0)
        yield FIELDS[request.param]()


@pytest.mark.parametrize("batch_size", [1, 7, 40])
@pytest.mark.parametrize("by", ["reset", "episode_starts"])
def test_it_equals_the_fields_own_steps_with_resets_between(field, batch_size, by) -> None:
    stepper, potentials = Stepper(field, batch_size), field.start(batch_size)
    rng = np.random.default_rng(0)
    for _ in range(10):
        starts = rng.random(batch_size) < 0.3
        inputs = torch.as_tensor(rng.standard_normal((batch_size, 3))).to(field.resting_level)
        potentials = torch.where(torch.as_tensor(starts)[:, None], field.start(1), potentials)
        if by == "reset":
            stepper.reset(starts)
        else:
            stepper.episode_starts[:] = starts
        with torch.no_grad():
            outputs, potentials = field.step(inputs, potentials)
        np.testing.assert_allclose(stepper(inputs.numpy()), outputs, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(stepper.potentials, potentials, rtol=1e-5, atol=1e-6)
    stepper.reset()
    np.testing.assert_array_equal(stepper.potentials, field.start(batch_size))


def test_a_population_begins_episodes_as_its_candidates_do(field) -> None:
    vector = ParameterVector.of(field)
    candidates = vector.start + 0.1 * torch.randn(3, len(vector)).to(vector.start)
    stepper, fresh = (Stepper(field, 2, vector.split(candidates)) for _ in range(2))
    inputs = torch.randn(3, 2, 3).to(vector.start).numpy()
    stepper(inputs)
    stepper.episode_starts[1, 0] = stepper.episode_starts[2, 1] = True
    stepper(inputs)
    again = fresh(inputs)
    np.testing.assert_array_equal(stepper.outputs[1, 0], again[1, 0])
    np.testing.assert_array_equal(stepper.outputs[2, 1], again[2, 1])
    assert (stepper.outputs[0, 0] != again[0, 0]).any()


def test_a_population_steps_as_its_candidates_do_alone(field) -> None:
    vector = ParameterVector.of(field)
    candidates = vector.start + 0.1 * torch.randn(4, len(vector)).to(vector.start)
    together = Stepper(field, 5, vector.split(candidates))
    inputs = torch.randn(4, 5, 3).to(vector.start)
    for _ in range(3):
        together(inputs.numpy())
    for candidate, x, y in zip(candidates, inputs, together.outputs, strict=True):
        vector.load(field, candidate)
        alone = Stepper(field, 5)
        for _ in range(3):
            alone(x.numpy())
        np.testing.assert_allclose(y, alone.outputs, rtol=1e-5, atol=1e-6)


def test_inputs_may_be_written_in_place_and_parameters_are_those_of_the_construction(field) -> None:
    a, b = Stepper(field), Stepper(field)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.zero_()
    a.inputs[:] = 0.5
    np.testing.assert_array_equal(a(), b(np.full((1, 3), 0.5, np.float32)))
    assert np.abs(a.outputs).max() > 0


@pytest.mark.parametrize("how", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("population", [False, True])
def test_a_copy_goes_on_from_the_same_memory_and_parameters_on_its_own(how, population, field) -> None:
    vector = ParameterVector.of(field)
    candidates = vector.start + 0.1 * torch.randn(2, len(vector)).to(vector.start)
    stepper = Stepper(field, 5, vector.split(candidates) if population else None)
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, *stepper.inputs.shape))
    stepper(first)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.zero_()
    stepper.episode_starts[..., 1] = True
    twin = how(stepper)
    assert twin.compiled == stepper.compiled
    np.testing.assert_array_equal(twin.potentials, stepper.potentials)
    np.testing.assert_array_equal(twin(second), stepper(second))
    before = stepper.potentials.copy()
    twin(first)
    np.testing.assert_array_equal(stepper.potentials, before)
    twin.reset()
    stepper.reset()
    np.testing.assert_array_equal(twin(first), stepper(first))


def test_a_copy_without_a_compiler_takes_the_same_steps_in_python(field, monkeypatch) -> None:
    stepper, x = Stepper(field, 2), np.ones((2, 3))
    monkeypatch.setenv("NF_POLICIES_FUSED", "0")
    twin = copy.deepcopy(stepper)
    assert not twin.compiled
    np.testing.assert_allclose(twin(x), stepper(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(twin(x), stepper(x), rtol=1e-5, atol=1e-6)


def test_a_subclass_takes_its_own_step() -> None:
    class Doubled(NeuralField):
        def step(self, inputs, potentials, coefficients=None):
            outputs, after = super().step(inputs, potentials, coefficients)
            return 2 * outputs, after

    field = Doubled(3, 6, 2)
    stepper = Stepper(field)
    assert not stepper.compiled
    with torch.no_grad():
        expected, _ = field.step(torch.ones(1, 3), field.start(1))
    np.testing.assert_array_equal(stepper(np.ones((1, 3), np.float32)), expected)


def test_inference_mode_makes_no_difference(field) -> None:
    with torch.inference_mode():
        stepper = Stepper(field)
        inside = stepper(np.ones((1, 3))).copy()
    stepper.reset()
    np.testing.assert_array_equal(stepper(np.ones((1, 3))), inside)


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        Stepper(FIELDS["neural"](), 0)
