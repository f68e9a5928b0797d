"""Environments in a process each. A process that is lost is replaced, and its episode is played again.

Gymnasium's `AsyncVectorEnv` ends with the first process that dies, and waits for ever for one that is stopped.
"""

import copy
import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Self

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array

from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.worker import ALIVE, Answer, Begin, Move, Raised, Ready, Recipe, serve
from nf_policies.worker_process import end, how_it_ended, start, start_method

STEP_TIMEOUT = 300.0
"""Seconds that a step or a reset may take."""
STARTING = 300.0
"""Seconds that a process may take to start and to make its environment."""
TRIES = 3
"""How often an episode is begun before the task is given up."""
CLOSING = 2.0
"""Seconds that environments have to close."""


class LostError(Exception):
    """A process that answers no more; the message says what it did."""


class FailedError(LostError):
    """A process whose environment raised; the message says what and where."""


class Worker:
    """One process with its environment, and what it would take to bring another one to the same moment."""

    def __init__(self, recipe: Recipe, method: str) -> None:
        self._recipe, self._method = recipe, method
        self.begun = Begin(None, None)
        self.losses = self.lost = 0
        """Processes lost in this episode, and ever."""
        self.actions: list[Any] = []
        """Taken in this episode."""
        self.start()

    def start(self) -> None:
        """Start the process; its first answer, to no request, is `Ready`."""
        self.process: BaseProcess
        self.pipe: Connection
        self.process, self.pipe = start(self._method, serve, self._recipe)
        self.number, self._starting = 0, time.monotonic() + STARTING

    def ask(self, wish: Begin | Move) -> None:
        """Send a request; a process that cannot be reached is found where its answer is awaited."""
        self.number += 1
        with suppress(OSError):
            self.pipe.send((self.number, wish))

    def answer(self, deadline: float, timeout: float) -> Any:
        """The answer to the latest request; those to earlier ones, which nobody has awaited, are left out.

        Raises: LostError if there is none until the deadline, or the process is dead or has failed.
        """
        deadline = max(deadline, self._starting)
        try:
            while self.pipe.poll(max(deadline - time.monotonic(), 0)):
                number, answer = self.pipe.recv()
                if isinstance(answer, Raised):
                    raise FailedError(answer.reason)
                if answer is ALIVE or isinstance(answer, Ready):
                    self._starting, deadline = 0.0, time.monotonic() + timeout
                if number == self.number and answer is not ALIVE:
                    return answer
        except (EOFError, OSError) as error:
            raise LostError(how_it_ended(self.process)) from error
        if self._starting:
            raise LostError(f"has not started within {STARTING:g} seconds")
        raise LostError(f"has not answered for {timeout:g} seconds (the step timeout)")

    def end(self) -> None:
        """End the process at once."""
        end(self.process)
        self.pipe.close()


class ProcessVectorEnv(VectorEnv):
    """A Gymnasium vector environment whose environments have a process each.

    With autoreset disabled an environment is left alone from its episode's end until it is reset, and a lost process is
    replaced by one that resets with the same seed and takes the same actions again: a task that follows its seed goes
    on as if nothing had happened. With autoreset in the same step a lost episode counts as cut off, and the replacement
    begins another one. Each loss is told by a RuntimeWarning.

    Args:
        make: Makes an environment; need not be importable by another process.
        count: Number of environments.
        mode: Of autoreset: disabled, or in the same step.
        name: Of the task, for messages.
        spec: What to register in the processes before.
        timeout: Seconds that a step or a reset may take.
    Raises: TaskError if a process cannot be started; later, from `reset` and `step`, where an episode is lost for the
        third time.
    """

    pausing = True

    def __init__(
        self,
        make: Callable[[], gym.Env],
        count: int,
        *,
        mode: AutoresetMode,
        name: str = "the task",
        spec: EnvSpec | None = None,
        timeout: float | None = None,
    ) -> None:
        self.num_envs, self.name, self.timeout, self._owner = count, name, timeout or STEP_TIMEOUT, os.getpid()
        self.workers: list[Worker] = []
        method, recipe = start_method(), Recipe(make, spec)
        try:
            for _ in range(count):
                self.workers.append(Worker(recipe, method))
            made: list[Ready] = [worker.answer(0.0, self.timeout) for worker in self.workers]
        except FailedError as error:
            self.close()
            raise TaskError(str(error)) from error
        except LostError as error:
            self.close()
            guard = "" if method == "fork" else ' A script that starts workers needs `if __name__ == "__main__":`.'
            raise TaskError(f"A worker of {name} {error} while it started.{guard}") from error
        except OSError as error:
            self.close()
            started = len(self.workers)
            raise TaskError(f"Only {started} of {count} workers of {name} could be started: {error}.") from error
        self.single_observation_space, self.single_action_space, metadata, self.limit = made[0]
        self.observation_space = batch_space(self.single_observation_space, count)
        self.action_space = batch_space(self.single_action_space, count)
        self._set_mode(mode, metadata)

    def _set_mode(self, mode: AutoresetMode, metadata: dict[str, Any]) -> None:
        self.metadata = {**metadata, "autoreset_mode": mode}
        self.autoreset = mode == AutoresetMode.SAME_STEP
        self._rows: list[Any] = [None] * self.num_envs
        self._obs: Any = create_empty_array(self.single_observation_space, self.num_envs)
        self._over: np.ndarray = np.zeros(self.num_envs, dtype=bool)
        self._flags = np.zeros((2, self.num_envs), dtype=bool)

    def for_episodes(self) -> Self:
        """The same processes with autoreset disabled; of the two, the one that has been reset last can be stepped."""
        view = copy.copy(self)
        view._set_mode(AutoresetMode.DISABLED, self.metadata)
        view.closed = True  # the processes are not the view's to end
        return view

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin episodes, as Gymnasium's vector environments do; where `options["reset_mask"]` is True, if given."""
        given = None if options is None else {name: value for name, value in options.items() if name != "reset_mask"}
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, dtype=bool))
        seeds, chosen = seeds_of(seed, self.num_envs), np.flatnonzero(mask).tolist()
        for i in chosen:
            worker = self.workers[i]
            worker.begun, worker.actions, worker.losses = Begin(seeds[i], given), [], 0
            worker.ask(worker.begun)
        deadline = time.monotonic() + self.timeout
        for i in chosen:
            self._rows[i] = self._answer(i, deadline).obs
        self._over[chosen] = self._flags[:, chosen] = False
        return self._observations(), {}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step the environments whose episodes are running; others keep their last values, with reward 0."""
        running = np.flatnonzero(~self._over).tolist()
        for i in running:
            self.workers[i].actions.append(actions[i])
            self.workers[i].ask(Move(actions[i], self.autoreset))
        rewards, finals = np.zeros(self.num_envs), np.full(self.num_envs, None, dtype=object)
        deadline = time.monotonic() + self.timeout
        for i in running:
            answer = self._answer(i, deadline)
            self._rows[i], rewards[i], self._flags[0, i], self._flags[1, i], finals[i] = answer
            if self.autoreset:
                self.workers[i].actions.clear()  # what an episode began with is unknown: it cannot be played again
        over: np.ndarray = np.logical_or(*self._flags)
        infos = {"final_obs": finals, "_final_obs": over} if self.autoreset and over.any() else {}
        self._over = np.zeros_like(over) if self.autoreset else over
        return self._observations(), rewards, self._flags[0].copy(), self._flags[1].copy(), infos

    def _observations(self) -> Any:
        try:
            obs = concatenate(self.single_observation_space, self._rows, self._obs)
        except (ValueError, TypeError) as error:
            raise TaskError(f"{self.name} shows what is not in its {self.single_observation_space}: {error}") from error
        return copy.deepcopy(obs) if self.autoreset else obs

    def _answer(self, i: int, deadline: float) -> Answer:
        """Wait for an answer; a process that is lost is replaced until there is one."""
        worker, cut_off = self.workers[i], False
        while True:
            try:
                answer: Answer = worker.answer(deadline, self.timeout)
            except LostError as lost:
                cut_off = self._replace(worker, f"failed with {lost}" if isinstance(lost, FailedError) else str(lost))
                deadline = time.monotonic() + self.timeout
                continue
            if cut_off:
                return Answer(answer.obs, truncated=True, final_obs=self._rows[i])
            if self.autoreset:
                worker.losses = 0
            return answer

    def _replace(self, worker: Worker, reason: str) -> bool:
        """Replace a process by one at the same moment, and ask again. Returns whether the episode is cut off instead.

        Raises: TaskError if it is lost too often.
        """
        number = worker.process.pid
        worker.end()
        worker.losses, worker.lost = worker.losses + 1, worker.lost + 1
        if worker.losses == TRIES:
            raise TaskError(f"A worker of {self.name} was lost {TRIES} times in the same episode: it {reason}.")
        worker.start()
        seed = worker.begun.seed
        cut_off = self.autoreset and bool(worker.actions)
        if not cut_off:
            worker.ask(worker.begun._replace(actions=worker.actions))
        elif seed is None:
            worker.ask(Begin(None, None))
        else:
            worker.ask(Begin(int(np.random.SeedSequence([seed, worker.lost]).generate_state(1)[0]), None))
        then = "begins another episode" if cut_off else "plays its episode again"
        message = f"A worker of {self.name} (process {number}) {reason}; another one {then}."
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        return cut_off

    def close_extras(self, **kwargs: Any) -> None:
        """Let the environments close, and end the processes."""
        if os.getpid() != self._owner:  # a forked process, whose copy is none of its business
            return
        for worker in self.workers:
            with suppress(OSError):
                worker.pipe.send(None)
        deadline = time.monotonic() + CLOSING
        for worker in self.workers:
            worker.process.join(max(deadline - time.monotonic(), 0))
            worker.end()


def seeds_of(seed: int | Sequence[int | None] | None, count: int) -> Sequence[int | None]:
    """One seed for each environment, as Gymnasium's vector environments count on from one."""
    if isinstance(seed, Sequence):
        return seed
    return [None if seed is None else seed + i for i in range(count)]
