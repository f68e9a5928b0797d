"""Whole episodes on Gymnasium environments: of one policy, or of a population on the same fresh episodes."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from nf_policies.fields.dynamics import Trace, take
from nf_policies.policies.kinds import finite_problem
from nf_policies.policies.numbers import ACTION_PROBLEM, problem_of, usable
from nf_policies.policies.policy import Policy
from nf_policies.policies.spaces import ObservationEncoder


class Episode(NamedTuple):
    """An episode to be played."""

    seed: int
    candidate: int = 0


class Step(NamedTuple):
    """What happened in one step of n environments, for a recording; arrays are overwritten by the next step."""

    episodes: np.ndarray
    """Index of each environment's episode, -1 where it is idle. Shape: (n,)."""
    episode_starts: np.ndarray
    obs: np.ndarray
    """As the task shows them; of Dict and Tuple spaces all features (n, total)."""
    actions: np.ndarray
    trace: Trace
    rewards: np.ndarray


class FeatureSums(NamedTuple):
    """Sums over the features of each episode, or of each candidate: their order is that of the rows."""

    centre: np.ndarray
    """What is taken off before. Shape: (features,)."""
    counts: np.ndarray
    """Steps. Shape: (rows,)."""
    totals: np.ndarray
    squares: np.ndarray
    """Of the features and of their squares. Shapes: (rows, features)."""

    @staticmethod
    def of_nothing(centre: np.ndarray, rows: int) -> "FeatureSums":
        """The sums before anything is seen."""
        return FeatureSums(centre, np.zeros(rows), *(np.zeros((rows, len(centre))) for _ in range(2)))

    def add(self, features: np.ndarray, where: np.ndarray) -> None:
        """Add a step's features (rows, features), where there is one."""
        seen = features - self.centre
        seen[~where] = 0.0
        self.counts[where] += 1
        self.totals[:] += seen
        self.squares[:] += np.square(seen, out=seen)

    def hand_over(self, rows: np.ndarray, to: "FeatureSums", there: np.ndarray) -> None:
        """Put rows in other places of other sums, and begin them anew."""
        for mine, theirs in zip(self[1:], to[1:], strict=True):
            theirs[there], mine[rows] = mine[rows], 0.0

    def moments(self) -> tuple[float, Tensor, Tensor]:
        """Count, mean and variance of all, for `Normalizer.update`."""
        count = float(self.counts.sum())
        mean, square = (rows.sum(0) / max(count, 1) for rows in (self.totals, self.squares))
        var = np.maximum(square - mean**2, 0)
        return count, torch.as_tensor(self.centre + mean), torch.as_tensor(var)


@dataclass(frozen=True)
class Played:
    """Whole episodes, in the order in which they were asked for."""

    returns: np.ndarray
    """Sum of rewards; NaN where an observation, reward or action could not be used. Shape: (episodes,)."""
    lengths: np.ndarray
    """Number of steps. Shape: (episodes,)."""
    sums: FeatureSums
    problem: str | None
    """What could not be used in the first such episode, as a sentence."""
    stretches: np.ndarray | None = None
    """The best stretch of each episode, where one was asked for: see `play`. Shape: (episodes,)."""

    @property
    def moments(self) -> tuple[float, Tensor, Tensor]:
        """Count, mean and variance of the features that could be used, for `Normalizer.update`."""
        return self.sums.moments()


@torch.no_grad()
def play(
    envs: VectorEnv,
    policy: Policy,
    episodes: Sequence[Episode],
    parameters: Tensor | None = None,
    watch: Callable[[Step], None] | None = None,
    limit: int = 0,
    stretch: int = 0,
) -> Played:
    """Play episodes with a policy, or with a population of its parameter vectors.

    Args:
        envs: Environments with autoreset disabled, from `make_envs`; each is reset with an episode's seed.
        policy: Normaliser, field and head; not changed.
        episodes: Seeds, and which row of `parameters` plays.
        parameters: Parameter vectors. Shape: (pop_size, n_parameters); by default the policy's own.
        watch: Called after every step of the environments.
        limit: If not 0, steps after which an episode is cut, before the task's own limit.
        stretch: If not 0, how good an episode was at its best is told, too: the highest that an exponential average of
            its rewards had with a time constant of so many steps, from so many steps on, or at an end before them. The
            average begins at 0.
    Raises: ValueError if the environments reset themselves or have other spaces than the policy.
    """
    if envs.metadata.get("autoreset_mode") != AutoresetMode.DISABLED:
        raise ValueError("play needs environments with autoreset disabled: make them with make_envs.")
    policy.check_task(envs.single_observation_space, envs.single_action_space)
    n = envs.num_envs
    coefficients = population = policy.coefficients(parameters)
    like = policy.normalizer.mean
    potentials = policy.field.start(n).to(like)

    returns, lengths = np.zeros(len(episodes)), np.zeros(len(episodes), dtype=np.int64)
    stretches = np.full(len(episodes), -np.inf)
    average = np.zeros(n)
    current, waiting = np.full(n, -1), 0
    centre = policy.normalizer.mean.cpu().double().numpy()
    # Summed up by episode, so that the sums do not depend on who plays beside whom.
    sums, running = (FeatureSums.of_nothing(centre, rows) for rows in (len(episodes), n))
    problems: dict[int, str] = {}
    obs: Any = None
    over = np.ones(n, dtype=bool)  # no episode is running: the environment must not be stepped
    pausing = getattr(envs, "pausing", False)

    while True:
        # Idle environments take the next episodes.
        starts = np.zeros(n, dtype=bool)
        free = np.flatnonzero(current < 0)[: len(episodes) - waiting]
        current[free] = np.arange(waiting, waiting + len(free))
        waiting += len(free)
        starts[free] = True
        alive = current >= 0
        if not alive.any():
            break
        to_reset = starts if pausing and obs is not None else starts | over
        if to_reset.any():
            seeds: Any = [episodes[e].seed if start else None for e, start in zip(current, starts, strict=True)]
            obs, _ = envs.reset(seed=seeds, options={"reset_mask": to_reset})
        if len(free) and len(population.initial_potentials) > 1:
            rows = torch.as_tensor([episodes[max(e, 0)].candidate for e in current])
            coefficients = take(population, rows.to(like.device))

        features = policy.encode(obs).astype(np.float64)
        broken = alive & ~usable(features).all(-1)
        if broken.any():
            for i in np.flatnonzero(broken):
                problems[int(current[i])] = str(finite_problem(features[i : i + 1], policy.visible))
            features[broken] = 0
        running.add(features, alive & ~broken)

        inputs = torch.as_tensor(features).to(like)
        outcome, trace = policy.step(inputs, potentials, torch.as_tensor(starts).to(like.device), coefficients)
        potentials = trace.potentials
        if outcome.is_floating_point() and not outcome.isfinite().all():
            lost = ~outcome.isfinite().reshape(n, -1).all(-1)
            outcome[lost] = policy.head(like.new_zeros(policy.head.output_size))  # any that a task can take
            unfit = alive & lost.cpu().numpy()
            problems = dict.fromkeys(current[unfit].tolist(), ACTION_PROBLEM) | problems
            broken |= unfit
        actions = outcome.cpu().numpy().astype(policy.action_space.dtype)
        before = shown(policy.encode, obs) if watch else obs
        obs, rewards, terminated, truncated, _ = envs.step(actions)
        if watch:
            neurons = trace.potentials[:, : potentials.shape[1] - policy.field.kept]
            watch(Step(current.copy(), starts, before, actions, trace._replace(potentials=neurons), rewards))

        here, lost = current[alive], alive & ~usable(rewards)
        if lost.any():
            told = [problem_of("A reward", float(reward)) for reward in rewards[lost]]
            problems = dict(zip(current[lost].tolist(), told, strict=True)) | problems
            broken |= lost
        returns[here] += np.where(lost, 0.0, rewards)[alive]
        lengths[here] += 1
        returns[current[broken]] = np.nan
        over = terminated | truncated
        cut = alive & (lengths[current] >= (limit or np.inf))
        if stretch:
            average = np.where(starts, 0.0, average)
            average += (np.where(lost, 0.0, rewards) - average) / stretch
            told = alive & (over | (lengths[current] >= stretch))
            stretches[current[told]] = np.maximum(stretches[current[told]], average[told])
        ended = np.flatnonzero(alive & (over | broken | cut))
        running.hand_over(ended, sums, current[ended])
        current[ended] = -1

    problem = problems[min(problems)] if problems else None
    return Played(returns, lengths, sums, problem, np.where(np.isnan(returns), np.nan, stretches) if stretch else None)


def shown(encode: ObservationEncoder, obs: Any) -> np.ndarray:
    """A copy of observations for a recording: as they are, or the features of Dict and Tuple observations."""
    return encode.whole(obs) if isinstance(obs, dict | tuple) else np.array(obs)


GENERATION, DUEL, TARGET, EVALUATION, CONFIRMATION, FINAL, TRAINING, CHOICE = range(8)
"""What episodes are played for; each purpose has seeds of its own."""


class Evaluator(Protocol):
    """Plays the same episodes with every candidate: an `Engine`, or `evaluate` with its environments."""

    def __call__(
        self, policy: Policy, population: np.ndarray | None, seeds: Sequence[int], *, limit: int = 0, stretch: int = 0
    ) -> tuple[np.ndarray, Played]:
        """Returns (pop_size, episodes), and what was played. `limit` and `stretch` are as for `play`."""


def first_seed(seed: int, purpose: int, *more: int) -> int:
    """The first of a row of seeds for one purpose of a run: below 2**31, and far from the rows of other purposes.

    `more` distinguishes rows of one purpose, such as an iteration.
    """
    return int(np.random.SeedSequence(seed, spawn_key=(purpose, *more)).generate_state(1)[0]) >> 1


def evaluate(
    envs: VectorEnv,
    policy: Policy,
    population: np.ndarray | None,
    seeds: Sequence[int],
    *,
    limit: int = 0,
    stretch: int = 0,
    watch: Callable[[Step], None] | None = None,
) -> tuple[np.ndarray, Played]:
    """Play the same episodes with every candidate.

    Args:
        envs: From `make_envs`.
        policy: Whose field has the parameters; its normaliser is used as it is.
        population: Parameter vectors (pop_size, n_parameters); None for the policy's own, a population of one.
        seeds: One per episode.
        limit: As for `play`.
        stretch: As for `play`.
        watch: As for `play`.
    Returns: Returns (pop_size, episodes), NaN where an episode met something that is not finite, and what was played.
    """
    parameters = None if population is None else torch.as_tensor(population).to(policy.normalizer.mean)
    pop_size = 1 if parameters is None else len(parameters)
    episodes = [Episode(seed, candidate) for candidate in range(pop_size) for seed in seeds]
    played = play(envs, policy, episodes, parameters, watch, limit, stretch)
    return played.returns.reshape(pop_size, len(seeds)), played


def evaluator_of(envs: VectorEnv | Evaluator) -> Evaluator:
    """`evaluate` in environments from `make_envs`; an `Engine`, or whatever is called as one, as it is."""
    return functools.partial(evaluate, envs) if isinstance(envs, VectorEnv) else envs
