"""What the process of one environment does: make it, begin episodes and step, as it is asked to."""

from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import cloudpickle
import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from nf_policies.tasks.faults import TaskError, place_of
from nf_policies.tasks.make import limit_of


class Ready(NamedTuple):
    """The environment is made."""

    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    metadata: dict[str, Any]
    limit: int | None
    """Steps of an episode; None for a task without a time limit."""


class Begin(NamedTuple):
    """Begin an episode, and take these actions; the answer is that of the last one, or of the one that ended it."""

    seed: int | None
    options: dict[str, Any] | None
    actions: Sequence[Any] = ()


class Move(NamedTuple):
    """Take one action; with `autoreset`, begin the next episode where it ends this one."""

    action: Any
    autoreset: bool


class Answer(NamedTuple):
    """What an action brought, or the beginning of an episode."""

    obs: Any
    reward: Any = 0.0
    terminated: bool = False
    truncated: bool = False
    final_obs: Any = None
    """The last observation of an episode, where `obs` is the first of the next."""


class Raised(NamedTuple):
    """The environment's code has failed, in a sentence."""

    reason: str


ALIVE = None
"""Said after each action that is taken again."""


class Recipe:
    """How to make an environment. It reaches a spawned process by value, for classes of a notebook have no module.

    Args:
        make: Makes it.
        spec: To register before, if that process may not know it.
    """

    def __init__(self, make: Callable[[], gym.Env], spec: EnvSpec | None = None) -> None:
        self._parts: Any = make, spec

    def __getstate__(self) -> bytes:
        return bytes(cloudpickle.dumps(self._parts))

    def __setstate__(self, state: bytes) -> None:
        self._parts = state  # opened when torch's threads are limited

    def __call__(self) -> gym.Env:
        """Make the environment."""
        make, spec = cloudpickle.loads(self._parts) if isinstance(self._parts, bytes) else self._parts
        if spec is not None:
            gym.registry.setdefault(spec.id, spec)
        env: gym.Env = make()
        return env


def serve(pipe: Connection, recipe: Recipe) -> None:
    """Answer requests, each with its number, until one is None; give up where the environment raises."""
    number, env = 0, None
    try:
        env = recipe()
        pipe.send((number, Ready(env.observation_space, env.action_space, dict(env.metadata), limit_of(env))))
        while request := pipe.recv():
            number, wish = request
            if isinstance(wish, Begin):
                obs, _ = env.reset(seed=wish.seed, options=wish.options)
                answer = Answer(obs)
                for action in wish.actions:
                    pipe.send((number, ALIVE))
                    answer = Answer(*env.step(action)[:4])
                    if answer.terminated or answer.truncated:
                        break
            else:
                answer = Answer(*env.step(wish.action)[:4])
                if wish.autoreset and (answer.terminated or answer.truncated):
                    answer = answer._replace(obs=env.reset()[0], final_obs=answer.obs)
            pipe.send((number, answer))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody asks any more
    except Exception as error:  # whatever a task does wrong
        pipe.send((number, Raised(described(error))))
    finally:
        if env is not None:
            env.close()


def described(error: Exception) -> str:
    """An error of a task in one sentence, with the file and line that raised it."""
    text = " ".join(str(error).split())
    if isinstance(error, TaskError):
        return text
    place = place_of(error)
    return f"{type(error).__name__}: {text}" + (f" ({place})" if place else "")
