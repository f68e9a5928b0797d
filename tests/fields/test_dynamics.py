"""The potential dynamics: where they rest, that they are one polynomial, and what one's own must look like."""

import pytest
import torch

from nf_policies.fields import SimpleNeuralField
from nf_policies.fields.dynamics import DYNAMICS, INTEGRATORS, euler, exponential_euler
from nf_policies.fields.options import optional_parameters

KAPPA, CAPACITY, RESTING_LEVEL = 0.3, 1.7, 0.4
VALUES = {"kappa": torch.tensor(KAPPA, dtype=torch.float64), "capacity": torch.tensor(CAPACITY, dtype=torch.float64)}

# tau du/dt = s + d (c0 + c1 |d|^k + c2 |d|^2k), d = h - u
POLYNOMIALS = {
    "linear": (1, (1, 0, 0)),
    "cubic": (2, (1, KAPPA, 0)),
    "capacity_21": (2, (-1, CAPACITY**-2, 0)),
    "capacity_21_abs": (1, (-1, CAPACITY**-1, 0)),
    "capacity_32": (2, (1, -5 * CAPACITY**-2, 4 * CAPACITY**-4)),
    "capacity_32_abs": (1, (1, -3 * CAPACITY**-1, 2 * CAPACITY**-2)),
}

# u - h of the fixed points without stimuli
FIXED_POINTS = {
    "linear": {"stable": [0], "unstable": []},
    "cubic": {"stable": [0], "unstable": []},
    "capacity_21": {"stable": [-CAPACITY, CAPACITY], "unstable": [0]},
    "capacity_21_abs": {"stable": [-CAPACITY, CAPACITY], "unstable": [0]},
    "capacity_32": {"stable": [-CAPACITY, 0, CAPACITY], "unstable": [-CAPACITY / 2, CAPACITY / 2]},
    "capacity_32_abs": {"stable": [-CAPACITY, 0, CAPACITY], "unstable": [-CAPACITY / 2, CAPACITY / 2]},
}


def change(name, u, s=0.0):
    function = DYNAMICS[name]
    return function(u, s, RESTING_LEVEL, **{p: VALUES[p] for p in optional_parameters(function)})


def test_the_tables_of_this_file_know_all_dynamics():
    assert set(DYNAMICS) == set(POLYNOMIALS) == set(FIXED_POINTS)


@pytest.mark.parametrize("name", DYNAMICS)
def test_all_dynamics_are_one_polynomial_of_the_distance_to_the_resting_level(name, generator):
    u, s = 3 * torch.randn(2, 200, dtype=torch.float64, generator=generator)
    d = RESTING_LEVEL - u
    k, (c0, c1, c2) = POLYNOMIALS[name]
    expected = s + d * (c0 + c1 * d.abs() ** k + c2 * d.abs() ** (2 * k))
    torch.testing.assert_close(change(name, u, s), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", DYNAMICS)
def test_fixed_points_lie_where_they_should_and_nowhere_else(name):
    points = [p for kind in FIXED_POINTS[name].values() for p in kind]
    at_points = change(name, RESTING_LEVEL + torch.tensor(points, dtype=torch.float64))
    torch.testing.assert_close(at_points, torch.zeros_like(at_points), rtol=0, atol=1e-14)

    grid = torch.linspace(-4, 4, 999, dtype=torch.float64) + 1e-4  # no grid point is a fixed point
    sign = change(name, RESTING_LEVEL + grid).sign()
    assert int((sign.diff() != 0).sum()) == len(points)


@pytest.mark.parametrize("name", DYNAMICS)
def test_stable_fixed_points_attract_and_unstable_ones_repel(name):
    for kind, points in FIXED_POINTS[name].items():
        for point in points:
            u = torch.tensor(RESTING_LEVEL + point, dtype=torch.float64, requires_grad=True)
            (slope,) = torch.autograd.grad(change(name, u), u)
            assert (slope < -0.1) if kind == "stable" else (slope > 0.1)


@pytest.mark.parametrize("name", DYNAMICS)
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_a_running_field_settles_at_its_stable_fixed_points(name, integrator):
    stable, unstable = FIXED_POINTS[name]["stable"], FIXED_POINTS[name]["unstable"]
    field = SimpleNeuralField(
        1, 1, dynamics=name, activation="tanh", tau_init=20.0, kappa_init=KAPPA, integrator=integrator,
        **({"capacity_init": CAPACITY} if name.startswith("capacity") else {}),
    ).double()  # fmt: skip
    with torch.no_grad():
        field.interaction.weight.zero_()
        field.resting_level.fill_(RESTING_LEVEL)
        borders = [min(stable) - 1, *unstable, max(stable) + 1]
        starts = [b + side for b in borders for side in (-0.05, 0.05)][1:-1]  # just inside each basin's borders
        start = RESTING_LEVEL + torch.tensor(starts, dtype=torch.float64)[:, None]
        potentials = field(torch.zeros(2000, len(starts), 1, dtype=torch.float64), start)[1][-1, :, 0]
    expected = torch.tensor([p for p in stable for _ in range(2)], dtype=torch.float64) + RESTING_LEVEL
    torch.testing.assert_close(potentials, expected, rtol=0, atol=1e-6)


def test_an_exponential_step_is_a_small_explicit_step_for_a_slow_neuron_and_never_more_than_all_of_the_way():
    slow = torch.tensor([1e4], dtype=torch.float64)
    torch.testing.assert_close(exponential_euler(slow, 1.0), euler(slow, 1.0), rtol=1e-4, atol=0)
    fast = torch.logspace(-8, 1, 50, dtype=torch.float64)
    rate = exponential_euler(fast, 1.0)
    assert ((rate > 0) & (rate <= 1)).all()
    assert (euler(fast, 1.0) > 2).any()  # where the explicit step is unstable


@pytest.mark.parametrize(
    ("dynamics", "names"),
    [
        (lambda u, s, h: s - u, ()),
        (lambda u, s, h, kappa: s - u - kappa * u**2, ("kappa",)),
        (lambda u, s, h, capacity, kappa: s - u * capacity - kappa, ("capacity", "kappa")),
        (lambda potentials, stimuli, rest, kappa: rest - potentials, ("kappa",)),
    ],
)
def test_a_function_s_signature_says_what_it_learns(dynamics, names):
    assert optional_parameters(dynamics) == names
    field = SimpleNeuralField(1, 1, dynamics=dynamics, capacity_init=2.0, kappa_init=0.1)
    learned = {name for name, _ in field.named_parameters()}
    assert {f"log_{name}" for name in names} == learned & {"log_kappa", "log_capacity"}


def test_a_function_of_one_s_own_moves_the_potentials():
    field = SimpleNeuralField(1, 1, dynamics=lambda u, s, h, kappa: -kappa * u, kappa_init=0.5, tau_init=4.0)
    _, potentials = field.step(torch.zeros(1, 1), torch.tensor([[8.0]]))
    torch.testing.assert_close(potentials, torch.tensor([[8.0 - 0.5 * 8.0 / 4.0]]))


@pytest.mark.parametrize(
    "dynamics", [lambda u, s: s - u, lambda u, s, h, leak: leak * (h - u), lambda *everything: everything[0]]
)
def test_a_function_with_another_signature_is_refused_with_the_rule(dynamics):
    with pytest.raises(ValueError, match=r"must take \(u, s, h\) and then kappa and/or capacity"):
        SimpleNeuralField(1, 1, dynamics=dynamics)
