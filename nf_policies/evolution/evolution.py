"""Evolution: CMA-ES on the parameters of a policy, one generation at a time."""

import copy
import functools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from nf_policies.evolution.objective import Incumbent, Worth, duel, mean
from nf_policies.evolution.strategy import Restarts, Strategy
from nf_policies.fields import ParameterVector
from nf_policies.fields.field import Field
from nf_policies.policies import Policy
from nf_policies.rollouts.play import DUEL, GENERATION, TARGET, Evaluator, episode_seeds, evaluate

DUEL_EPISODES = 20
TARGET_EPISODES = 100


@dataclass(frozen=True)
class Generation:
    """What a generation brought. Returns are means over its episodes."""

    generation: int
    evaluations: int
    env_steps: int
    seconds: float
    steps_per_second: float
    sigma: float
    pop_size: int
    not_finite: int
    return_best: float
    return_median: float
    return_of_mean: float
    """Of the mean of the search distribution, the candidate that CMA-ES itself would name."""
    return_incumbent: float
    """Of the best policy so far, over all fresh episodes that it has played."""

    def row(self) -> dict[str, float]:
        """The figures by name, for a table or a log."""
        return asdict(self)


@torch.no_grad()
def quiet(field: Field) -> Field:
    """Take the weights of a field's inputs, outputs and resting levels to 0, and return it.

    A good place for CMA-ES to start: the field sees nothing and does nothing, and no weight has the wrong sign. Neurons
    that excite themselves (`self_centric_init`) are at the edge of remembering.
    """
    for name in ("input_embedding.weight", "output_embedding.weight", "resting_level"):
        field.get_parameter(name).zero_()
    return field


def noise_dominates(returns: np.ndarray) -> bool:
    """Whether half of the episodes tell next to nothing of how candidates rank in the other half.

    Args:
        returns: Shape: (pop_size, episodes), at least 4 episodes for a statement.
    Returns: Whether the rank correlation of the candidates' means between halves is below 0.2; never where all are
        equal.
    """
    returns = returns[np.isfinite(returns).all(axis=1)]
    if len(returns) < 4 or returns.shape[1] < 4 or np.ptp(returns.mean(axis=1)) == 0:
        return False
    halves = np.stack((returns[:, ::2].mean(axis=1), returns[:, 1::2].mean(axis=1)))
    if (np.ptp(halves, axis=1) == 0).any():
        return True
    ranks = halves.argsort(axis=1).argsort(axis=1)
    correlation: Any = np.corrcoef(ranks)
    return bool(correlation[0, 1] < 0.2)


def scale_factors(scales: Mapping[str, float], names: Sequence[str]) -> list[float]:
    """A factor for each parameter: the product of those whose key its name begins with."""
    return [math.prod(f for start, f in scales.items() if name.startswith(start)) for name in names]


class Evolution:
    """Evolve a policy's parameters on a task.

        evolution = Evolution(policy, make_envs("CartPole-v1", 64), seed=0)  # or Engine(...) in place of the lanes
        for _ in range(30):
            print(evolution.step())
        evolution.incumbent.policy.save("cartpole.safetensors")

    Every candidate of a generation plays the same episodes, and the next generation fresh ones. The mean of the search
    distribution plays along; where it may be better than the incumbent, both meet on further fresh episodes.

    Args:
        policy: What evolves: its field's parameters are the start, its normaliser follows what is seen.
        envs: From `make_envs`; or an `Engine` on a batched task, or whatever is called as one.
        seed: Of everything random.
        episodes: Per candidate and generation.
        sigma: First standard deviation, in units of each parameter's scale.
        pop_size: Candidates per generation; by default 4 + 3 log(n_parameters).
        restarts: See `Strategy`.
        sigma_min: Lower bound of the standard deviation.
        restart_after: See `Strategy`.
        worth: What a candidate's returns over its episodes are worth, from `robust`.
        normalise: Whether the policy's normaliser follows what is seen.
        episodes_max: Episodes grow up to this number while noise dominates (see `noise_dominates`).
        scales: Factors of the natural scales of the parameters whose names begin so.
    """

    def __init__(
        self,
        policy: Policy,
        envs: VectorEnv | Evaluator,
        *,
        seed: int = 0,
        episodes: int = 8,
        sigma: float = 1.0,
        pop_size: int | None = None,
        restarts: Restarts = "none",
        sigma_min: float = 0.0,
        restart_after: int | None = None,
        worth: Worth = mean,
        normalise: bool = True,
        episodes_max: int | None = None,
        scales: Mapping[str, float] | None = None,
    ) -> None:
        if episodes < 1:
            raise ValueError(f"Each candidate must play at least one episode, not {episodes}.")
        if seed < 0:
            raise ValueError(f"The seed must be 0 or greater, not {seed}.")
        self.policy, self.seed, self.episodes = policy, seed, episodes
        self.evaluate: Evaluator = functools.partial(evaluate, envs) if isinstance(envs, VectorEnv) else envs
        self.worth, self.normalise, self.episodes_max = worth, normalise, episodes_max or episodes
        self.vector = ParameterVector.of(policy.field)
        self.strategy = Strategy(
            self.vector.start.double().cpu().numpy(),
            self.vector.scale.double().cpu().numpy() * scale_factors(scales or {}, self.vector.names),
            sigma=sigma,
            pop_size=pop_size,
            seed=seed,
            restarts=restarts,
            sigma_min=sigma_min,
            restart_after=restart_after,
        )
        self.incumbent: Incumbent | None = None
        self.env_steps = 0
        self.history: list[np.ndarray] = []
        """What the strategy was told, generation by generation: with the seed, its whole state."""
        self.problem: str | None = None
        """The first thing that was not finite, as a sentence."""

    @property
    def generation(self) -> int:
        """Generations so far."""
        return self.strategy.generation

    def mean_policy(self) -> Policy:
        """A copy of the policy with the parameters of the search distribution's mean."""
        policy = copy.deepcopy(self.policy)
        self.vector.load(policy.field, torch.as_tensor(self.strategy.mean))
        return policy

    def best_policy(self) -> Policy:
        """The incumbent's policy; the mean's where no candidate has been finite yet."""
        return self.incumbent.policy if self.incumbent else self.mean_policy()

    def step(self) -> Generation:
        """Play and learn from one generation."""
        began, steps_before = time.perf_counter(), self.env_steps
        population = self.strategy.ask()
        everyone = np.vstack((population, self.strategy.mean))
        seeds = episode_seeds(self.seed, self.generation, GENERATION, self.episodes)
        returns, played = self.evaluate(self.policy, everyone, seeds)
        self.env_steps += int(played.lengths.sum())
        self.problem = self.problem or played.problem
        worths = self.worth(returns)
        told, of_mean = worths[:-1], float(worths[-1])

        if np.isfinite(of_mean) and (self.incumbent is None or of_mean > self.incumbent.worst_score):
            fresh = episode_seeds(self.seed, self.generation, DUEL, DUEL_EPISODES)
            self.incumbent = duel(self.incumbent, self.mean_policy(), fresh, self._play)

        self.strategy.tell(told)
        self.history.append(told)
        if self.normalise:
            self.policy.normalizer.update(*played.moments)
        if self.episodes < self.episodes_max and noise_dominates(returns[:-1]):
            self.episodes = min(2 * self.episodes, self.episodes_max)

        seconds = time.perf_counter() - began
        finite = told[np.isfinite(told)]
        return Generation(
            generation=self.generation,
            evaluations=self.strategy.evaluations,
            env_steps=self.env_steps,
            seconds=seconds,
            steps_per_second=(self.env_steps - steps_before) / seconds,
            sigma=self.strategy.sigma,
            pop_size=len(told),
            not_finite=self.strategy.not_finite,
            return_best=float(finite.max()) if len(finite) else float("nan"),
            return_median=float(np.median(finite)) if len(finite) else float("nan"),
            return_of_mean=of_mean,
            return_incumbent=self.incumbent.score if self.incumbent else float("nan"),
        )

    def reached(self, target: float) -> bool:
        """Whether the incumbent's mean return over a hundred fresh episodes is at least `target`.

        They are played only where its score so far gives hope.
        """
        if self.incumbent is None or self.incumbent.score < target:
            return False
        returns = self._play(self.incumbent.policy, episode_seeds(self.seed, self.generation, TARGET, TARGET_EPISODES))
        self.incumbent = self.incumbent.with_returns(returns)
        return bool(returns.mean() >= target)

    def _play(self, policy: Policy, seeds: Sequence[int]) -> np.ndarray:
        returns, played = self.evaluate(policy, None, seeds)
        self.env_steps += int(played.lengths.sum())
        return returns[0]
