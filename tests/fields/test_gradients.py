"""Gradients are exact: of every parameter, through all of the time steps, and across no reset."""

import torch
from torch.autograd import gradcheck
from torch.func import functional_call

from nf_policies.fields import NeuralField


def differentiable(field, *tensors):
    """The field's parameters and the tensors as leaves for gradcheck, and the names of the parameters."""
    leaves = [t.detach().clone().requires_grad_() for t in (*tensors, *field.parameters())]
    return leaves, [name for name, _ in field.named_parameters()]


def test_the_gradient_of_one_step_is_exact_for_everything_that_enters_it(field, sequence, generator):
    potentials = torch.randn(4, field.memory_size, dtype=torch.float64, generator=generator)
    leaves, names = differentiable(field, sequence[0], potentials)

    def one_step(inputs, potentials, *values):
        return functional_call(_Step(field), {f"field.{n}": v for n, v in zip(names, values, strict=True)},
                               (inputs, potentials))  # fmt: skip

    assert gradcheck(one_step, leaves)


def test_the_gradient_of_a_sequence_with_resets_is_exact_for_every_parameter(
    field, sequence, episode_starts, generator
):
    potentials = torch.randn(4, field.memory_size, dtype=torch.float64, generator=generator)
    leaves, names = differentiable(field, sequence, potentials)

    def over_time(inputs, potentials, *values):
        return functional_call(field, dict(zip(names, values, strict=True)), (inputs, potentials, episode_starts))

    assert gradcheck(over_time, leaves)


def test_every_learnable_parameter_receives_a_gradient(field, sequence, episode_starts):
    outputs, _ = field(sequence, episode_starts=episode_starts)
    outputs.square().sum().backward()
    for name, parameter in field.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).any(), name


def test_the_last_output_depends_on_the_first_input(field, sequence):
    sequence.requires_grad_()
    (gradient,) = torch.autograd.grad(field(sequence)[0][-1].sum(), sequence)
    assert (gradient != 0).any(dim=-1).all()  # every step, every batch entry


def test_no_gradient_crosses_the_start_of_an_episode(field, sequence, episode_starts):
    sequence.requires_grad_()
    potentials = field.start(4).detach().requires_grad_()
    outputs, _ = field(sequence, potentials, episode_starts)
    to_inputs, to_start = torch.autograd.grad(outputs[-1].sum(), (sequence, potentials))
    reached = (to_inputs != 0).any(dim=-1)
    last_start = [0, 0, 2, 4]  # of each batch entry of the fixture
    assert [row.tolist() for row in reached.T] == [[t >= start for t in range(5)] for start in last_start]
    assert (to_start != 0).any(dim=-1).tolist() == [True, False, False, False]


def test_nothing_of_the_values_before_a_reset_comes_through_either(field, sequence, episode_starts):
    changed = sequence.clone()
    changed[:2, 2] = 1e3
    outputs, potentials = field(sequence, episode_starts=episode_starts)
    other_outputs, other_potentials = field(changed, episode_starts=episode_starts)
    assert torch.equal(outputs[2:, 2], other_outputs[2:, 2])
    assert torch.equal(potentials[2:, 2], other_potentials[2:, 2])
    assert not torch.equal(potentials[:2, 2], other_potentials[:2, 2])


def test_learnable_initial_potentials_get_their_gradient_through_every_reset(sequence, episode_starts):
    field = NeuralField(3, 6, initial_potentials_learnable=True).double()
    gradients = [
        torch.autograd.grad(field(sequence, start, starts)[0].sum(), field.initial_potentials, allow_unused=True)[0]
        for start in (None, torch.zeros(4, 6, dtype=torch.float64))
        for starts in (None, episode_starts)
    ]
    from_start, from_start_and_resets, from_neither, from_resets = gradients
    assert from_neither is None or (from_neither == 0).all()
    assert (from_resets != 0).all()
    assert not torch.allclose(from_start, from_start_and_resets)


def test_truncation_is_the_caller_s_choice(plain_field, sequence):
    sequence.requires_grad_()
    _, potentials = plain_field(sequence[:3])
    whole = plain_field(sequence[3:], potentials[-1])[0].sum()
    cut = plain_field(sequence[3:], potentials[-1].detach())[0].sum()
    assert whole == cut
    assert (torch.autograd.grad(whole, sequence, retain_graph=True)[0][:3] != 0).any()
    assert (torch.autograd.grad(cut, sequence)[0][:3] == 0).all()


class _Step(torch.nn.Module):
    """A field's step as a module's forward, which is what functional_call calls."""

    def __init__(self, field):
        super().__init__()
        self.field = field

    def forward(self, inputs, potentials):
        return self.field.step(inputs, potentials)
