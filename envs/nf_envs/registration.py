"""The ids of all tasks, under the namespace `nf/`; importing this module loads neither torch nor any task."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A registered task.

    Attributes:
        id: Without the namespace.
        task: Import path of its class, within `nf_envs`.
        limit: Steps after which an episode is truncated.
        asks: What it asks of a policy, in a line.
        reference: Where it is from.
        options: What is done to the task, as for `nf_envs.build`.
    """

    id: str
    task: str
    limit: int
    asks: str
    reference: str
    options: dict[str, Any] = field(default_factory=dict)


_GYMNASIUM = "Gymnasium, step by step the same"

ENTRIES = (
    Entry("CartPole-v1", "classic:CartPole", 500, "Keep a pole upright with pushes of full force.", _GYMNASIUM),
    Entry("Pendulum-v1", "classic:Pendulum", 200, "Swing a pendulum up with a weak motor and hold it.", _GYMNASIUM),
    Entry("MountainCar-v0", "classic:MountainCar", 200, "Leave a valley by swinging, soon.", _GYMNASIUM),
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
)
"""All registered tasks, in the order in which they are listed."""


def register_envs() -> None:
    """Register every task with Gymnasium, as `nf/…`; a second time is harmless."""
    from gymnasium.envs.registration import register, registry

    for entry in ENTRIES:
        if f"nf/{entry.id}" not in registry:
            register(
                f"nf/{entry.id}",
                entry_point="nf_envs.single:SingleEnv",
                vector_entry_point="nf_envs.vector:TensorVectorEnv",
                max_episode_steps=entry.limit,
                kwargs={"task": f"nf_envs.{entry.task}", **entry.options},
            )
