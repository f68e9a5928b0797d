"""The rollout engine: a population's episodes on a batched task, thousands of steps at a time on one device.

It gives what `evaluate` gives on Gymnasium's environments one by one. Policy and task run as one function of tensors
(`fused`), eagerly or compiled; one look per call tells whether any lane is alive, and finished lanes are left out.
"""

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from nf_policies.kernels.compiling import compiled, steps_per_call, where_possible
from nf_policies.policies import Policy
from nf_policies.rollouts.forms import form_of
from nf_policies.rollouts.fused import ALIVE, HEAD, LENGTH, RETURN, Fused, Lanes, World, normalisation, picked
from nf_policies.rollouts.play import Played

How = Literal["eager", "compiled"]

STEPS_PER_CALL = 10
BYTES_MAX = 2**30
"""Lanes are played in pieces of about this size in memory."""
COMPACT_FROM = 1024
"""Lanes from which it pays to leave out those that are finished, once they are half of all."""
COMPILE_SECONDS = 30.0
"""What compiling costs on two cores, generously."""
EAGER_SECONDS_PER_CALL, EAGER_SECONDS_PER_STEP = 1.5e-4, 3e-8
"""What a step of all lanes, and of each lane, costs without compiling: for a small field and a small task."""


class Raw(NamedTuple):
    """What lanes brought, on the device; each (lanes,), or (features, lanes)."""

    returns: Tensor
    lengths: Tensor
    sums: Tensor
    squares: Tensor


def how_to_run(env_steps: int, lanes: int) -> How:
    """Whether compiling pays for the work ahead: a plain estimate, so that a resumed run decides the same.

    Args:
        env_steps: Budget, in steps of all environments.
        lanes: Population times episodes.
    """
    seconds = env_steps / max(lanes, 1) * EAGER_SECONDS_PER_CALL + env_steps * EAGER_SECONDS_PER_STEP
    return "compiled" if seconds > 1.5 * COMPILE_SECONDS else "eager"


class Engine:
    """Play a population on a batched task; `engine(policy, population, seeds)` is as `evaluate`.

        envs = gym.make_vec("nf/CartPole-v1", num_envs=1, vectorization_mode="vector_entry_point")
        returns, played = Engine(envs)(policy, population, seeds)

    Args:
        envs: A vector environment with a functional core: `func_env`, `params`, `uniforms` and `lane_keys`. Its
            number of environments does not matter.
        how: "eager", or "compiled", which takes long at first and is faster then.
        dtype: Of the physics, the field and the returns.
        moments: Whether to tell the moments of what is seen, for the normaliser.
        steps_per_call: Steps between two looks at which lanes are alive; by default 10, or, compiled, as many
            as their operations allow.
        bytes_max: Memory beyond which lanes are played in pieces; results do not change.
    Raises: ValueError if the environments have no functional core or no time limit.
    """

    def __init__(
        self,
        envs: VectorEnv,
        *,
        how: How = "eager",
        dtype: torch.dtype = torch.float32,
        moments: bool = True,
        steps_per_call: int | None = None,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        if not all(hasattr(envs, name) for name in ("func_env", "params", "uniforms", "lane_keys", "device")):
            raise ValueError(f"{envs} has no functional core on tensors: play it with evaluate, on make_envs.")
        limit = getattr(envs, "max_episode_steps", None)
        if limit is None:
            raise ValueError("The task has no time limit, so an episode may never end: give max_episode_steps.")
        self.envs, self.how, self.dtype, self.moments, self.bytes_max = envs, how, dtype, moments, bytes_max
        self.limit = int(limit)
        self.device: torch.device = envs.device  # type: ignore[attr-defined]
        self.steps_per_call = steps_per_call
        self._fused: dict[Any, Fused] = {}
        self._advances: dict[Fused, tuple[int, Callable[..., Lanes]]] = {}

    def __call__(
        self, policy: Policy, population: np.ndarray | None, seeds: Sequence[int]
    ) -> tuple[np.ndarray, Played]:
        """Play the same episodes with every candidate.

        Args:
            policy: Normaliser, field and head; not changed.
            population: Parameter vectors (pop_size, n_parameters); None for the policy's own, a population of one.
            seeds: One per episode.
        Returns: Returns (pop_size, episodes), NaN where an episode met something that is not finite, and what was
            played.
        Raises: ValueError if the policy's spaces are not the task's.
        """
        spaces = self.envs.single_observation_space, self.envs.single_action_space
        if (policy.observation_space, policy.action_space) != spaces:
            raise ValueError(
                f"The policy sees {policy.observation_space} and acts in {policy.action_space}; the task shows "
                f"{spaces[0]} and takes {spaces[1]}."
            )
        own = policy.field.resting_level
        if own.dtype != self.dtype or own.device != self.device:
            policy = moved(policy, self.device, self.dtype)
        parameters = None if population is None else torch.as_tensor(population).to(self.device, self.dtype)
        pop_size = 1 if parameters is None else len(parameters)
        keys = self.envs.lane_keys(seeds, self.device)  # type: ignore[attr-defined]
        size = self._piece(policy, len(seeds))
        with torch.no_grad():
            parts = [
                self._play(policy, None if parameters is None else parameters[i : i + size], keys)
                for i in range(0, pop_size, size)
            ]
            return self._told(policy, parts, pop_size, len(seeds))

    def _piece(self, policy: Policy, episodes: int) -> int:
        """Candidates that fit into the memory at once."""
        field = policy.field
        numbers = field.hidden_size * (field.hidden_size + field.input_size + field.output_size + 8)
        per_lane = 4 * (numbers + 4 * policy.encode.total + 256)
        return max(1, self.bytes_max // (per_lane * episodes))

    def _play(self, policy: Policy, parameters: Tensor | None, keys: Tensor) -> Raw:
        episodes = len(keys)
        fused = self._function_of(policy, episodes)
        c = policy.coefficients(parameters)
        pop_size = len(c.rate)
        coefficients = fused.form.coefficients(c, episodes)
        normal = normalisation(policy.normalizer, self.dtype) if self.moments or policy.normalizer.count > 0 else None
        lanes = fused.start(keys.repeat(pop_size), coefficients, self.dtype)
        per_call, advance = self._advance(fused, lanes, coefficients, normal)
        n_seen = len(fused.world.visible) if self.moments else 0
        final = torch.zeros(HEAD + 2 * n_seen, pop_size * episodes, dtype=self.dtype, device=self.device)
        where: Tensor | None = None  # of the lanes that are left, among all

        t = 0
        while t < self.limit:
            n = min(per_call, self.limit - t)
            if n == per_call:
                lanes = advance(lanes, coefficients, normal, torch.tensor(t, device=self.device))
            else:
                lanes = fused.advance(lanes, coefficients, normal, t, n_steps=n)
            t += n
            if t >= self.limit:
                break
            alive = lanes.numbers[ALIVE] > 0
            n_alive = int(alive.sum())
            if not n_alive:
                break
            if len(alive) >= COMPACT_FROM and n_alive < len(alive) / 2:
                left = whole_groups(alive, fused.form.group)
                if len(left) < 0.75 * len(alive):
                    final[:, slice(None) if where is None else where] = lanes.numbers[: len(final)]
                    where = left if where is None else where[left]
                    coefficients = fused.form.pick(coefficients, left)
                    lanes = picked(lanes, left, fused.form.group)
        final[:, slice(None) if where is None else where] = lanes.numbers[: len(final)]
        sums = final[HEAD:]
        broken = ~torch.isfinite(sums.sum(0))
        returns = torch.where(broken, torch.nan, final[RETURN])
        sums = torch.where(broken, 0.0, sums).double().sum(1)
        lengths = final[LENGTH]
        return Raw(returns, lengths, sums[:n_seen], sums[n_seen:])

    def _function_of(self, policy: Policy, episodes: int) -> Fused:
        """The function of policy and task, kept for the next generation."""
        seen = policy.visible if policy.visible is not None else tuple(range(policy.encode.total))
        form = form_of(policy, episodes)
        key = (id(policy.field.dynamics), str(policy.field), str(policy.head), seen, form.group)
        if key not in self._fused:
            world = World(self.envs.func_env, self.envs.params, self.envs.uniforms, seen)  # type: ignore[attr-defined]
            self._fused[key] = Fused(world, form, self.moments)
        return self._fused[key]

    def _advance(self, fused: Fused, lanes: Lanes, coefficients: Any, normal: Any) -> tuple[int, Callable[..., Lanes]]:
        """How many steps one call takes, and the call; eager or compiled."""
        if fused not in self._advances:
            n_steps = self.steps_per_call or (
                steps_per_call(lambda: fused.advance(lanes, coefficients, normal, 0, n_steps=1))
                if self.how == "compiled"
                else STEPS_PER_CALL
            )
            n_steps = min(n_steps, self.limit)
            advance = functools.partial(fused.advance, n_steps=n_steps)
            self._advances[fused] = n_steps, self._compiled(advance) if self.how == "compiled" else advance
        return self._advances[fused]

    def _compiled(self, slow: Callable[..., Lanes]) -> Callable[..., Lanes]:
        def otherwise() -> None:
            self.how = "eager"

        return where_possible(compiled(slow), slow, otherwise)

    def _told(self, policy: Policy, parts: list[Raw], pop_size: int, episodes: int) -> tuple[np.ndarray, Played]:
        returns = torch.cat([part.returns for part in parts]).double().cpu().numpy()
        lengths = torch.cat([part.lengths for part in parts]).cpu().numpy().astype(np.int64)
        count = float(lengths[np.isfinite(returns)].sum()) if self.moments else 0.0
        total, square = sum(part.sums for part in parts), sum(part.squares for part in parts)
        assert isinstance(total, Tensor)
        assert isinstance(square, Tensor)
        mean = total / max(count, 1.0)
        var = (square / max(count, 1.0) - mean**2).clamp(min=0)
        wrong = not np.isfinite(returns).all()
        problem = "An observation or a reward of the task is not finite." if wrong else None
        moments = (count, mean.cpu(), var.cpu()) if count else (0.0, torch.zeros(1), torch.ones(1))
        return returns.reshape(pop_size, episodes), Played(returns, lengths, moments, problem)


def whole_groups(alive: Tensor, group: int) -> Tensor:
    """Indices of the lanes in groups with at least one that is alive."""
    if group > 1:
        alive = alive.reshape(-1, group).any(1).repeat_interleave(group)
    return alive.nonzero().squeeze(1)


def moved(policy: Policy, device: torch.device, dtype: torch.dtype) -> Policy:
    """A copy of a policy on another device or in another dtype."""
    return copy.deepcopy(policy).to(device=device, dtype=dtype)
