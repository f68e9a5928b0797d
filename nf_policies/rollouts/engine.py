"""The rollout engine: a population's episodes on a batched task, thousands of steps at a time on one device.

Policy and task run as one function of tensors (`fused`), eagerly or compiled; one look per call finds which episodes
are under way, and the others are left out.
"""

import copy
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from nf_policies.fields.dynamics import has_hooks
from nf_policies.kernels.compiling import compiled, steps_per_call, where_possible
from nf_policies.memory import out_of_memory
from nf_policies.policies.numbers import DEMAND, LARGEST, usable
from nf_policies.policies.policy import Normalizer, Policy
from nf_policies.rollouts.forms import form_of
from nf_policies.rollouts.fused import Episodes, Fused, Mode, Row, World, eager_seconds, engine_mode, normalisation
from nf_policies.rollouts.pieces import Piece, halves
from nf_policies.rollouts.play import FeatureSums, Played

STEPS_PER_CALL = 10
BYTES_MAX = 2**30
"""Episodes are played in pieces of about this size in memory."""
CENTRED = 2**16
"""Episodes whose starts say where the mean of the features is."""
COMPACT_FROM = 1024
"""Episodes from which it pays to leave out the finished ones, once they are half of all."""


class Prepared(NamedTuple):
    """Episodes at their start; `advance(episodes, coefficients, normal, t)` takes `n_steps` in each."""

    fused: Fused
    episodes: Episodes
    coefficients: Any
    normal: Any
    n_steps: int
    advance: Callable[..., Episodes]


class Asked(NamedTuple):
    """What is the same for all pieces."""

    policy: Policy
    """In the engine's dtype and on its device."""
    centre: Tensor
    """Of the features. Shape: (features,)."""
    limit: int
    stretch: int = 0
    """As for `play`."""


class Sums(NamedTuple):
    """What a piece of the episodes brought, on the device."""

    returns: Tensor
    lengths: Tensor
    stretches: Tensor
    """Of each episode. Shape: (n,)."""
    sums: Tensor
    """Steps, features and their squares, over the episodes of each candidate. Shape: (1 + 2 · features, candidates)."""


class Engine:
    """Play a population on a batched task; `engine(policy, population, seeds)` is as `evaluate`.

        envs = gym.make_vec("nf/CartPole-v1", num_envs=1, vectorization_mode="vector_entry_point")
        returns, played = Engine(envs)(policy, population, seeds)

    Args:
        envs: A vector environment with a functional core: `func_env`, `params`, `uniforms` and `lane_keys`. Its
            number of environments does not matter; its constants and time limit are those at each call.
        mode: "eager", or "compiled", which takes long at first and is faster then; "auto" becomes one of them at the
            first call: the latter if a single whole episode would take longer than the compiler.
        dtype: Of the physics, the field and the returns; by default that of the environments.
        moments: Whether to sum up the features for the normaliser.
        steps_per_call: Steps between two looks at which episodes are under way; by default 10, or, compiled, as many
            as their operations allow.
        bytes_max: Memory beyond which episodes are played in pieces, which become smaller where an allocation fails.
            Returns do not change; sums of the features may, in their last digits.
    Raises: ValueError if the environments have no functional core or no time limit.
    """

    def __init__(
        self,
        envs: VectorEnv,
        *,
        mode: Mode = "auto",
        dtype: torch.dtype | None = None,
        moments: bool = True,
        steps_per_call: int | None = None,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        if not all(hasattr(envs, name) for name in ("func_env", "params", "uniforms", "lane_keys", "device")):
            raise ValueError(f"{envs} has no functional core on tensors: play it with evaluate, on make_envs.")
        functional: Any = envs
        if not getattr(functional.func_env, "compilable", True):
            raise ValueError(f"{envs} has physics outside torch: play it with evaluate, on make_envs.")
        self.envs = functional
        self.mode, self.moments, self.bytes_max, self.steps_per_call = mode, moments, bytes_max, steps_per_call
        self.dtype: torch.dtype = functional.dtype if dtype is None else dtype
        self.device: torch.device = functional.device
        self._known: dict[Any, tuple[Fused, int, Callable[..., Episodes]]] = {}
        self._params: Any = None
        self._limit()

    def __call__(
        self, policy: Policy, population: np.ndarray | None, seeds: Sequence[int], *, limit: int = 0, stretch: int = 0
    ) -> tuple[np.ndarray, Played]:
        """Play the same episodes with every candidate.

        Arguments and returns are those of `evaluate`.

        Raises: ValueError if the policy's spaces are not the task's, or its steps are a subclass's own.
        """
        policy = self._fitted(policy)
        pop_size = 1 if population is None else len(population)
        returns, stretches, lengths = np.zeros((3, pop_size, len(seeds)))
        pieces = self._pieces(policy, pop_size, len(seeds))
        with torch.no_grad():
            centre = self._centre(policy, seeds[:CENTRED])
            asked, n_seen = Asked(policy, centre, min(self._limit(), limit or self._limit()), stretch), len(centre)
            sums = np.zeros((pop_size, 1 + 2 * n_seen))
            while pieces:
                at = pieces[0]
                some = None if population is None else population[at[0]]
                part = self._piece(asked, some, seeds[at[1]])
                if part is None:
                    pieces = [half for piece in pieces for half in halves(piece)]
                    continue
                for all_of, of_part in zip((returns, lengths, stretches), part, strict=False):
                    all_of[at] = of_part.double().cpu().numpy().reshape(all_of[at].shape)
                sums[at[0], : len(part.sums)] += part.sums.cpu().numpy().T
                del pieces[0]
        problem = None if np.isfinite(returns).all() else f"An observation or a reward is not usable: {DEMAND}."
        seen = FeatureSums(centre.double().cpu().numpy(), sums[:, 0], sums[:, 1 : 1 + n_seen], sums[:, 1 + n_seen :])
        lengths = lengths.reshape(-1).astype(np.int64)
        return returns, Played(returns.reshape(-1), lengths, seen, problem, stretches.reshape(-1) if stretch else None)

    @torch.no_grad()
    def prepare(self, policy: Policy, population: np.ndarray | None, seeds: Sequence[int]) -> Prepared:
        """All episodes at their start in one piece, for callers who advance them themselves."""
        policy = self._fitted(policy)
        return self._start(Asked(policy, self._centre(policy, seeds), self._limit()), population, seeds)

    def _limit(self) -> int:
        limit = getattr(self.envs, "max_episode_steps", None)
        if limit is None:
            raise ValueError("The task has no time limit, so an episode may never end: give max_episode_steps.")
        return int(limit)

    def _fitted(self, policy: Policy) -> Policy:
        """The policy, or a copy of it in the engine's dtype and on its device."""
        policy.check_task(self.envs.single_observation_space, self.envs.single_action_space)
        normalizer = policy.normalizer
        own = (type(policy).step, type(normalizer).forward) != (Policy.step, Normalizer.forward)
        if own or "step" in vars(policy) or has_hooks(normalizer):
            kind = type(policy).__name__
            raise ValueError(f"This {kind} has a step or a normaliser of its own: play it with evaluate on make_envs.")
        if normalizer.mean.dtype != self.dtype or normalizer.mean.device != self.device:
            policy = copy.deepcopy(policy).to(device=self.device, dtype=self.dtype)
        return policy

    def _pieces(self, policy: Policy, pop_size: int, episodes: int) -> list[Piece]:
        """Candidates and episodes, cut into what fits into the memory at once."""
        field = policy.field
        numbers = field.hidden_size * (field.hidden_size + field.input_size + field.output_size + 8)
        per_episode = self.dtype.itemsize * (numbers + 4 * policy.encode.total + 256)
        fit = max(1, self.bytes_max // per_episode)
        n, m = min(max(1, fit // episodes), pop_size), min(fit, episodes)
        starts = itertools.product(range(0, pop_size, n), range(0, episodes, m))
        return [(slice(i, min(i + n, pop_size)), slice(j, min(j + m, episodes))) for i, j in starts]

    def _piece(self, asked: Asked, some: np.ndarray | None, seeds: Sequence[int]) -> Sums | None:
        """Play a piece; None if there is too little memory for it: smaller ones are played from now on.

        Raises: MemoryError if one episode is too much.
        """
        try:
            return self._play(self._start(asked, some, seeds), 1 if some is None else len(some), asked.limit)
        except Exception as error:
            if not out_of_memory(error):
                raise
            if len(seeds) * (1 if some is None else len(some)) == 1:
                raise MemoryError("There is not enough memory to play a single episode.") from error
        self.bytes_max = max(self.bytes_max // 2, 1)
        return None

    def _centre(self, policy: Policy, seeds: Sequence[int]) -> Tensor:
        """Where moments are centred, near the mean of the features: sums of squares far from it lose their digits."""
        if policy.normalizer.count > 0 or not self.moments:
            return policy.normalizer.mean
        task, keys = self.envs.func_env, self.envs.lane_keys(seeds, self.device)
        zeros = torch.zeros_like(keys)
        rng = self.envs.uniforms(keys, zeros, zeros, task.draws.initial, self.dtype)
        features = task.features(task.initial(rng, self.envs.params), (), self.envs.params)
        means = torch.stack([features[k].expand(len(keys)).mean() for k in self._seen(policy)])
        return torch.where(usable(means), means, 0.0).to(self.dtype)

    def _seen(self, policy: Policy) -> tuple[int, ...]:
        return policy.visible if policy.visible is not None else tuple(range(policy.encode.total))

    def _start(self, asked: Asked, population: np.ndarray | None, seeds: Sequence[int]) -> Prepared:
        policy, centre, _, stretch = asked
        parameters = None if population is None else torch.as_tensor(population).to(self.device, self.dtype)
        c = policy.coefficients(parameters)
        form = form_of(policy, len(seeds))
        world = World(self.envs.func_env, self.envs.params, self.envs.uniforms, self._seen(policy))
        # Only compiled functions are kept. Their graphs hold the task's constants and all of `key` as they were.
        coefficients = form.coefficients(c, len(seeds))
        head = type(policy.head), getattr(policy.head, "squash", None)
        key = type(form), *form.key(), *head, world.visible, not stretch
        if self._params is not self.envs.params:
            self._known, self._params = {}, self.envs.params
        known = self._known.get(key)
        fused = known[0] if known else Fused(world, form, self.moments)
        keys = self.envs.lane_keys(seeds, self.device).repeat(len(c.initial_potentials))
        episodes = fused.start(keys, coefficients, self.dtype, stretch)
        wanted = self.moments or policy.normalizer.count > 0
        normal = normalisation(policy.normalizer, centre) if wanted else None
        if not known and self.mode != "eager":
            operations = fused.operations(episodes, coefficients, normal)
            if self.mode == "auto":
                self.mode = engine_mode(eager_seconds(operations, self._limit()))
        if known:
            n_steps, advance = known[1:]
        elif self.mode == "eager":
            n_steps = self.steps_per_call or STEPS_PER_CALL
            advance = functools.partial(fused.advance, n_steps=n_steps)
        else:
            n_steps = self.steps_per_call or steps_per_call(operations)
            plain = functools.partial(fused.advance, n_steps=n_steps)
            advance = where_possible(compiled(plain), plain, functools.partial(setattr, self, "mode", "eager"))
            self._known[key] = fused, n_steps, advance
        if normal is not None and self.mode == "compiled":  # for one graph before and after the first update
            normal = normal._replace(centre=normal.centre.clone())
        return Prepared(fused, episodes, coefficients, normal, n_steps, advance)

    def _play(self, prepared: Prepared, n_candidates: int, limit: int) -> Sums:
        """Play a piece of the episodes, so many candidates', to their end or to a limit."""
        fused, episodes, coefficients, normal, per_call, advance = prepared
        n_seen = len(fused.world.visible) if self.moments else 0
        n_all = episodes.numbers.shape[1]
        final = torch.zeros(Row.SUMS + 2 * n_seen, n_all, dtype=self.dtype, device=self.device)
        where: Tensor | None = None  # of the episodes that are left, among all

        t = 0
        while t < limit:
            n = min(per_call, limit - t)
            if n == per_call:
                episodes = advance(episodes, coefficients, normal, torch.tensor(t, device=self.device))
            else:
                episodes = fused.advance(episodes, coefficients, normal, t, n_steps=n)
            t += n
            if t >= limit:
                break
            alive = episodes.numbers[Row.ALIVE] > 0
            n_alive = int(alive.sum())
            if not n_alive:
                break
            if len(alive) >= COMPACT_FROM and n_alive < len(alive) / 2:
                left = fused.left(alive)
                if len(left) < 0.75 * len(alive):
                    final[:, slice(None) if where is None else where] = episodes.numbers[: len(final)]
                    where = left if where is None else where[left]
                    coefficients = fused.form.pick(coefficients, left)
                    episodes = fused.picked(episodes, left)
        final[:, slice(None) if where is None else where] = episodes.numbers[: len(final)]
        # An episode whose numbers cannot be used has no return; where these are features, it has no moments either.
        sums, lengths = final[Row.SUMS :], final[Row.LENGTH]
        seen = sums.sum(0).isfinite() & (sums[n_seen:] <= lengths * LARGEST**2).all(0)
        returns = torch.where(seen & (final[Row.RETURN].abs() <= lengths * LARGEST), final[Row.RETURN], torch.nan)
        stretches = torch.where(returns.isnan(), torch.nan, final[Row.STRETCH])
        sums = torch.where(seen, torch.cat((lengths[None] * bool(n_seen), sums)), 0.0).double()
        # Each candidate's by themselves, so that they do not depend on who plays beside whom.
        return Sums(returns, lengths, stretches, sums.reshape(len(sums), n_candidates, -1).sum(-1))
