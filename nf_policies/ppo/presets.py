"""Settings that were found to train each task, by the name in its id; every one can be changed by an option."""

from dataclasses import dataclass

from nf_policies.tasks.visible import task_name


@dataclass(frozen=True)
class Preset:
    """How a task is trained; see `FieldPPO` and `NeuralFieldPolicy` for what each means.

    Attributes:
        steps: Environment steps of the whole training.
        num_envs: Environments side by side.
        learning_rate: Of the first update; it falls linearly to zero with the last.
        use_sde: Whether noise follows the neurons' activations (gSDE) rather than being new in every step.
        log_std_init: First log standard deviation of Box actions, in units of half their range.
    """

    steps: int = 200_000
    num_envs: int = 8
    field: str = "neural"
    hidden_size: int = 16
    n_steps: int = 128
    batch_size: int = 256
    seq_len: int | None = None
    n_epochs: int = 20
    learning_rate: float = 3e-3
    gamma: float = 0.98
    gae_lambda: float = 0.8
    ent_coef: float = 0.0
    normalize_rewards: bool = False
    use_sde: bool = False
    sde_sample_freq: int = -1
    log_std_init: float = 0.0


PRESETS = {
    "CartPole": Preset(steps=100_000, n_steps=125, batch_size=250, n_epochs=10, gae_lambda=0.95),
    "Pendulum": Preset(
        steps=100_000,
        field="simple",
        hidden_size=24,
        n_steps=500,
        batch_size=250,
        seq_len=25,
        n_epochs=15,
        gamma=0.9,
        gae_lambda=0.95,
        normalize_rewards=True,
        use_sde=True,
        sde_sample_freq=16,
    ),
    "MountainCarContinuous": Preset(
        steps=300_000,
        n_steps=125,
        batch_size=500,
        n_epochs=10,
        gamma=0.99,
        gae_lambda=0.95,
        normalize_rewards=True,
        use_sde=True,
    ),
}
"""By the part of an id between the namespace and the version, without "NoVel"."""


def preset_of(env_id: str) -> Preset:
    """The settings for a task; for one that is not known, those that have served most."""
    return PRESETS.get(task_name(env_id).removesuffix("NoVel"), Preset())
