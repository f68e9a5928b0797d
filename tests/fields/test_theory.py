"""Amari's theory, on paper and in the running field: bumps, winners, exact solutions, symmetries."""

import math

import pytest
import torch
from torch import Tensor, nn

from nf_policies.fields import NeuralField, SimpleNeuralField
from nf_policies.fields.dynamics import INTEGRATORS
from nf_policies.fields.theory import (
    Kernel,
    bumps,
    highest_threshold,
    kernel_integral,
    linear_relaxation,
    relaxation_rate,
    sample_kernel,
)


def gaussian(x: Tensor, height: float, width: float) -> Tensor:
    return height * torch.exp(-(x**2) / (2 * width**2))


KERNELS: dict[str, Kernel] = {
    "broad": lambda x: gaussian(x, 1.5, 1.0) - 0.1,
    "narrow": lambda x: gaussian(x, 2.0, 0.75) - 0.5,
    "mexican hat": lambda x: gaussian(x, 3.0, 1.5) - gaussian(x, 1.5, 3.0) - 0.2,
}

BUMPS = [  # kernel, threshold, unstable width, stable width, relaxation rate
    ("broad", 1.5, 1.55795, 3.79696, -0.13195),
    ("narrow", 0.2, 0.13429, 3.35991, -0.49993),
    ("mexican hat", 0.5, 0.39363, 3.58097, -0.73915),
    ("mexican hat", 1.0, 0.85910, 2.90307, -0.68562),
]


# On paper


def test_the_integral_of_a_gaussian_is_the_error_function():
    width = torch.tensor([0.0, 0.1, 1.0, 5.0, 20.0], dtype=torch.float64)
    exact = 1.5 * math.sqrt(math.pi / 2) * torch.erf(width / math.sqrt(2)) - 0.1 * width
    torch.testing.assert_close(kernel_integral(KERNELS["broad"], width), exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "threshold", "unstable", "stable", "rate"), BUMPS)
def test_a_field_has_one_narrow_unstable_and_one_wide_stable_bump(kernel, threshold, unstable, stable, rate):
    narrow, wide = bumps(KERNELS[kernel], threshold, reach=10.0)
    assert (narrow.stable, wide.stable) == (False, True)
    assert narrow.width == pytest.approx(unstable, abs=6e-6)
    assert wide.width == pytest.approx(stable, abs=6e-6)
    assert wide.rate == pytest.approx(rate, abs=6e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_there_is_no_bump_above_the_peak_of_the_integral_and_there_are_two_just_below(kernel):
    threshold, width = highest_threshold(KERNELS[kernel], reach=10.0)
    assert bumps(KERNELS[kernel], threshold + 1e-6, reach=10.0) == []
    narrow, wide = bumps(KERNELS[kernel], threshold - 1e-3, reach=10.0)
    assert narrow.width < width < wide.width


def test_the_peak_of_the_integral_lies_where_the_kernel_crosses_zero():
    threshold, width = highest_threshold(KERNELS["broad"], reach=10.0)
    assert threshold == pytest.approx(1.60974, abs=1e-5)
    assert width == pytest.approx(math.sqrt(2 * math.log(15)), abs=1e-9)  # 2.3273


def test_where_all_neighbours_excite_the_widest_bump_has_the_highest_threshold():
    assert highest_threshold(lambda x: torch.exp(-x), reach=2.0)[1] == 2.0


def test_the_relaxation_rate_is_the_slope_of_the_width_s_own_equation():
    kernel, width = KERNELS["narrow"], 3.0
    centre, edge = kernel(torch.tensor([0.0, width], dtype=torch.float64))
    step = torch.tensor([width - 1e-4, width + 1e-4], dtype=torch.float64)
    slope = kernel_integral(kernel, step).diff() / 2e-4  # tau da/dt = 2 (W(a) - threshold) / (w(0) - w(a))
    assert relaxation_rate(kernel, width) == pytest.approx((2 * slope / (centre - edge)).item(), rel=1e-6)


@pytest.mark.parametrize("reach", [0.0, -1.0, math.nan])
@pytest.mark.parametrize("find", [highest_threshold, lambda kernel, reach: bumps(kernel, 1.0, reach)])
def test_a_search_needs_a_positive_reach(find, reach):
    with pytest.raises(ValueError, match="reach must be positive"):
        find(KERNELS["broad"], reach)


# In the running field

TAU, DT, SPACING, NEURONS = 2.0, 0.1, 0.04, 601

STEEPNESS = 20.0
"""Of the sigmoid: near the Heaviside step, yet an edge still spans neurons. Steeper, and bumps stick to the grid."""


def amari_field(kernel: Kernel, threshold: float) -> NeuralField:
    """A ring of 24 units of length whose neurons nearly fire or do not; inputs are the external stimuli themselves."""
    field = NeuralField(
        NEURONS,
        NEURONS,
        input_embedding=nn.Identity(),
        output_embedding=nn.Identity(),
        activation=lambda u: torch.sigmoid(STEEPNESS * u),
        kernel_size=NEURONS,
        padding="circular",
        tau_init=TAU,
        kappa_init=0,
        dt=DT,
        initial_potentials=torch.full((NEURONS,), -threshold),
    ).double()
    with torch.no_grad():
        field.kernel.copy_(sample_kernel(kernel, NEURONS, SPACING)[: field.kernel.shape[-1]])
        field.resting_level.fill_(-threshold)
    return field


def position() -> Tensor:
    return (torch.arange(NEURONS, dtype=torch.float64) - NEURONS // 2) * SPACING


def run(field: NeuralField, potentials: Tensor, stimulus: Tensor | None, time: float) -> Tensor:
    """Potentials of all steps. Shape: (steps, NEURONS)."""
    steps = round(time / DT)
    stimuli = torch.zeros(NEURONS, dtype=torch.float64) if stimulus is None else stimulus
    with torch.no_grad():
        return field(stimuli.expand(steps, -1), potentials)[1]


def settled_bump(field: NeuralField, width: float, time: float = 150.0) -> Tensor:
    """The stationary potentials that an active interval of about the right width becomes."""
    return run(field, torch.where(position().abs() < width / 2, 1.0, field.resting_level.detach()), None, time)[-1]


def active_width(potentials: Tensor) -> float:
    """Of the one interval above zero, its edges interpolated between neurons; 0 where there is none."""
    above = (potentials > 0).nonzero().flatten()
    if not len(above):
        return 0.0
    first, last = int(above[0]), int(above[-1])
    assert last - first + 1 == len(above), "there is more than one active interval"
    rise = potentials[first] / (potentials[first] - potentials[first - 1])
    fall = potentials[last] / (potentials[last] - potentials[last + 1])
    return (last - first + rise + fall).item() * SPACING


@pytest.mark.parametrize(("kernel", "threshold", "unstable", "stable", "rate"), BUMPS)
def test_a_simulated_bump_has_the_width_and_the_relaxation_rate_of_theory(kernel, threshold, unstable, stable, rate):
    w = KERNELS[kernel]
    field = amari_field(w, threshold)
    settled = settled_bump(field, stable)
    assert active_width(settled) == pytest.approx(stable, rel=0.01)

    x = position()
    eigenmode = w((x - stable / 2).abs()) + w((x + stable / 2).abs())
    disturbed = settled + 0.02 * eigenmode
    deviation = (run(field, disturbed, None, time=4.0) - settled).norm(dim=-1)
    per_step = (deviation[-1] / deviation[0]) ** (1 / (len(deviation) - 1))
    assert TAU * (per_step - 1).item() / DT == pytest.approx(rate, rel=0.01)  # explicit Euler: 1 + dt lambda / tau


@pytest.mark.parametrize(("kernel", "threshold", "unstable", "stable", "rate"), [BUMPS[0], BUMPS[3]])
def test_an_interval_below_the_unstable_width_dies_and_one_above_it_grows(kernel, threshold, unstable, stable, rate):
    w = KERNELS[kernel]
    field = amari_field(w, threshold)
    x = position()

    def amari(width: float) -> Tensor:  # potentials of exactly this active interval, were it stationary
        edge = torch.stack((x - width / 2, x + width / 2))
        left, right = edge.sign() * kernel_integral(w, edge.abs())
        return right - left - kernel_integral(w, torch.tensor(width))

    assert active_width(run(field, amari(0.7 * unstable), None, 60.0)[-1]) == 0
    assert active_width(run(field, amari(1.3 * unstable), None, 150.0)[-1]) == pytest.approx(stable, rel=0.05)


def test_no_simulated_bump_survives_above_the_peak_of_the_integral():
    w = KERNELS["broad"]
    threshold, width = highest_threshold(w, reach=10.0)
    assert active_width(settled_bump(amari_field(w, 0.97 * threshold), width)) > width
    assert active_width(settled_bump(amari_field(w, 1.03 * threshold), width)) == 0


@pytest.mark.parametrize("side", [1, -1])
def test_of_two_inputs_the_stronger_wins_and_is_remembered(side):
    x = position()
    stimulus = gaussian(x - side * 6, 1.0, 1.0) + gaussian(x + side * 6, 0.9, 1.0)
    field = amari_field(KERNELS["narrow"], 0.2)
    seen = run(field, field.initial_potentials, stimulus, 20.0)[-1]
    assert (seen[x > 0] > 0).any()
    assert (seen[x < 0] > 0).any()

    remembered = run(field, seen, None, 60.0)[-1]
    assert active_width(remembered) == pytest.approx(bumps(KERNELS["narrow"], 0.2, 10.0)[-1].width, rel=0.05)
    assert x[remembered > 0].mean().item() == pytest.approx(side * 6, abs=0.1)


# Exact solutions


@pytest.mark.parametrize("kind", [NeuralField, SimpleNeuralField])
@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("tau", [0.8, 3.0, (1.5, 20.0)])
def test_without_neighbours_and_cubic_decay_potentials_relax_exactly(kind, integrator, tau, generator):
    options = {} if kind is NeuralField else {"dynamics": "linear"}
    hidden, steps, dt = 4, 50, 0.7
    field = kind(3, hidden, tau_init=tau, kappa_init=0, dt=dt, integrator=integrator, **options).double()
    with torch.no_grad():
        (field.kernel if kind is NeuralField else field.interaction.weight).zero_()
    inputs = torch.randn(2, 3, dtype=torch.float64, generator=generator)
    start = torch.randn(2, hidden, dtype=torch.float64, generator=generator)

    potentials = field(inputs.expand(steps, -1, -1), start)[1]

    fixed_point = (field.resting_level + field.input_embedding(inputs)).detach()
    step = torch.arange(1, steps + 1, dtype=torch.float64)[:, None, None]
    decay = (1 - dt / field.tau) ** step if integrator == "euler" else torch.exp(-step * dt / field.tau)
    exact = fixed_point + decay * (start - fixed_point)
    torch.testing.assert_close(potentials, exact, rtol=0, atol=1e-12)
    rate = INTEGRATORS[integrator](field.tau, dt)
    torch.testing.assert_close(linear_relaxation(start, fixed_point, rate, steps), exact, rtol=0, atol=1e-12)


# Symmetries


@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("kernel_size", [1, 4, 5, 7, 8])
@pytest.mark.parametrize(("channels", "pooling_norm"), [(1, 1), (3, 1), (3, 2), (3, 3)])
def test_a_homogeneous_ring_is_translation_equivariant(mirrored, kernel_size, channels, pooling_norm, generator):
    hidden = 8
    field = NeuralField(
        hidden,
        hidden,
        input_embedding=nn.Identity(),
        output_embedding=nn.Identity(),
        kernel_size=kernel_size,
        mirrored=mirrored,
        channels=channels,
        pooling_norm=pooling_norm,
        padding="circular",
        generator=generator,
    ).double()
    with torch.no_grad():
        field.resting_level.fill_(-0.3)
    inputs, potentials = torch.randn(2, 5, hidden, dtype=torch.float64, generator=generator)
    for shift in (1, 3):
        outputs, after = field.step(inputs.roll(shift, -1), potentials.roll(shift, -1))
        expected_outputs, expected = field.step(inputs, potentials)
        torch.testing.assert_close(after, expected.roll(shift, -1), rtol=0, atol=1e-14)
        torch.testing.assert_close(outputs, expected_outputs.roll(shift, -1), rtol=0, atol=1e-14)


@pytest.mark.parametrize("padding", ["circular", "reflect", "zeros"])
def test_a_mirrored_odd_kernel_is_blind_to_left_and_right(padding, generator):
    field = NeuralField(6, 6, input_embedding=nn.Identity(), output_embedding=nn.Identity(), kernel_size=5,
                        padding=padding, generator=generator).double()  # fmt: skip
    with torch.no_grad():
        field.resting_level.fill_(-0.3)
    inputs, potentials = torch.randn(2, 5, 6, dtype=torch.float64, generator=generator)
    flipped = field.step(inputs.flip(-1), potentials.flip(-1))[1]
    torch.testing.assert_close(flipped, field.step(inputs, potentials)[1].flip(-1), rtol=0, atol=1e-14)
