"""Settings per task: `nf-policies evolve ID` uses them where no option says otherwise.

Those without velocities were chosen with `benchmarks/search_presets.py` (CartPole, Pendulum, MountainCarContinuous) or
on a simulation of the poles outside this repository, on few seeds, and then measured on others (docs/evolution.md).
Those of Pendulum and MountainCarContinuous with velocities are a target and a budget, without a search.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from gymnasium import Space

from nf_policies.evolution.start import quiet
from nf_policies.fields import NeuralField, SimpleNeuralField
from nf_policies.fields.field import Field
from nf_policies.policies import field_sizes
from nf_policies.tasks.visible import task_name


class Preset(NamedTuple):
    """Settings of an evolution; `Evolve`, the command, says what each means."""

    population: int = 16
    episodes: int = 8
    episodes_max: int = 32
    sigma: float = 1.0
    sigma_min: float = 0.0
    restart_after: int | None = None
    normalise: bool = True
    field: str = "simple"
    hidden_size: int | None = None
    dynamics: str = "linear"
    activation: str = "tanh"
    tau: float = 5.0
    tau_min: float = 1e-5
    self_excitation: float = 1.0
    """Start value of a simple field's interaction of each neuron with itself."""
    scales: Mapping[str, float] = {}
    """Factors of the natural scales of the parameters whose names begin so."""
    target: float | None = None
    steps: int = 1_000_000


STILL = {"resting_level": 0.01, "activation_scale": 0.01}
"""Scales that leave a resting level and a steepness nearly where they are: symmetric tasks do not need them."""

POLES = Preset(
    population=10,
    episodes=1,
    episodes_max=1,
    sigma=1.0,
    sigma_min=1 / 6,
    restart_after=60,
    normalise=False,
    hidden_size=1,
    tau=1.5,
    tau_min=1.0,
    self_excitation=0.0,
    # Small angles need large weights.
    scales={"input_embedding": 10.4, "log_tau": 3.0, **STILL},
    steps=20_000_000,
)

PRESETS: dict[str, Preset] = {
    "CartPole": Preset(episodes=4, scales=STILL, target=498.0, steps=3_000_000),
    "DoublePoleDampingNoVel": POLES,
    "DoublePole": POLES._replace(scales={**POLES.scales, "input_embedding": 7.3}),
    "MountainCarContinuous": Preset(target=92.0, steps=3_000_000),
    "MountainCarContinuousNoVel": Preset(
        restart_after=60, normalise=False, hidden_size=1, target=94.5, steps=100_000_000
    ),
    "PendulumNoVel": Preset(
        population=32,
        episodes=32,
        sigma=0.2,
        restart_after=200,
        normalise=False,
        hidden_size=2,
        tau=1.2,
        tau_min=1.0,
        self_excitation=0.0,
        # The torque is the small difference of large numbers: a slope of the angle's sine.
        scales={"output_embedding": 100, **STILL},
        target=-170.0,
        steps=1_000_000_000,
    ),
    "Pendulum": Preset(target=-208.0, steps=5_000_000),
}
"""By the name in the task's id; "NoVel" at its end where velocities are hidden."""


def preset_of(env_id: str, *, hide_velocity: bool = False) -> Preset:
    """The settings for a task: its own, those of the same task with other observations, or the general ones."""
    name = task_name(env_id)
    bare = name.removesuffix("NoVel")
    wanted = f"{bare}NoVel" if hide_velocity or name != bare else bare
    return PRESETS.get(wanted) or PRESETS.get(bare) or Preset()


def new_field(
    observation_space: Space[Any],
    action_space: Space[Any],
    preset: Preset,
    *,
    visible: Sequence[int] | None = None,
    seed: int = 0,
) -> Field:
    """A field with its start values, quiet.

    Args:
        observation_space: Of a single environment.
        action_space: Of a single environment.
        preset: Kind, size, dynamics and start values.
        visible: Indices of the observation's entries that the policy sees; None for all.
        seed: Of the start values that are random.
    """
    input_size, output_size = field_sizes(observation_space, action_space, visible)
    generator = torch.Generator().manual_seed(seed)
    if preset.field == "neural":
        neural = NeuralField(
            input_size,
            preset.hidden_size or 16,
            output_size,
            activation=preset.activation,
            tau_init=preset.tau,
            tau_min=preset.tau_min,
            bell_init=True,
            generator=generator,
        )
        return quiet(neural)
    simple = SimpleNeuralField(
        input_size,
        output_size,
        preset.hidden_size or max(output_size, 2),
        dynamics=preset.dynamics,
        activation=preset.activation,
        tau_init=preset.tau,
        tau_min=preset.tau_min,
        self_centric_init=True,
        generator=generator,
    )
    with torch.no_grad():
        simple.interaction.weight.fill_diagonal_(preset.self_excitation)
    return quiet(simple)
