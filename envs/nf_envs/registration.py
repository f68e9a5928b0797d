"""The ids of all tasks, under the namespace `nf/`; importing this module loads neither torch nor any task."""

from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A registered task.

    Attributes:
        id: Without the namespace.
        task: Import path of its class or of a function that makes it, within `nf_envs`.
        limit: Steps after which an episode is truncated.
        asks: The task in one line.
        reference: Its source.
        velocities: Whether it shows velocities, and therefore has a variant without them.
        options: Constants and sensors, as for `nf_envs.build`.
        needs: The package without which the task cannot be made, and the extra of nf-policies that brings it.
    """

    id: str
    task: str
    limit: int
    asks: str
    reference: str
    velocities: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, str] | None = None


_GYMNASIUM = "Gymnasium, step by step the same"
_NEUROEVOLUTION = "Gomez, Schmidhuber and Miikkulainen (2008), JMLR 9"
_ROBOTS = "SimuRLacra (Muratore 2020)"
_MUJOCO = ("mjbatch", "mujoco")

_TASKS = (
    Entry("CartPole-v1", "classic:CartPole", 500, "Keep a pole upright with pushes of full force.", _GYMNASIUM),
    Entry("Pendulum-v1", "classic:Pendulum", 200, "Swing a pendulum up with a weak motor and hold it.", _GYMNASIUM),
    Entry("MountainCar-v0", "classic:MountainCar", 200, "Leave a valley quickly by swinging.", _GYMNASIUM),
    Entry(
        "MountainCarContinuous-v0",
        "classic:MountainCarContinuous",
        999,
        "Leave a valley by swinging, with little fuel.",
        _GYMNASIUM,
    ),
    Entry("Acrobot-v1", "classic:Acrobot", 500, "Swing a two-link arm up with a motor at the elbow.", _GYMNASIUM),
    Entry(
        "CartPoleSwingUp-v0",
        "classic:CartPoleSwingUp",
        500,
        "Swing a hanging pole up by moving the cart, and balance it.",
        "Tassa et al. (2018), arXiv:1801.00690",
    ),
    Entry("SinglePole-v0", "balance:SinglePole", 100_000, "Balance a pole for half an hour.", _NEUROEVOLUTION),
    Entry("DoublePole-v0", "balance:DoublePole", 100_000, "Balance a long pole and a short one.", _NEUROEVOLUTION),
    Entry(
        "DoublePoleDamping-v0",
        "balance:DoublePoleDamping",
        1000,
        "Balance a long and a short pole without shaking the cart.",
        "Gruau, Whitley and Pyeatt (1996), Genetic Programming",
    ),
    Entry(
        "RepeatFirst-v0",
        "memory:RepeatFirst",
        100,
        "Remember the first cue until a signal asks for it.",
        "Hochreiter and Schmidhuber (1997), Neural Computation 9",
        velocities=False,
    ),
    Entry(
        "RepeatPrevious-v0",
        "memory:RepeatPrevious",
        100,
        "Say which cue was shown four steps ago, at every step.",
        "Morad et al. (2023), arXiv:2303.01859",
        velocities=False,
    ),
    Entry(
        "TMaze-v0",
        "memory:TMaze",
        100,
        "At the end of a corridor, turn as the cue at its start said.",
        "Bakker (2002), NeurIPS 14",
        velocities=False,
    ),
    Entry(
        "CountParity-v0",
        "memory:CountParity",
        100,
        "Say whether the number of pulses so far is odd, at every step.",
        "Hochreiter and Schmidhuber (1997), Neural Computation 9",
        velocities=False,
    ),
    Entry("OneMassOscillator-v0", "robots:OneMassOscillator", 300, "Bring a mass on a spring to rest.", _ROBOTS),
    Entry("BallOnBeam-v0", "robots:BallOnBeam", 500, "Roll a ball to the middle of a beam by tilting it.", _ROBOTS),
    Entry("DampedPendulum-v0", "robots:DampedPendulum", 400, "Swing a rod up from rest and hold it.", _ROBOTS),
    Entry("FurutaSwingUp-v0", "robots:furuta_swing_up", 600, "Swing up a pole at the end of a turning arm.", _ROBOTS),
    Entry("FurutaBalance-v0", "robots:furuta_balance", 500, "Balance a pole at the end of a turning arm.", _ROBOTS),
    Entry(
        "MotorCartPoleSwingUp-v0",
        "robots:motor_cart_pole_swing_up",
        8000,
        "Swing a pole up with a motorised cart on a short rail.",
        _ROBOTS,
    ),
    Entry(
        "MotorCartPoleBalance-v0",
        "robots:motor_cart_pole_balance",
        300,
        "Balance a pole with a motorised cart on a short rail.",
        _ROBOTS,
    ),
    Entry("BallBalancer-v0", "robots:BallBalancer", 500, "Roll a ball to the middle of a tilting plate.", _ROBOTS),
    *(
        Entry(f"{name}-v5", f"mujoco:{name}", limit, asks, _GYMNASIUM, needs=_MUJOCO)
        for name, limit, asks in (
            ("InvertedPendulum", 1000, "Balance a pole on a cart."),
            ("InvertedDoublePendulum", 1000, "Balance two poles in a row on a cart."),
            ("Reacher", 50, "Bring the tip of an arm to a goal."),
            ("Pusher", 100, "Push a cylinder to a goal with an arm."),
            ("Hopper", 1000, "Hop forward on one leg."),
            ("Walker2d", 1000, "Walk forward on two legs."),
            ("HalfCheetah", 1000, "Run forward on a front leg and a hind leg."),
            ("Swimmer", 1000, "Swim forward with two joints."),
        )
    ),
)


def _without_velocities(entry: Entry) -> Entry:
    name, _, version = entry.id.rpartition("-")
    asks = f"{entry.asks.rstrip('.')}, without seeing velocities."
    options = {**entry.options, "hide_velocities": True}
    # A task that shows less is no longer the same as Gymnasium's.
    reference = f"{entry.id} of Gymnasium" if entry.reference == _GYMNASIUM else entry.reference
    return replace(
        entry, id=f"{name}NoVel-{version}", asks=asks, reference=reference, velocities=False, options=options
    )


ENTRIES = tuple(e for entry in _TASKS for e in ([entry, _without_velocities(entry)] if entry.velocities else [entry]))
"""All tasks, in the order of the list."""


def installed(entry: Entry) -> bool:
    """Whether the package that a task needs is there; only then is it listed."""
    return entry.needs is None or find_spec(entry.needs[0]) is not None


def register_envs() -> None:
    """Register every task with Gymnasium, as `nf/…`; a second time is harmless.

    One that needs a missing package is registered too, and says so when it is made.
    """
    from gymnasium.envs.registration import registry

    for entry in ENTRIES:
        if f"nf/{entry.id}" in registry:
            continue
        if installed(entry):
            about = {"asks": entry.asks, "reference": entry.reference}
            register(f"nf/{entry.id}", f"nf_envs.{entry.task}", entry.limit, **about, **entry.options)
        else:
            _register_missing(entry)


def register(
    env_id: str, task: Any, max_episode_steps: int | None, *, asks: str = "", reference: str = "", **options: Any
) -> None:
    """Register a task with Gymnasium: for `gym.make`, `gym.make_vec` and every command of nf-policies.

    Args:
        env_id: With a namespace and a version, such as "mine/Robot-v0".
        task: A class of `nf_envs.Task`, or its import path "module:Class".
        max_episode_steps: Steps after which an episode is truncated; None for no limit.
        asks: The task in one line, for lists.
        reference: Its source, for lists.
        options: Constants and sensors, as for `nf_envs.build`.
    """
    import gymnasium

    gymnasium.register(
        env_id,
        entry_point="nf_envs.single:SingleEnv",
        vector_entry_point="nf_envs.vector:TensorVectorEnv",
        max_episode_steps=max_episode_steps,
        kwargs={"task": task, "about": {"asks": asks, "reference": reference}, **options},
    )


def _register_missing(entry: Entry) -> None:
    import gymnasium

    def refuse(**unused: Any) -> Any:
        package, extra = entry.needs or ("", "")
        raise gymnasium.error.DependencyNotInstalled(
            f"nf/{entry.id} needs {package}: pip install 'nf-policies[{extra}]'."
        )

    gymnasium.register(f"nf/{entry.id}", entry_point=refuse, vector_entry_point=refuse, max_episode_steps=entry.limit)
