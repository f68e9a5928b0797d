"""Tasks around a task: sensors, actuators, and actions that last.

Each wrapper is a `Task` itself, so that they compose in any order. Its state holds the inner state and its own memory,
both reset with each episode. Spaces do not depend on constants.
"""

import dataclasses
import math
from typing import Any, NamedTuple, Protocol

import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from nf_envs.base import Draws, Rng, Task
from nf_envs.lanes import where

Features = tuple[Tensor, ...]


class Sensor(Protocol):
    """Changes the features on their way to the agent."""

    def space(self, box: Box) -> Box:
        """Of the features that leave the sensor."""

    def draws(self, size: int) -> Draws:
        """Random numbers for `size` features."""

    def first(self, features: Features, rng: Rng) -> tuple[Any, Features]:
        """Memory and features at the start of an episode."""

    def sense(self, memory: Any, features: Features, rng: Rng) -> tuple[Any, Features]:
        """Memory and features after a step."""


class Actuator(Protocol):
    """Changes an action on its way to the physics."""

    def draws(self, size: int) -> Draws:
        """Random numbers for an action of `size` entries."""

    def first(self, still: Tensor, rng: Rng) -> Any:
        """Memory at the start of an episode, given the still action."""

    def act(self, memory: Any, action: Tensor, rng: Rng) -> tuple[Any, Tensor]:
        """Memory after a step, and the applied action."""


class Wrapped(Task[Any]):
    """A task that forwards everything to an inner task; `state.inner` is the inner state."""

    def __init__(self, task: Task[Any]) -> None:
        self.task = task
        self.constants = task.constants
        self.observation_space = task.observation_space
        self.action_space = task.action_space
        self.draws = task.draws
        self.velocities = task.velocities
        self.observation_names, self.action_names = task.observation_names, task.action_names
        self.compilable = task.compilable
        super().__init__()

    def get_default_params(self, **kwargs: Any) -> Any:
        """Of the task inside."""
        return dataclasses.replace(self.task.default_params, **kwargs)

    @property
    def dt(self) -> float:
        """Of the task inside."""
        return self.task.dt

    @property
    def pictures_per_second(self) -> int:
        """Of the task inside."""
        return self.task.pictures_per_second

    @property
    def physics(self) -> Task[Any]:
        """The innermost task."""
        return self.task.physics

    def physical(self, state: Any) -> Any:
        """The innermost state."""
        return self.task.physical(state.inner)

    def features(self, state: Any, rng: Rng = (), params: Any = None) -> Features:
        """Of the task inside."""
        return self.task.features(state.inner, (), params)

    def reward(self, state: Any, action: Tensor, next_state: Any, rng: Rng = (), params: Any = None) -> Tensor:
        """Of the task inside."""
        return self.task.reward(state.inner, action, next_state.inner, rng, params)

    def terminal(self, state: Any, rng: Rng = (), params: Any = None) -> Tensor:
        """Of the task inside."""
        return self.task.terminal(state.inner, (), params)

    def state_info(self, state: Any, params: Any = None) -> dict[str, Any]:
        """Of the task inside."""
        return dict(self.task.state_info(state.inner, params))


class SensedState(NamedTuple):
    """The inner state, the sensor's memory, and the features that it shows."""

    inner: Any
    memory: Any
    seen: Features


class Sensed(Wrapped):
    """A task behind a sensor."""

    def __init__(self, task: Task[Any], sensor: Sensor) -> None:
        super().__init__(task)
        self.sensor = sensor
        self.observation_space = sensor.space(task.observation_space)
        more = sensor.draws(_size(task.observation_space))
        self.draws = Draws(task.draws.initial + more.initial, task.draws.transition + more.transition)

    def initial(self, rng: Rng, params: Any = None) -> SensedState:
        """The task's own start, seen."""
        return self._seen(self.task.initial(rng, params), rng, params)

    def begin(self, physical: Any, rng: Rng, params: Any = None) -> SensedState:
        """A given start, seen."""
        return self._seen(self.task.begin(physical, rng, params), rng, params)

    def transition(self, state: SensedState, action: Tensor, rng: Rng = (), params: Any = None) -> SensedState:
        """The task's own step, seen."""
        inner = self.task.transition(state.inner, action, rng, params)
        own = rng[self.task.draws.transition : self.draws.transition]
        return SensedState(inner, *self.sensor.sense(state.memory, self.task.features(inner, (), params), own))

    def features(self, state: SensedState, rng: Rng = (), params: Any = None) -> Features:
        """What the sensor shows."""
        return state.seen

    def _seen(self, inner: Any, rng: Rng, params: Any) -> SensedState:
        features = self.task.features(inner, (), params)
        return SensedState(inner, *self.sensor.first(features, rng[self.task.draws.initial : self.draws.initial]))


class ActuatedState(NamedTuple):
    """The inner state, the actuator's memory, and the last applied action."""

    inner: Any
    memory: Any
    applied: Tensor


class Actuated(Wrapped):
    """A task behind an actuator; the reward is that of the applied action."""

    def __init__(self, task: Task[Any], actuator: Actuator) -> None:
        super().__init__(task)
        self.actuator = actuator
        more = actuator.draws(_size(task.action_space))
        self.draws = Draws(task.draws.initial + more.initial, task.draws.transition + more.transition)

    def initial(self, rng: Rng, params: Any = None) -> ActuatedState:
        """The task's own start, with nothing done."""
        return self._still(self.task.initial(rng, params), rng)

    def begin(self, physical: Any, rng: Rng, params: Any = None) -> ActuatedState:
        """A given start, with nothing done."""
        return self._still(self.task.begin(physical, rng, params), rng)

    def transition(self, state: ActuatedState, action: Tensor, rng: Rng = (), params: Any = None) -> ActuatedState:
        """The task's own step with the applied action."""
        # A Box action takes the state's dtype here, so that memory and new actions agree.
        action = action.to(state.applied.dtype)
        memory, applied = self.actuator.act(
            state.memory, action, rng[self.task.draws.transition : self.draws.transition]
        )
        return ActuatedState(self.task.transition(state.inner, applied, rng, params), memory, applied)

    def reward(self, state: Any, action: Tensor, next_state: Any, rng: Rng = (), params: Any = None) -> Tensor:
        """For the applied action."""
        return self.task.reward(state.inner, next_state.applied, next_state.inner, rng, params)

    def _still(self, inner: Any, rng: Rng) -> ActuatedState:
        still = self._still_action(rng[0])
        return ActuatedState(
            inner, self.actuator.first(still, rng[self.task.draws.initial : self.draws.initial]), still
        )

    def _still_action(self, like: Tensor) -> Tensor:
        if isinstance(self.action_space, Discrete):
            return torch.full_like(like, self.physics.still_action, dtype=torch.int64)
        return like.unsqueeze(-1) * torch.zeros(_size(self.action_space), dtype=like.dtype, device=like.device)


class RepeatedState(NamedTuple):
    """The inner state, and the sum of the rewards of the last action."""

    inner: Any
    total: Tensor


class Repeated(Wrapped):
    """A task that repeats every action for several steps, or until the episode ends; rewards add up."""

    def __init__(self, task: Task[Any], times: int) -> None:
        super().__init__(task)
        self.times = times
        self.draws = Draws(task.draws.initial, task.draws.transition * times)

    @property
    def dt(self) -> float:
        """Of all the steps of an action."""
        return self.task.dt * self.times

    @property
    def pictures_per_second(self) -> int:
        """One per action."""
        return max(1, round(self.task.pictures_per_second / self.times))

    def initial(self, rng: Rng, params: Any = None) -> RepeatedState:
        """The task's own start."""
        return RepeatedState(self.task.initial(rng, params), torch.zeros_like(rng[0]))

    def begin(self, physical: Any, rng: Rng, params: Any = None) -> RepeatedState:
        """A given start."""
        return RepeatedState(self.task.begin(physical, rng, params), torch.zeros_like(rng[0]))

    def transition(self, state: RepeatedState, action: Tensor, rng: Rng = (), params: Any = None) -> RepeatedState:
        """Several steps of the task inside."""
        inner, total = state.inner, torch.zeros_like(state.total)
        over = torch.zeros_like(total, dtype=torch.bool)
        for i in range(self.times):
            numbers = rng[i * self.task.draws.transition : (i + 1) * self.task.draws.transition]
            after = self.task.transition(inner, action, numbers, params)
            total = total + torch.where(over, 0.0, self.task.reward(inner, action, after, numbers, params))
            inner = where(over, inner, after)
            over = over | self.task.terminal(inner, (), params)
        return RepeatedState(inner, total)

    def reward(self, state: Any, action: Tensor, next_state: Any, rng: Rng = (), params: Any = None) -> Tensor:
        """The sum over the action's steps."""
        return next_state.total


def _size(space: Any) -> int:
    return math.prod(space.shape or ())
