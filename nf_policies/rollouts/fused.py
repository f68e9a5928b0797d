"""Policy and task as one function of tensors: many steps of n episodes, without a look at the outside.

All episodes begin at the same time. One that is over runs on without being counted, until the caller leaves it out.
Their state is packed into few tensors, because each tensor that enters a compiled function costs time.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from nf_policies.kernels.compiling import Operations
from nf_policies.policies.policy import CLIP, Normalizer

Mode = Literal["auto", "eager", "compiled"]

COMPILE_SECONDS = 30.0
"""What compiling costs on two cores, generously."""
SECONDS_PER_OPERATION, SECONDS_PER_NUMBER = 4e-6, 3e-10
"""What an operation on tensors costs without compiling: for all episodes, and for each."""


class World(NamedTuple):
    """A task with all that its functions need."""

    task: Any
    """A vector environment's `func_env`: initial, transition, features, reward and terminal, as nf_envs has them."""
    params: Any
    uniforms: Callable[..., tuple[Tensor, ...]]
    """(keys, episodes, first, n, dtype) -> n tensors of uniform random numbers (n,)."""
    visible: tuple[int, ...]
    """Indices of the features that the policy sees."""


class Episodes(NamedTuple):
    """Episodes under way; every tensor's first axis is theirs, but for `numbers` (rows, n)."""

    numbers: Tensor
    """Return, number of steps, whether alive, the running average of the rewards and the highest one, sums and squared
    sums of the features, then packed states."""
    others: tuple[Tensor, ...]
    """Parts of the state that cannot be packed. Shape: (n, ...)."""
    memory: tuple[Tensor, ...]
    """Parts of the policy's memory that cannot be packed; a row per group of episodes."""
    keys: Tensor
    """Of the random numbers. Shape: (n,), int32."""
    stretch: Tensor | None = None
    """Steps of a stretch, as for `play`. Shape: ()."""


class Row(IntEnum):
    """Rows of `Episodes.numbers`, the first of them; `SUMS` is the number of rows before the sums."""

    RETURN, LENGTH, ALIVE, AVERAGE, STRETCH, SUMS = range(6)


class Normal(NamedTuple):
    """How features are normalised, and where their moments are centred; each (size,), but for the limit ()."""

    mean: Any
    std: Any
    limit: Any
    centre: Any

    def unbind(self) -> "Normal":
        """The same with one tensor () per feature, both limits, and no centre where it is the mean."""
        centre = None if self.centre is self.mean else self.centre.unbind()
        return Normal(self.mean.unbind(), self.std.unbind(), (-self.limit, self.limit), centre)


class Fused:
    """Steps of a task and a policy in one function.

    With `moments`, the features that are seen are summed up for a normaliser.
    """

    def __init__(self, world: World, form: Any, moments: bool) -> None:
        self.world, self.form, self.moments = world, form, moments
        self._state: Any = None
        self._memory: Any = None

    def start(self, keys: Tensor, coefficients: Any, dtype: torch.dtype, stretch: int = 0) -> Episodes:
        """Begin an episode for each key (n,), from the vector environment's `lane_keys`; dtype is the physics'."""
        zeros = torch.zeros_like(keys)
        task, params = self.world.task, self.world.params
        rng = self.world.uniforms(keys, zeros, zeros, task.draws.initial, dtype)
        state = task.initial(rng, params)
        zero = torch.zeros(len(keys), dtype=dtype, device=keys.device)
        sums = [zero] * (2 * len(self.world.visible) if self.moments else 0)
        unpacked: Any = self.form.unpack(coefficients)
        memory = self.form.start(unpacked)
        during = torch.tensor(stretch, dtype=dtype, device=keys.device) if stretch else None
        self._state, self._memory = plan(state, dtype), plan(memory, dtype)
        return self._packed([zero, zero, zero + 1, zero, zero - torch.inf, *sums], state, memory, keys, during)

    def advance(self, episodes: Episodes, coefficients: Any, normal: Normal | None, t: Any, n_steps: int) -> Episodes:
        """Take steps in every episode.

        Args:
            episodes: Not modified.
            coefficients: Of the form, for these episodes.
            normal: From `normalisation`; None where nothing is normalised and no moments are summed up.
            t: Steps taken before: a number, or a tensor ().
            n_steps: How many to take.
        """
        task, params, draws = self.world.task, self.world.params, self.world.task.draws
        dtype = episodes.numbers.dtype
        n_seen = len(self.world.visible)
        total, length, lives, average, best, *rows = episodes.numbers.unbind()
        alive = lives > 0
        sums = rows[: 2 * n_seen] if self.moments else []
        numbers = iter(rows[len(sums) :])
        state = unpack(self._state, numbers, iter(episodes.others))
        memory = unpack(self._memory, numbers, iter(episodes.memory))
        zeros = torch.zeros_like(episodes.keys)
        unpacked: Any = self.form.unpack(coefficients)
        scaling = None if normal is None else normal.unbind()
        for i in range(n_steps):
            features = task.features(state, (), params)
            seen = [features[k] for k in self.world.visible]
            inputs, centred = (seen, seen) if scaling is None else normalised(seen, scaling)
            if self.moments:
                counted = [torch.where(alive, x, 0.0) for x in centred]
                sums = [
                    *(s + x for s, x in zip(sums[:n_seen], counted, strict=True)),
                    *(torch.addcmul(s, x, x) for s, x in zip(sums[n_seen:], counted, strict=True)),
                ]
            action, memory = self.form.act(unpacked, inputs, memory)
            rng: tuple[Tensor, ...] = ()
            if draws.transition:
                first = zeros + (draws.initial + (t + i) * draws.transition)
                rng = self.world.uniforms(episodes.keys, zeros, first, draws.transition, dtype)
            after = task.transition(state, action, rng, params)
            reward = task.reward(state, action, after, rng, params)
            total = total + torch.where(alive, reward, 0.0)
            length = length + alive
            ends = task.terminal(after, (), params)
            if episodes.stretch is not None:
                average = average + (reward - average) / episodes.stretch
                told = alive & (ends | (length >= episodes.stretch))
                best = torch.where(told, torch.maximum(best, average), best)
            alive = alive & ~ends
            state = after
        rows = [total, length, alive.to(dtype), average, best, *sums]
        return self._packed(rows, state, memory, *episodes[3:])

    def operations(self, episodes: Episodes, coefficients: Any, normal: Any) -> int:
        """How many operations on tensors a step takes, the policy's and the task's."""
        with Operations() as operations:
            self.advance(episodes, coefficients, normal, 0, n_steps=1)
        return operations.count

    def picked(self, episodes: Episodes, which: Tensor) -> Episodes:
        """Some episodes, by indices from `left`; the memory has a row per group."""
        group = self.form.group
        groups = which if group == 1 else which[::group] // group
        others = tuple(x[which] for x in episodes.others)
        memory = tuple(x[groups] for x in episodes.memory)
        return Episodes(episodes.numbers[:, which], others, memory, episodes.keys[which], episodes.stretch)

    def left(self, alive: Tensor) -> Tensor:
        """Indices of the episodes in groups with at least one that is alive."""
        if self.form.group > 1:
            alive = alive.reshape(-1, self.form.group).any(1).repeat_interleave(self.form.group)
        return alive.nonzero().squeeze(1)

    def _packed(self, rows: list[Tensor], state: Any, memory: tuple[Tensor, ...], *rest: Any) -> Episodes:
        rows = [*rows]
        others: list[Tensor] = []
        kept: list[Tensor] = []
        take_apart(self._state, state, rows, others)
        take_apart(self._memory, memory, rows, kept)
        return Episodes(torch.stack(rows), tuple(others), tuple(kept), *rest)


def normalisation(normalizer: Normalizer, centre: Tensor) -> Normal:
    """The normaliser's own formula, in a form that is the identity, to the bit, before its first update.

    Only before it, moments are centred at `centre` (size,), near the mean of the features.
    """
    mean, std, limit = normalizer.mean, normalizer.std, torch.full_like(normalizer.mean[0], CLIP)
    if normalizer.count > 0:
        return Normal(mean, std, limit, mean)
    limit = torch.full_like(limit, torch.inf)
    return Normal(torch.zeros_like(mean), torch.ones_like(mean), limit, centre)


def normalised(features: Sequence[Tensor], normal: Normal) -> tuple[list[Tensor], list[Tensor]]:
    """Features (n,) as the normaliser gives them, and centred; `normal` is unbound."""
    shifted = [x - m for x, m in zip(features, normal.mean, strict=True)]
    inputs = [(x / s).clamp(*normal.limit) for x, s in zip(shifted, normal.std, strict=True)]
    if normal.centre is None:
        return inputs, shifted
    return inputs, [x - c for x, c in zip(features, normal.centre, strict=True)]


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


def eager_seconds(operations: int, env_steps: int, episodes: int = 1) -> float:
    """How long so many steps of all environments take, so many episodes at once, from the operations of a step."""
    return operations * env_steps * (SECONDS_PER_OPERATION / max(episodes, 1) + SECONDS_PER_NUMBER)


def engine_mode(seconds: float) -> Mode:
    """Whether compiling pays for so much work ahead, which is not measured: so a resumed run decides the same."""
    return "compiled" if seconds > 1.5 * COMPILE_SECONDS else "eager"
