"""Evolution: CMA-ES on the parameters of a policy, one generation at a time."""

import copy
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from nf_policies.evolution.evaluate import DUEL, GENERATION, TARGET, episode_seeds, evaluate
from nf_policies.evolution.incumbent import Incumbent, duel
from nf_policies.evolution.strategy import Restarts, Strategy
from nf_policies.fields import ParameterVector
from nf_policies.fields.field import Field
from nf_policies.policies import Policy

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
    for parameter in (field.input_embedding.weight, field.output_embedding.weight, field.resting_level):
        parameter.zero_()
    return field


class Evolution:
    """Evolve a policy's parameters on a task.

        evolution = Evolution(policy, make_lanes("CartPole-v1", 64), seed=0)
        for _ in range(30):
            print(evolution.step())
        evolution.incumbent.policy.save("cartpole.safetensors")

    Every candidate of a generation plays the same episodes, and the next generation fresh ones. The mean of the search
    distribution plays along; where it looks better than the incumbent, both meet on further fresh episodes.

    Args:
        policy: What evolves: its field's parameters are the start, its normaliser follows what is seen.
        envs: From `make_lanes`.
        seed: Of everything random.
        episodes: Per candidate and generation.
        sigma: First standard deviation, in units of each parameter's scale.
        pop_size: Candidates per generation; by default 4 + 3 log(n_parameters).
        restarts: See `Strategy`.
    """

    def __init__(
        self,
        policy: Policy,
        envs: VectorEnv,
        *,
        seed: int = 0,
        episodes: int = 8,
        sigma: float = 1.0,
        pop_size: int | None = None,
        restarts: Restarts = "none",
    ) -> None:
        if episodes < 1:
            raise ValueError(f"Each candidate must play at least one episode, not {episodes}.")
        if seed < 0:
            raise ValueError(f"The seed must be 0 or greater, not {seed}.")
        self.policy, self.envs, self.seed, self.episodes = policy, envs, seed, episodes
        self.vector = ParameterVector.of(policy.field)
        self.strategy = Strategy(
            self.vector.start.double().cpu().numpy(),
            self.vector.scale.double().cpu().numpy(),
            sigma=sigma,
            pop_size=pop_size,
            seed=seed,
            restarts=restarts,
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
        returns, played = evaluate(self.envs, self.policy, everyone, seeds)
        self.env_steps += int(played.lengths.sum())
        self.problem = self.problem or played.problem
        mean_returns = returns.mean(1)
        told, of_mean = mean_returns[:-1], float(mean_returns[-1])

        if np.isfinite(of_mean) and (self.incumbent is None or of_mean > self.incumbent.score):
            fresh = episode_seeds(self.seed, self.generation, DUEL, DUEL_EPISODES)
            self.incumbent = duel(self.incumbent, self.mean_policy(), fresh, self._play)

        self.strategy.tell(told)
        self.history.append(told)
        self.policy.normalizer.update(*played.moments)

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
        returns, played = evaluate(self.envs, policy, None, seeds)
        self.env_steps += int(played.lengths.sum())
        return returns[0]
