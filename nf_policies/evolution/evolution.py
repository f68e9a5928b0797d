"""Evolution: CMA-ES on the parameters of a policy, one generation at a time."""

import copy
import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from nf_policies.evolution.objective import Incumbent, Objective, duel, mean, noise_dominates
from nf_policies.evolution.strategy import Restarts, State, Strategy
from nf_policies.fields.dynamics import under
from nf_policies.fields.parameters import ParameterVector
from nf_policies.policies.policy import Policy
from nf_policies.rollouts.play import DUEL, GENERATION, TARGET, Evaluator, Played, episode_seeds, evaluate

DUEL_EPISODES = 20
TARGET_EPISODES = 100


@dataclass(frozen=True)
class Generation(Mapping[str, float]):
    """What a generation brought, by attribute or by name. Returns are values of the objective."""

    generation: int
    evaluations: int
    """Policies played so far, each on its episodes: candidates, means, both sides of duels, and confirmations."""
    env_steps: int
    """Steps of the task so far, all that were played."""
    seconds: float
    steps_per_second: float
    sigma: float
    pop_size: int
    not_finite: int
    """Candidates so far without a finite return."""
    return_best: float
    return_median: float
    return_of_mean: float
    """Of the mean of the search distribution, the candidate that CMA-ES itself would name."""
    return_incumbent: float
    """Of the best policy so far, over all fresh episodes that it has played."""

    def __getitem__(self, name: str) -> float:
        if name not in self.__dataclass_fields__:
            raise KeyError(name)
        value: float = getattr(self, name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dataclass_fields__)

    def __len__(self) -> int:
        return len(self.__dataclass_fields__)


def scale_factors(scales: Mapping[str, float], names: Sequence[str]) -> list[float]:
    """A factor for each parameter: the product of those whose key its name begins with."""
    return [math.prod(f for start, f in scales.items() if name.startswith(start)) for name in names]


class Evolution:
    """Evolve a policy's parameters on a task. A `Learner` of nf_policies.runs.

        evolution = Evolution(policy, make_envs("CartPole-v1", 64), seed=0)  # or Engine(...) in place of make_envs
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
        objective: What is maximised of a policy's returns over its episodes, from `objective_of`.
        normalise: Whether the policy's normaliser follows what is seen.
        episodes_max: Episodes grow up to this number while noise dominates (see `noise_dominates`).
        scales: Factors of the natural scales of the parameters whose names begin so.
    """

    kind = "evolution"
    columns = tuple(Generation.__dataclass_fields__)
    tags: ClassVar[Mapping[str, str]] = {name: f"evolution/{name}" for name in columns[1:]}
    curves: ClassVar[Mapping[str, str]] = {
        "return_median": "median candidate",
        "return_of_mean": "mean of the search distribution",
        "return_incumbent": "best so far, on fresh episodes",
    }
    last_panel = "sigma"

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
        objective: Objective = mean,
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
        self.objective, self.normalise, self.episodes_max = objective, normalise, episodes_max or episodes
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
        self.evaluations = 0
        self.problem: str | None = None
        """The first thing that was not finite, as a sentence."""
        self._record: Generation | None = None

    @property
    def iteration(self) -> int:
        """Generations so far."""
        return self.strategy.generation

    def last(self) -> Policy:
        """A copy of the policy with the parameters of the search distribution's mean."""
        policy = copy.deepcopy(self.policy)
        self.vector.load(policy.field, torch.as_tensor(self.strategy.mean))
        return policy

    def best(self) -> Policy:
        """The incumbent's policy; the mean's where no candidate has been finite yet."""
        return self.incumbent.policy if self.incumbent else self.last()

    def step(self) -> Generation:
        """Play one generation and learn from it."""
        began, steps_before = time.perf_counter(), self.env_steps
        population = self.strategy.ask()
        everyone = np.vstack((population, self.strategy.mean))
        seeds = episode_seeds(self.seed, self.iteration, GENERATION, self.episodes)
        returns, played = self._play(self.policy, everyone, seeds)
        self.problem = self.problem or played.problem
        values = self.objective(returns)
        candidates, of_mean = values[:-1], float(values[-1])

        hopeful = self.incumbent is None or of_mean > replace(self.incumbent, episodes=self.episodes).worst_score
        if np.isfinite(of_mean) and hopeful:
            self.incumbent = self._duel(self.last())
        if self.normalise:
            self.policy.normalizer.update(*played.moments)
        if self.episodes < self.episodes_max and noise_dominates(returns[:-1], self.objective):
            self.episodes = min(2 * self.episodes, self.episodes_max)
        self.strategy.tell(candidates)

        seconds = time.perf_counter() - began
        finite = candidates[np.isfinite(candidates)]
        self._record = Generation(
            generation=self.iteration,
            evaluations=self.evaluations,
            env_steps=self.env_steps,
            seconds=seconds,
            steps_per_second=(self.env_steps - steps_before) / seconds,
            sigma=self.strategy.sigma,
            pop_size=len(candidates),
            not_finite=self.strategy.not_finite,
            return_best=float(finite.max()) if len(finite) else math.nan,
            return_median=float(np.median(finite)) if len(finite) else math.nan,
            return_of_mean=of_mean,
            return_incumbent=self.incumbent.score if self.incumbent else math.nan,
        )
        return self._record

    def reached(self, target: float) -> bool:
        """Whether the incumbent's score over a hundred fresh episodes is at least `target`.

        They are played only where its score so far gives hope.
        """
        if self.incumbent is None or self.incumbent.score < target:
            return False
        seeds = episode_seeds(self.seed, self.iteration, TARGET, TARGET_EPISODES)
        returns, _ = self._play(self.incumbent.policy, None, seeds)
        self.incumbent = self.incumbent.with_returns(returns[0])
        return replace(self.incumbent, returns=returns[0]).score >= target

    def count(self, steps: int, evaluations: int = 1) -> None:
        """Count what was played elsewhere for this evolution, such as a confirmation on the task of a twin."""
        self.env_steps += steps
        self.evaluations += evaluations

    def state(self) -> State:
        """All that the next generations depend on; its size does not grow with their number.

        Raises: ValueError within a generation, as after a Ctrl-C in `step`.
        """
        numbers, tensors = self.strategy.state()
        tensors = {f"search.{name}": tensor for name, tensor in tensors.items()} | tensors_of(self.policy, "policy")
        if self.incumbent is not None:
            tensors |= tensors_of(self.incumbent.policy, "incumbent")
            tensors["incumbent_returns"] = torch.from_numpy(self.incumbent.returns.copy())
            numbers["incumbent_episodes"] = self.incumbent.episodes
        return State({"strategy": numbers} | {name: getattr(self, name) for name in COUNTS}, tensors)

    def load(self, state: tuple[dict[str, Any], Mapping[str, Tensor]]) -> None:
        """Go to where another evolution with the same arguments was, from its `state`.

        Raises: ValueError if it had other arguments or another version of cma, or the state is damaged.
        """
        numbers, tensors = state
        try:
            if numbers["seed"] != self.seed:
                raise ValueError(f"This evolution has seed {self.seed}, its state is of seed {numbers['seed']}.")
            self.strategy.load((numbers["strategy"], under(tensors, "search")))
            self.policy.load_state_dict(under(tensors, "policy"))
            self.incumbent = None
            if "incumbent_returns" in tensors:
                policy = copy.deepcopy(self.policy)
                policy.load_state_dict(under(tensors, "incumbent"))
                returns, episodes = tensors["incumbent_returns"].numpy(), numbers["strategy"]["incumbent_episodes"]
                self.incumbent = Incumbent(policy, returns, self.objective, episodes)
            for name in COUNTS:
                setattr(self, name, numbers[name])
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"The state of the evolution is not whole: {error}.") from error

    def summary(self) -> dict[str, Any]:
        """Counts for a run's result."""
        return {
            "evaluations": self.evaluations,
            "restarts": self.strategy.stop_reasons.total(),
            "not_finite": self.strategy.not_finite,
            "problem": self.problem,
        }

    def line(self) -> str:
        """The last generation in one line."""
        record = self._record
        if record is None:
            return f"{self.env_steps:,} steps"
        return (
            f"best so far {record.return_incumbent:.1f}, mean {record.return_of_mean:.1f}, sigma {record.sigma:.2g}, "
            f"{record.env_steps:,} steps, {record.steps_per_second:,.0f} steps/s"
            + (f", {record.not_finite} not finite" if record.not_finite else "")
        )

    def _duel(self, challenger: Policy) -> Incumbent | None:
        """The incumbent after a policy has challenged it."""
        seeds = episode_seeds(self.seed, self.iteration, DUEL, DUEL_EPISODES)

        def play(policy: Policy) -> np.ndarray:
            return self._play(policy, None, seeds)[0][0]

        return duel(self.incumbent, Incumbent(challenger, play(challenger), self.objective, self.episodes), play)

    def _play(self, policy: Policy, population: np.ndarray | None, seeds: Sequence[int]) -> tuple[np.ndarray, Played]:
        """Evaluate, and count it."""
        returns, played = self.evaluate(policy, population, seeds)
        self.count(int(played.lengths.sum()), len(returns))
        return returns, played


COUNTS = ("seed", "env_steps", "evaluations", "episodes", "problem")
"""Attributes of an `Evolution` that its state holds as they are."""


def tensors_of(policy: Policy, prefix: str) -> dict[str, Tensor]:
    """Copies of a policy's tensors, by their names under a prefix."""
    return {f"{prefix}.{name}": tensor.detach().cpu().clone() for name, tensor in policy.state_dict().items()}
