"""Where a search starts: a field that does nothing yet, in which each output has a neuron of its own."""

import pytest
import torch

from nf_policies.evolution import start_field


@pytest.mark.parametrize("kind", ["simple", "neural"])
def test_a_field_at_its_start_does_nothing_whatever_it_sees(kind) -> None:
    field = start_field(kind, 3, 2, 5, output_weight=1.0, self_excitation=0.0)
    quiet, _ = field(torch.zeros(4, 2, 3))
    outputs, _ = field(torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(outputs, quiet)


def test_an_input_weight_moves_the_output_of_its_neuron_alone() -> None:
    for neuron in range(4):
        field = start_field(
            "simple", 3, 2, 4, output_weight=1.0, self_excitation=0.0, dynamics="linear", activation="tanh"
        )
        with torch.no_grad():
            field.input_embedding.weight[neuron] = 1.0
        outputs, _ = field.step(torch.ones(1, 3), field.start(1))
        assert (outputs[0] > 0).tolist() == [neuron == 0, neuron == 1], "the other neurons have no output yet"


def test_by_default_no_neuron_has_an_output() -> None:
    assert not start_field("simple", 3, 2, 4).output_embedding.weight.any()


def test_fewer_neurons_than_outputs_have_one_each() -> None:
    weight = start_field("neural", 3, 4, 2, output_weight=0.5).output_embedding.weight
    assert weight.tolist() == [[0.5, 0.0], [0.0, 0.5], [0.0, 0.0], [0.0, 0.0]]
