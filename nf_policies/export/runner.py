"""The checks around a policy on a robot; what stands below the mark is copied into every exported NumPy module."""

from collections.abc import Sequence
from typing import Any

import numpy as np

CARD: dict[str, Any] = {}
policy_init: Any = None
policy_step: Any = None


# From here on


class Runner:
    """Keeps the memory of an episode, refuses what the policy was not made for, and counts missed deadlines.

    Args:
        rate_hz: Control steps per second of the robot.
        names: Names of the entries of its observations, in order.
        units: Their units.
        version: `export_version` of the card that the robot's program was written for.
    Raises: ValueError naming what does not fit; None is not compared.
    """

    def __init__(
        self,
        rate_hz: float | None = None,
        names: Sequence[str] | None = None,
        units: Sequence[str | None] | None = None,
        version: int | None = None,
    ) -> None:
        self.entries = CARD["observation"]["entries"]
        if version not in (None, CARD["export_version"]):
            raise ValueError(f"This policy was exported with version {CARD['export_version']}, not {version}.")
        for word, given in (("name", names), ("unit", units)):
            known = [entry[word] for entry in self.entries]
            if given is not None and list(given) != known:
                raise ValueError(
                    f"The {word}s of the policy's observations are {known}, in this order, not {[*given]}."
                )
        made_for = CARD["rate_hz"]
        if rate_hz is not None and not (rate_hz > 0 and (made_for is None or abs(rate_hz / made_for - 1) < 0.01)):
            raise ValueError(f"The policy was made for {made_for} steps per second, not {rate_hz}.")
        self.period, self.missed = None if rate_hz is None else 1 / rate_hz, 0
        self.reset()

    def reset(self) -> None:
        """Begin an episode: the memory is the initial one."""
        self.memory: np.ndarray = policy_init()
        self.last: float | None = None

    def act(self, observation: Any, seconds: float | None = None) -> np.ndarray:
        """The action, laid flat.

        Args:
            observation: One observation. Shape: (observation_size,), or any other with as many entries.
            seconds: Time on the robot's clock; a step that begins half a period late or more is a missed deadline.
        Raises: ValueError for another number of entries, or one that is not finite or far outside its range.
        """
        seen = np.asarray(observation, np.float64).reshape(-1)
        if len(seen) != len(self.entries):
            raise ValueError(f"An observation of this policy has {len(self.entries)} entries, not {len(seen)}.")
        for entry, value in zip(self.entries, seen, strict=True):
            if not np.isfinite(value):
                raise ValueError(f"{entry['name']} is {value}: the policy needs finite numbers.")
            low, high = entry["low"], entry["high"]
            slack = 0.01 * (high - low) if None not in (low, high) else 0
            if (low is not None and value < low - slack) or (high is not None and value > high + slack):
                raise ValueError(
                    f"{entry['name']} is {value:g}, outside {low} to {high}: check its unit and its place."
                )
        if seconds is not None and self.period is not None:
            self.missed += self.last is not None and seconds - self.last >= 1.5 * self.period
            self.last = seconds
        action, self.memory = policy_step(self.memory, seen)
        return action
