"""Policy and task as one function of tensors: many steps of all lanes, without a look at the outside.

All lanes begin an episode at the same time, and a lane whose episode is over runs on without being counted, until the
caller leaves it out. What a lane is made of is packed into few tensors, because each tensor that enters a compiled
function costs time.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from nf_policies.policies.policy import CLIP, EPSILON, Normalizer
from nf_policies.rollouts.forms import Form, Memory


class Task(Protocol):
    """The functional core of a batched task, as a vector environment's `func_env` offers it."""

    observation_space: Any
    draws: Any

    def initial(self, rng: Any, params: Any = None) -> Any:
        """State at the start of an episode."""

    def transition(self, state: Any, action: Any, rng: Any = (), params: Any = None) -> Any:
        """State one step later."""

    def features(self, state: Any, rng: Any = (), params: Any = None) -> tuple[Tensor, ...]:
        """Entries of the observation, each (lanes,)."""

    def reward(self, state: Any, action: Any, next_state: Any, rng: Any = (), params: Any = None) -> Tensor:
        """Of a step. Shape: (lanes,)."""

    def terminal(self, state: Any, rng: Any = (), params: Any = None) -> Tensor:
        """Whether an episode ends in a state. Shape: (lanes,), bool."""


class World(NamedTuple):
    """A task with all that its functions need."""

    task: Task
    params: Any
    uniforms: Callable[..., tuple[Tensor, ...]]
    """(keys, episodes, first, n, dtype) -> n tensors of uniform random numbers (lanes,)."""
    visible: tuple[int, ...]
    """Indices of the features that the policy sees."""


class Lanes(NamedTuple):
    """Episodes under way; every tensor's first axis is that of lanes, but for `numbers` (rows, lanes)."""

    numbers: Tensor
    """Return, number of steps, whether alive, sums and squared sums of the features, then packed states."""
    others: tuple[Tensor, ...]
    """Parts of the state that cannot be packed. Shape: (lanes, ...)."""
    memory: tuple[Tensor, ...]
    """Parts of the policy's memory that cannot be packed; a row per group of lanes."""
    keys: Tensor
    """Of the random numbers. Shape: (lanes,), int32."""


RETURN, LENGTH, ALIVE, HEAD = 0, 1, 2, 3
"""Rows of `Lanes.numbers`; `HEAD` is the number of rows before the sums."""


class Fused:
    """Steps of a task and a policy in one function.

    Args:
        world: The task.
        form: The policy.
        moments: Whether to sum up the features that are seen, for a normaliser.
    """

    def __init__(self, world: World, form: Form, moments: bool) -> None:
        self.world, self.form, self.moments = world, form, moments
        self._state: Any = None
        self._memory: Any = None

    def start(self, keys: Tensor, coefficients: Any, dtype: torch.dtype) -> Lanes:
        """Begin an episode in every lane.

        Args:
            keys: Of the random numbers, from the vector environment's `lane_keys`. Shape: (lanes,).
            coefficients: Of the form.
            dtype: Of the physics.
        """
        zeros = torch.zeros_like(keys)
        task, params = self.world.task, self.world.params
        rng = self.world.uniforms(keys, zeros, zeros, task.draws.initial, dtype)
        state = task.initial(rng, params)
        zero = torch.zeros(len(keys), dtype=dtype, device=keys.device)
        sums = [zero] * (2 * len(self.world.visible) if self.moments else 0)
        memory = self.form.start(coefficients)
        self._state, self._memory = plan(state, dtype), plan(memory, dtype)
        return self._packed([zero, zero, zero + 1, *sums], state, memory, keys)

    def advance(
        self, lanes: Lanes, coefficients: Any, normal: tuple[Tensor, Tensor, Tensor] | None, t: Any, n_steps: int
    ) -> Lanes:
        """Take steps in every lane.

        Args:
            lanes: Not modified.
            coefficients: Of the form, for these lanes.
            normal: From `normalisation`; None where nothing is normalised.
            t: Steps taken before: a number, or a tensor ().
            n_steps: How many to take.
        """
        task, params, draws = self.world.task, self.world.params, self.world.task.draws
        dtype = lanes.numbers.dtype
        n_seen = len(self.world.visible)
        rows = lanes.numbers.unbind()
        total, length, alive = rows[RETURN], rows[LENGTH], rows[ALIVE] > 0
        sums = rows[HEAD : HEAD + 2 * n_seen] if self.moments else ()
        numbers = iter(rows[HEAD + len(sums) :])
        state = unpack(self._state, numbers, iter(lanes.others))
        memory = unpack(self._memory, numbers, iter(lanes.memory))
        zeros = torch.zeros_like(lanes.keys)
        for i in range(n_steps):
            features = task.features(state, (), params)
            seen = [features[k] for k in self.world.visible]
            if self.moments:
                counted = [torch.where(alive, x, 0.0) for x in seen]
                sums = (
                    *(s + x for s, x in zip(sums[:n_seen], counted, strict=True)),
                    *(torch.addcmul(s, x, x) for s, x in zip(sums[n_seen:], counted, strict=True)),
                )
            inputs = seen if normal is None else normalised(seen, normal)
            action, memory = self.form.act(coefficients, inputs, memory)
            rng: tuple[Tensor, ...] = ()
            if draws.transition:
                first = zeros + (draws.initial + (t + i) * draws.transition)
                rng = self.world.uniforms(lanes.keys, zeros, first, draws.transition, dtype)
            after = task.transition(state, action, rng, params)
            reward = task.reward(state, action, after, rng, params)
            total = total + torch.where(alive, reward, 0.0)
            length = length + alive
            alive = alive & ~task.terminal(after, (), params)
            state = after
        return self._packed([total, length, alive.to(dtype), *sums], state, memory, lanes.keys)

    def _packed(self, rows: list[Tensor], state: Any, memory: Memory, keys: Tensor) -> Lanes:
        rows = [*rows]
        others: list[Tensor] = []
        kept: list[Tensor] = []
        take_apart(self._state, state, rows, others)
        take_apart(self._memory, memory, rows, kept)
        return Lanes(torch.stack(rows), tuple(others), tuple(kept), keys)


def normalisation(normalizer: Normalizer, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and deviation of each feature (size,), and the limit () of what comes out; the identity at first."""
    limit = torch.where(normalizer.count > 0, CLIP, torch.inf).to(dtype)
    return normalizer.mean.to(dtype), (normalizer.var.to(dtype) + EPSILON).sqrt(), limit


def normalised(features: Sequence[Tensor], normal: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
    """Features (lanes,) as the normaliser gives them."""
    mean, deviation, limit = normal
    parts = zip(features, mean.unbind(), deviation.unbind(), strict=True)
    return [((x - m) / s).clamp(-limit, limit) for x, m, s in parts]


def plan(tree: Any, dtype: torch.dtype) -> Any:
    """A nested tuple of tensors, each replaced by whether it can be packed as a row of numbers."""
    if isinstance(tree, Tensor):
        return tree.dim() == 1 and tree.dtype == dtype
    parts = [plan(part, dtype) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


def take_apart(plan: Any, tree: Any, rows: list[Tensor], others: list[Tensor]) -> None:
    """Append the tensors of a nested tuple to the rows or to the others, as planned."""
    if isinstance(plan, bool):
        (rows if plan else others).append(tree)
        return
    for part, value in zip(plan, tree, strict=True):
        take_apart(part, value, rows, others)


def unpack(plan: Any, rows: Iterator[Tensor], others: Iterator[Tensor]) -> Any:
    """Put together what `take_apart` took apart."""
    if isinstance(plan, bool):
        return next(rows) if plan else next(others)
    parts = [unpack(part, rows, others) for part in plan]
    return type(plan)(*parts) if hasattr(plan, "_fields") else tuple(parts)


def picked(lanes: Lanes, which: Tensor, group: int) -> Lanes:
    """Some lanes.

    Args:
        lanes: All.
        which: Indices of lanes, whole groups.
        group: Lanes per group, of which the memory has a row each.
    """
    groups = which if group == 1 else which[::group] // group
    others = tuple(x[which] for x in lanes.others)
    return Lanes(lanes.numbers[:, which], others, tuple(x[groups] for x in lanes.memory), lanes.keys[which])
