"""What a task returns, checked once where it enters: an observation of its space, one reward, two flags.

Only the form is checked here. Numbers that are not finite are the policy's and the learner's to refuse, because a
search ranks their episodes last and goes on.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from nf_policies.tasks.faults import TaskError

ARRAYS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
REALS, BOOLS = (float, np.floating), (bool, np.bool_)
"""What needs no closer look."""
SHOWN_MAX = 60
"""Characters of a wrong value in a message."""


class Checked(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose observations are arrays of its space, whose rewards are numbers and whose flags are bools.

    Raises: TaskError, from `reset` and `step`, in a sentence that names the task and what it should have returned.
    """

    def __init__(self, env: gym.Env[Any, Any], env_id: str) -> None:
        super().__init__(env)
        self.env_id, self._space = env_id, env.observation_space
        self._form = self._space.dtype, self._space.shape

    @property
    def spec(self) -> Any:  # type: ignore[override]
        """The task's own, in which this wrapper is none."""
        return self.env.spec

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As Gymnasium's."""
        answer = self.env.reset(seed=seed, options=options)
        if type(answer) is not tuple or len(answer) != 2:
            raise self._wrong("reset must return an observation and a dict", answer)
        return self._observed(answer[0], self._space), answer[1]

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As Gymnasium's."""
        answer = self.env.step(action)
        if type(answer) is not tuple or len(answer) != 5:
            raise self._wrong("step must return an observation, a reward, two flags and a dict", answer)
        obs, reward, terminated, truncated, info = answer
        if not isinstance(reward, REALS):
            reward = self._number(reward)
        if type(terminated) not in BOOLS:
            terminated = self._flag("terminated", terminated)
        if type(truncated) not in BOOLS:
            truncated = self._flag("truncated", truncated)
        if type(obs) is not np.ndarray or (obs.dtype, obs.shape) != self._form:
            obs = self._observed(obs, self._space)
        return obs, reward, terminated, truncated, info

    def _observed(self, obs: Any, space: Any) -> Any:
        """An observation with the shape and dtype of its space; what is too large for the dtype becomes infinite."""
        if isinstance(space, spaces.Dict) and isinstance(obs, dict) and obs.keys() == space.spaces.keys():
            return {key: self._observed(obs[key], part) for key, part in space.spaces.items()}
        if isinstance(space, spaces.Tuple) and isinstance(obs, tuple | list) and len(obs) == len(space.spaces):
            return tuple(self._observed(part, of) for part, of in zip(obs, space.spaces, strict=True))
        if not isinstance(space, ARRAYS):
            return obs  # no policy sees it
        given = array_of(obs)
        shape: Any = space.shape
        if given is not None and (given.shape == shape or given.size == 1 == np.prod(shape)):
            with np.errstate(all="ignore"):
                made = given.reshape(shape).astype(space.dtype)
            if made.dtype.kind == "f" or np.array_equal(made, given.reshape(shape)):
                return made[()] if shape == () else made
        raise self._wrong(f"an observation must be numbers of {space}", obs)

    def _number(self, reward: Any) -> float:
        """A reward as one number."""
        given = array_of(reward)
        if given is None or given.size != 1:
            wrapper = "a wrapper makes one, for example --wrapper mo_gymnasium.wrappers:LinearReward"
            raise self._wrong(f"a reward must be one number ({wrapper})", reward)
        return float(given.reshape(()))

    def _flag(self, name: str, flag: Any) -> bool:
        """A flag as a bool."""
        given = array_of(flag)
        if given is None or given.size != 1 or given.dtype.kind == "f" or given.reshape(()) not in (0, 1):
            raise self._wrong(f"{name} must be true or false", flag)
        return bool(given.reshape(()))

    def _wrong(self, demand: str, value: Any) -> TaskError:
        """The error about a value, in one line."""
        found = " ".join(repr(value).split())
        found = found if len(found) <= SHOWN_MAX else f"{found[:SHOWN_MAX]}…"
        return TaskError(f"The task {self.env_id} returns what it must not: {' '.join(demand.split())}, not {found}.")


def array_of(value: Any) -> np.ndarray | None:
    """A value as an array of plain numbers; None if it is something else."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError):
        return None
    return array if array.dtype.kind in "biuf" else None
