"""A rollout on tensors, cut into whole sequences: no padding, no mask, no copy to the host.

A minibatch is some sequences and the memory at their starts. SB3's loss sees them flattened, time-major.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import PyTorchObs, RolloutBufferSamples
from torch import Tensor

from nf_policies.policies.numbers import check_numbers
from nf_policies.policies.spaces import each


@torch.no_grad()
def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """Advantages of a rollout; the value targets are advantages + values.

    An episode's end stops the sum; only a termination stops the bootstrap, so an episode that is cut short counts on
    the value of its final observation.

    Args:
        rewards: Shape: (time, num_envs), as all others.
        values: Of the observations acted on.
        next_values: Of the observations that followed, before any reset; for a truncated step of the final one.
        terminated: Where the task ended; wins over `truncated`.
        truncated: Where an episode was cut short.
        gamma: Discount.
        gae_lambda: From one-step (0) to Monte Carlo (1).
    Reference: Schulman et al. (2016), High-dimensional continuous control using generalized advantage estimation.
    """
    deltas = rewards + gamma * torch.where(terminated, 0.0, next_values) - values
    keep = gamma * gae_lambda * (~(terminated | truncated)).to(deltas.dtype)
    advantages = torch.empty_like(deltas)
    ahead = torch.zeros_like(deltas[0])
    for delta, kept, advantage in zip(*(reversed(x.unbind()) for x in (deltas, keep, advantages)), strict=True):
        ahead = torch.addcmul(delta, kept, ahead, out=advantage)  # Eq. 16, as a recursion
    return advantages


LEAST = 0.1
"""Where returns vary by 1, advantages that vary less are mostly the critic's errors, and count less than entropy."""

FLAT = ("actions", "values", "log_probs", "advantages", "targets")
"""What SB3's loss sees of a rollout, in the order of its `RolloutBufferSamples`."""


class Sequences(NamedTuple):
    """Whole sequences of observations with their memory, where SB3 has plain observations."""

    features: PyTorchObs
    """What the policy kept of the observations. Shape: (time, sequences, ·)."""
    potentials: Tensor
    """Memory before the first step. Shape: (sequences, memory_size)."""
    episode_starts: Tensor
    """Shape: (time, sequences)."""


class Outcome(NamedTuple):
    """What followed the observations of one step. Shapes: (num_envs, ·)."""

    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    final: PyTorchObs | None
    """What the policy keeps of the observations that followed, before any reset, where an episode was cut short, and
    everywhere with the last step; elsewhere anything."""


class Evaluated(NamedTuple):
    """A whole rollout under the parameters that collected it. Shapes: (n_steps, num_envs, ·)."""

    features: PyTorchObs
    """What the update sees of the observations."""
    trajectories: tuple[Tensor, ...]
    """Potentials after each step, of each field."""
    values: Tensor
    log_probs: Tensor


class SequenceBuffer(RolloutBuffer):
    """A rollout of `buffer_size` steps of every environment.

    Args:
        buffer_size: Steps of every environment.
        observation_space: Of a single environment.
        action_space: Of a single environment.
        arguments: Further ones of SB3's `RolloutBuffer`.
        seq_len: Length of a sequence; divides `buffer_size`.
        options: Of SB3's `RolloutBuffer`.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: Any,
        action_space: Any,
        *arguments: Any,
        seq_len: int = 1,
        **options: Any,
    ) -> None:
        self.seq_len = seq_len
        self.trajectories: Callable[[Sequences], tuple[Tensor, ...]] | None = None
        """Potentials after every step under the present parameters, to refresh the stored ones with each epoch."""
        self.standardize: Callable[[Tensor], Tensor] | None = None
        self.storage: dict[str, Any] = {}
        """Preallocated, reused between rollouts: under each name all steps."""
        self.steps: dict[str, Any] = {}
        """The same, each as a tuple of its steps."""
        # What is stored is the policy's to say; SB3 has no buffer for some spaces.
        super().__init__(buffer_size, spaces.Discrete(1), spaces.Discrete(1), *arguments, **options)
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self) -> None:
        """Forget the rollout."""
        self.pos, self.full = 0, False
        self.stored: dict[str, Any] = {}
        self.pending: dict[str, Any] = {}
        self.rows = torch.zeros(self.n_envs, dtype=torch.long)

    def begin(self, features: PyTorchObs, episode_starts: Tensor, seen: Tensor | None = None, *, wait: bool) -> None:
        """Copy what the policy keeps of a step's observations, before the environments may overwrite them.

        `seen` is the features (num_envs, ·) as the policy sees them, if that cannot be computed later. `wait` leaves it
        to `add` to write everything, which then says where.
        """
        given = {"features": features, "episode_starts": episode_starts} | ({} if seen is None else {"seen": seen})
        if wait:
            self.pending = {name: each(Tensor.clone, value) for name, value in given.items()}
        else:
            self._write(given)

    def add(self, outcome: Outcome, real: Tensor | None = None) -> None:  # type: ignore[override]
        """Store what followed, which ends the step, where it was a step of the task rather than only a reset.

        The buffer is full when every environment has its steps; what others do meanwhile is left out, too.
        """
        given = {name: value for name, value in outcome._asdict().items() if value is not None}
        if real is None:
            self._write(given)
            self.pos += 1
        else:
            given |= self.pending
            self._allocate(given)
            written = real.cpu() & (self.rows < self.buffer_size)
            envs = written.nonzero().squeeze(-1)
            where = self.rows[envs], envs
            for name, value in given.items():
                each(lambda v, storage: storage.__setitem__(where, v[envs]), value, self.storage[name])
            self.rows += written
            self.pos = int(self.rows.min())
        self.full = self.pos == self.buffer_size
        if self.full:
            self.stored = dict(self.storage)

    def so_far(self, name: str) -> Any:
        """What `begin` has written of an unfinished rollout, the step included that has not ended."""
        return each(lambda steps: steps[: self.pos + 1], self.storage[name])

    def _write(self, given: dict[str, Any]) -> None:
        """Copy values of this step."""
        self._allocate(given)
        for name, value in given.items():
            each(lambda v, steps: steps[self.pos].copy_(v), value, self.steps[name])

    def _allocate(self, given: dict[str, Any]) -> None:
        """Storage for what is stored for the first time."""
        for name in given.keys() - self.storage.keys():
            self.storage[name] = each(lambda v: v.new_empty((self.buffer_size, *v.shape)), given[name])
            self.steps[name] = each(Tensor.unbind, self.storage[name])

    @torch.no_grad()
    def finish(self, before: Tensor, evaluated: Evaluated, values_of: Callable[[PyTorchObs, Tensor], Tensor]) -> None:
        """Compute advantages and value targets, and lay the rollout out as sequences.

        Args:
            before: Memory before the first step. Shape: (num_envs, memory_size).
            evaluated: What the policy makes of the rollout; its features take the place of those that were stored.
            values_of: Values of observations, as they were stored, with the memory before them.
        Raises: ValueError if an observation that ended an episode cannot be used.
        """
        s = self.stored
        next_values = torch.cat((evaluated.values[1:], evaluated.values[-1:]))
        cut = s["truncated"] & ~s["terminated"]
        cut[-1] = True
        where = cut.nonzero(as_tuple=True)
        final = each(lambda o: o[where], s["final"])
        check_numbers("last observation", final, rows=where)
        next_values[where] = values_of(final, memory_after(evaluated.trajectories, where))
        s |= evaluated._asdict() | {"before": before, "next_values": next_values}
        signals = {name: s[name] for name in ("rewards", "values", "next_values", "terminated", "truncated")}
        s["advantages"] = gae(**signals, gamma=self.gamma, gae_lambda=self.gae_lambda)
        s["targets"] = s["advantages"] + s["values"]
        # A copy by whole sequences is the fastest, and the fields take it as it lies; what the loss is to have flat and
        # time-major lies so already.
        self.sequences = {name: each(self._cut, s[name]) for name in ("features", "episode_starts")}
        self.sequences["potentials"] = self._memories(evaluated.trajectories)
        self.flat = {name: self._flat(s[name]) for name in FLAT}

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """Minibatches of `batch_size` steps (by default all) in whole sequences, each once, in random order."""
        q = self.sequences
        potentials = q["potentials"] if self.trajectories is None else self._refreshed()
        n = len(potentials)
        per_batch = n if batch_size is None else batch_size // self.seq_len
        for chosen in torch.randperm(n, device=potentials.device).split(per_batch):
            features = each(partial(pick, chosen=chosen), q["features"])
            observations = Sequences(features, potentials[chosen], pick(q["episode_starts"], chosen))
            batch = {name: self.flat[name].index_select(1, chosen).flatten(0, 1) for name in FLAT}
            if self.standardize:
                batch["advantages"] = self.standardize(batch["advantages"])
            yield RolloutBufferSamples(observations, *batch.values())  # type: ignore[arg-type]

    @contextmanager
    def standardising(self, model: Any) -> Iterator[None]:
        """Standardise advantages here in place of the model's `train`: over all ranks, and not what says nothing."""
        wanted, least = model.normalize_advantage, LEAST if model.normalize_rewards and model.ent_coef > 0 else 0.0
        self.standardize = partial(model.ranks.standardised, least=least) if wanted else None
        model.normalize_advantage = False
        try:
            yield
        finally:
            model.normalize_advantage, self.standardize = wanted, None

    @property
    def values(self) -> np.ndarray:  # type: ignore[override]
        """Values, for SB3's logging. Shape: (buffer_size, num_envs)."""
        return self.stored["values"].cpu().numpy()

    @property
    def returns(self) -> np.ndarray:  # type: ignore[override]
        """Value targets, for SB3's logging. Shape: (buffer_size, num_envs)."""
        return self.stored["targets"].cpu().numpy()

    @torch.no_grad()
    def _refreshed(self) -> Tensor:
        """Memory before each sequence under the present parameters, from the rollout's first on."""
        assert self.trajectories is not None
        s = self.stored
        return self._memories(self.trajectories(Sequences(s["features"], s["before"], s["episode_starts"])))

    def _memories(self, trajectories: tuple[Tensor, ...]) -> Tensor:
        """Memory before each sequence, from the trajectories of a rollout. Shape: (sequences, memory_size)."""
        ends = slice(self.seq_len - 1, -1, self.seq_len)  # of all sequences but the last
        memories = torch.cat((self.stored["before"][None], memory_after(trajectories, ends)))
        return memories.transpose(0, 1).flatten(0, 1)

    def _cut(self, rollout: Tensor) -> Tensor:
        """Each sequence in one piece. Shapes: (n_steps, num_envs, ·) -> (num_envs * n_steps / seq_len, seq_len, ·)."""
        return rollout.transpose(0, 1).contiguous().view(-1, self.seq_len, *rollout.shape[2:])

    def _flat(self, rollout: Tensor) -> Tensor:
        """Sequences in the same order, time-major. Shapes: (n_steps, num_envs, ·) -> (seq_len, sequences, ·)."""
        return rollout.unflatten(0, (-1, self.seq_len)).movedim(0, 2).flatten(1, 2)


def shape_of(obs: PyTorchObs) -> torch.Size:
    """Shape of observations; of Dict observations the first entry's."""
    return next(iter(obs.values())).shape if isinstance(obs, dict) else obs.shape


def as_stored(actions: Tensor) -> Tensor:
    """Actions as a buffer has them. Shape: (num_envs, ·), float."""
    return actions.reshape(len(actions), -1).float()


def pick(rows: Tensor, chosen: Tensor) -> Tensor:
    """Some sequences, time first. Shape: (sequences, time, ·) -> (time, chosen, ·)."""
    return rows.index_select(0, chosen).transpose(0, 1)


def memory_after(trajectories: tuple[Tensor, ...], steps: Any) -> Tensor:
    """Memory (..., memory_size) after some steps, an index of the trajectories (n_steps, num_envs, ·) of each field."""
    return torch.cat([trajectory[steps] for trajectory in trajectories], dim=-1)


def where_rows(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Rows of `yes` where the mask (num_envs,) is true, else of `no`. Shapes: (num_envs, ·)."""
    return torch.where(mask.reshape(-1, *(1,) * (no.dim() - 1)), yes, no)


def some(features: Any, entries: Tensor | None) -> Tensor:
    """The features (..., n) at some entries; None for all."""
    return features if entries is None else features.index_select(-1, entries)
