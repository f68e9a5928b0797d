"""Lateral interaction: the matrix is the convolution, and pooling over channels has a gradient everywhere."""

import itertools
import time
import warnings

import pytest
import torch
from torch import nn

from nf_policies.fields import NeuralField
from nf_policies.fields.dynamics import pool_channels

HIDDEN = 7
SIZES = [1, 2, 3, 4, 6, 7]
PADDINGS = ["circular", "reflect", "zeros"]


def field_with(kernel, kernel_size=None, **options):
    """A field of HIDDEN neurons with this kernel; its weights are (channels, free weights)."""
    kernel = torch.atleast_2d(kernel)
    field = NeuralField(1, HIDDEN, kernel_size=kernel_size or kernel.shape[-1], channels=len(kernel), **options)
    field = field.to(kernel.dtype)
    field.load_state_dict(field.state_dict() | {"kernel": kernel})
    return field


def matrix(kernel, padding, mirrored=False, kernel_size=None):
    """The interaction matrix of one kernel of free weights (free,), or of each of several (channels, free)."""
    norm = 1 if kernel.dim() == 1 else 2  # with any other norm than 1 the channels stay apart
    options = {"padding": padding, "mirrored": mirrored, "pooling_norm": norm}
    lateral = field_with(kernel, kernel_size, **options).coefficients().lateral.detach()
    return lateral if kernel.dim() == 1 or len(kernel) > 1 else lateral[None]


def mirror(half, kernel_size):
    """The whole of a mirrored kernel."""
    return torch.cat((half, half[: kernel_size // 2].flip(-1)))


def beyond(source, padding):
    """Which neuron a position stands for, or None."""
    if padding == "circular":
        return source % HIDDEN
    if padding == "zeros":
        return source if 0 <= source < HIDDEN else None
    return -source if source < 0 else 2 * (HIDDEN - 1) - source if source >= HIDDEN else source


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("kernel_size", SIZES)
def test_the_matrix_is_an_explicit_double_loop(kernel_size, padding, generator):
    kernel = torch.randn(kernel_size, dtype=torch.float64, generator=generator)
    expected = torch.zeros(HIDDEN, HIDDEN, dtype=torch.float64)
    for neuron, k in itertools.product(range(HIDDEN), range(kernel_size)):
        source = beyond(neuron + k - (kernel_size - 1) // 2, padding)
        if source is not None:
            expected[neuron, source] += kernel[k]
    torch.testing.assert_close(matrix(kernel, padding), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("kernel_size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_matrix_is_torch_s_convolution(kernel_size, padding, channels, generator):
    kernel = torch.randn(channels, kernel_size, dtype=torch.float64, generator=generator)
    activations = torch.randn(5, HIDDEN, dtype=torch.float64, generator=generator)
    convolution = nn.Conv1d(1, channels, kernel_size, padding="same", padding_mode=padding, bias=False)
    convolution.weight = nn.Parameter(kernel[:, None])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same' with even kernel")  # costs torch a copy, no more
        expected = convolution(activations[:, None]).transpose(0, 1)
    actual = activations @ matrix(kernel, padding).mT
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_population_s_matrices_are_each_candidate_s_own(padding, generator):
    kernels = torch.randn(4, 2, 5, generator=generator)
    options = {"padding": padding, "mirrored": False, "pooling_norm": 2}
    together = field_with(kernels[0], **options).coefficients({"kernel": kernels}).lateral
    one_by_one = torch.stack([matrix(k, padding) for k in kernels])
    assert together.shape == (4, 2, HIDDEN, HIDDEN)
    assert torch.equal(together, one_by_one)


def test_a_field_of_a_thousand_neurons_is_made_in_no_time():
    before = time.process_time()
    field = NeuralField(1, 1000, 1, padding="reflect")
    assert time.process_time() - before < 2
    assert field.coefficients().lateral.shape == (1000, 1000)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("kernel_size", SIZES)
def test_a_mirrored_kernel_reads_the_same_backwards_from_its_free_weights(kernel_size, padding):
    half = torch.arange(1.0, (kernel_size + 1) // 2 + 1)
    whole = mirror(half, kernel_size)
    assert torch.equal(whole, whole.flip(-1))
    mirrored = matrix(half, padding, mirrored=True, kernel_size=kernel_size)
    assert torch.equal(mirrored, matrix(whole, padding))


@pytest.mark.parametrize("kernel_size", SIZES)
def test_a_bell_is_the_same_mirrored_or_free_excites_near_and_inhibits_far_neighbours(kernel_size):
    half, kernel = (
        NeuralField(1, HIDDEN, bell_init=True, kernel_size=kernel_size, mirrored=mirrored, generator=seeded).kernel[0]
        for mirrored in (True, False)
        for seeded in [torch.Generator().manual_seed(0)]
    )
    assert torch.equal(mirror(half, kernel_size), kernel)
    assert kernel[(kernel_size - 1) // 2] > 0
    assert kernel_size < 3 or kernel[0] < 0
    assert (half.diff() > 0).all()


@pytest.mark.parametrize("norm", [1, 2, 3])
def test_pooling_is_torch_s_lp_pooling_of_positive_stimuli(norm, generator):
    stimuli = torch.rand(3, 5, HIDDEN, dtype=torch.float64, generator=generator)
    expected = nn.functional.lp_pool1d(stimuli.permute(1, 2, 0), norm, kernel_size=3)[..., 0]
    torch.testing.assert_close(pool_channels(stimuli, norm), expected, rtol=1e-12, atol=0)


def test_pooling_keeps_the_sign_where_torch_gives_nan():
    stimuli = torch.tensor([-2.0, -1.0, 1.5]).reshape(3, 1, 1)
    assert nn.functional.lp_pool1d(stimuli.permute(1, 2, 0), 3.0, kernel_size=3).isnan().all()
    sum_of_cubes = -8 - 1 + 1.5**3
    torch.testing.assert_close(pool_channels(stimuli, 3), torch.full((1, 1), -(abs(sum_of_cubes) ** (1 / 3))))


@pytest.mark.parametrize("norm", [1, 2, 3])
def test_pooling_has_a_finite_gradient_at_zero(norm):
    stimuli = torch.zeros(3, 2, HIDDEN, requires_grad=True)
    pooled = pool_channels(stimuli, norm)
    pooled.sum().backward()
    assert (pooled == 0).all()
    assert stimuli.grad.isfinite().all()


@pytest.mark.parametrize("norm", [1, 2, 3])
def test_a_field_with_silent_neurons_learns_without_nan(norm):
    field = NeuralField(1, HIDDEN, activation="relu", channels=2, pooling_norm=norm)
    outputs, _ = field(torch.zeros(4, 2, 1), torch.full((2, HIDDEN), -1.0))  # no neuron is active in the first step
    outputs.sum().backward()
    assert all(p.grad.isfinite().all() for p in field.parameters())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", [1, 2, 3])
def test_a_field_s_internal_stimuli_are_the_pooled_convolutions(channels, norm, generator):
    field = NeuralField(2, HIDDEN, kernel_size=4, channels=channels, pooling_norm=norm, generator=generator).double()
    inputs, potentials = (torch.randn(5, n, dtype=torch.float64, generator=generator) for n in (2, HIDDEN))
    activations = torch.sigmoid(potentials)
    per_channel = torch.stack([activations @ matrix(mirror(k, 4), "circular").mT for k in field.kernel.detach()])
    total = (per_channel**norm).sum(0) if channels > 1 else per_channel[0]
    expected = total.abs() ** (1 / norm) * total.sign() if channels > 1 else total
    actual = field.trace(inputs, potentials).stimuli_internal
    torch.testing.assert_close(actual.detach(), expected, rtol=0, atol=1e-12)
