"""A field that feels changes: beside its inputs, how they have changed since the step before."""

import pytest
import torch
from fields.conftest import neural, simple
from torch import Tensor

GAIN = torch.tensor([1.0, 4.0, 20.0])


def made(kind: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """A field that feels changes, and one with the same parameters that is shown them beside the inputs."""
    torch.manual_seed(0)
    field = {"neural": neural, "simple": simple}[kind](changes=True).double()
    field.change_gain.copy_(GAIN)
    shown = type(field)(6, hidden_size=field.hidden_size, output_size=2, **vars(field.options) | {"changes": False})
    parameters = {name: value for name, value in field.state_dict().items() if name != "change_gain"}
    shown.double().load_state_dict(parameters)
    return field, shown


def with_changes(inputs: Tensor, starts: Tensor) -> Tensor:
    """Inputs (time, batch, 3) and their changes, at most 10, none where an episode begins."""
    changes = inputs.diff(dim=0, prepend=inputs[:1])
    return torch.cat((inputs, (GAIN * changes.masked_fill(starts.unsqueeze(-1), 0.0)).clamp(-10, 10)), dim=-1)


@pytest.mark.parametrize("kind", ["neural", "simple"])
@pytest.mark.parametrize("steps", [3, 60])
def test_it_is_a_field_that_is_shown_the_changes(kind, steps) -> None:
    field, shown = made(kind)
    inputs, starts = torch.randn(steps, 5, 3).double(), torch.rand(steps, 5) < 0.1
    outputs, memory = field(inputs, None, starts)
    expected, potentials = shown(with_changes(inputs, starts), None, starts)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(memory[..., : field.hidden_size], potentials)


@pytest.mark.parametrize("kind", ["neural", "simple"])
def test_a_memory_in_mid_episode_knows_the_input_before(kind) -> None:
    field, _ = made(kind)
    inputs, starts = torch.randn(20, 5, 3).double(), torch.rand(20, 5) < 0.1
    whole, memory = field(inputs, None, starts)
    torch.testing.assert_close(field(inputs[8:], memory[7], starts[8:])[0], whole[8:])
    potentials = field.start(5)
    for t in range(20):
        potentials = torch.where(starts[t, :, None], field.start(1), potentials)
        outputs, potentials = field.step(inputs[t], potentials)
        torch.testing.assert_close(outputs, whole[t])


def test_where_nothing_moves_there_is_nothing_to_feel() -> None:
    field, _ = made("simple")
    still = torch.randn(1, 5, 3).double().expand(30, 5, 3)
    before = field(still)[0]
    with torch.no_grad():
        field.input_embedding.weight[:, 3:] = 0
    torch.testing.assert_close(field(still)[0], before)


def test_one_neuron_that_feels_changes_alone_is_a_velocity_sensor() -> None:
    field = simple(hidden_size=1, changes=True, dynamics="linear", tau_init=1.0, activation="identity").double()
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.zero_()
        field.change_gain.fill_(1 / 0.02)
        field.activation_scale.fill_(1.0)
        field.input_embedding.weight[0, 3] = field.output_embedding.weight[0, 0] = 1.0
    time = 0.02 * torch.arange(50).double()
    seen = torch.zeros(50, 1, 3).double()
    seen[:, 0, 0] = torch.sin(time)
    velocity = field(seen)[0][1:, 0, 0]
    middle = (time[1:] + time[:-1]) / 2
    torch.testing.assert_close(velocity, torch.cos(middle), rtol=1e-4, atol=1e-4)
