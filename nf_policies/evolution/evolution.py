"""Evolution: CMA-ES on the parameters of a policy, one generation at a time, and the best policy so far."""

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from nf_policies.evolution.generation import Generation
from nf_policies.evolution.objective import Incumbent, Objective, duel, episodes_of, mean, noise_dominates, rounds
from nf_policies.evolution.schema import check_numbers, check_sizes
from nf_policies.evolution.stages import WIDER, Horizon, Plateau, larger, median, patience_of
from nf_policies.evolution.start import scale_factors
from nf_policies.evolution.strategy import State, Strategy
from nf_policies.fields.dynamics import under
from nf_policies.fields.parameters import ParameterVector
from nf_policies.policies.policy import Policy
from nf_policies.rollouts.play import DUEL, GENERATION, TARGET, Evaluator, evaluator_of

DUEL_FIRST, DUEL_EPISODES, TARGET_EPISODES = 5, 100, 100
CHALLENGE_EVERY = 10
"""Generations after which a mean whose episodes were cut meets the incumbent anyway."""
COUNTS: tuple[str, ...] = ("seed", "stage", "width", "iteration", "env_steps", "evaluations", "improved_at")
COUNTS += ("episodes", "not_finite", "problem")
"""Attributes of an `Evolution` that its state holds as they are."""


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
        objective: What is maximised of a policy's returns over its episodes, from `objective_of`.
        normalise: Whether the policy's normaliser follows what is seen.
        pop_size_max, episodes_max: Candidates of the first stage, and then episodes, grow up to these numbers while
            noise dominates (see `noise_dominates`).
        horizon: Steps of an episode at first, and of a whole one, which the incumbent plays; by default all are whole.
        scales: Factors of the natural scales of the parameters whose names begin so.
        grow: Makes a policy at its start for a stage, 0 for the first. A search that comes to rest is then followed by
            one for the best stretch of an episode (see `Horizon`), and that by one that is `larger`, or wider if the
            median never changed. By default one search goes on.
        search: Further arguments of `Strategy`: sigma, pop_size, restarts, sigma_min, restart_after.
    """

    kind = "evolution"
    columns = tuple(Generation.__dataclass_fields__)
    tags: Mapping[str, str] = {}
    curves: Mapping[str, str] = {
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
        objective: Objective = mean,
        normalise: bool = True,
        episodes_max: int | None = None,
        pop_size_max: int = 0,
        horizon: tuple[int, int] | None = None,
        scales: Mapping[str, float] | None = None,
        grow: Callable[[int], Policy] | None = None,
        **search: Any,
    ) -> None:
        if episodes < 1:
            raise ValueError(f"Each candidate must play at least one episode, not {episodes}.")
        if seed < 0:
            raise ValueError(f"The seed must be 0 or greater, not {seed}.")
        self.policy, self.seed, self._episodes = policy, seed, episodes
        self.evaluate = evaluator_of(envs)
        self.objective, self.normalise, self.grow, self._search = objective, normalise, grow, search
        self.scales, self.pop_size_max, self.episodes_max = dict(scales or {}), pop_size_max, episodes_max or episodes
        self.horizon, self.width = Horizon(*horizon or (1, 1)), 1.0
        self._pop_size, self._sigma = search.pop("pop_size", None), search.pop("sigma", 1.0)
        self.incumbent: Incumbent | None = None
        self.stage = self.iteration = self.env_steps = self.evaluations = self.improved_at = self.not_finite = 0
        """Searches before this one, generations over all of them, and what they have played and found."""
        self._begin_search()
        self.problem: str | None = None
        """The first thing that was not finite, as a sentence."""
        self._record: Generation | None = None

    def _begin_search(self) -> None:
        """The search of this stage, for returns or the best stretch, at its start."""
        self.vector = ParameterVector.of(self.policy.field)
        start, scale = (values.double().cpu().numpy() for values in (self.vector.start, self.vector.scale))
        scale *= scale_factors(self.scales, self.vector.names)
        number = 2 * self.stage + (self.horizon.stretch > 0)
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]) if number else self.seed
        pop_size = self._pop_size and self._pop_size * larger(self.stage)[0]
        more = {"pop_size": pop_size, "sigma": self._sigma * self.width} | self._search
        self.strategy = Strategy(start, scale, seed=seed, **more)
        self._pop_size = self._pop_size or self.strategy.pop_size
        self.plateau = Plateau(patience_of(len(start), self.strategy.pop_size))
        self.horizon.begin()
        self.episodes = self._episodes

    @property
    def is_judged(self) -> bool:
        """Whether the last policy has been compared with the best one: where generations play whole episodes."""
        return not self.horizon.is_short

    def _policy_of(self, stage: int) -> Policy:
        """A policy of a stage's size, with today's statistics."""
        policy = self.grow(stage) if self.grow else copy.deepcopy(self.policy)
        policy.normalizer.load_state_dict(self.policy.normalizer.state_dict())
        return policy

    def last(self) -> Policy:
        """A copy of the policy with the parameters of the search distribution's mean."""
        policy = copy.deepcopy(self.policy)
        self.vector.load(policy.field, torch.as_tensor(self.strategy.mean))
        return policy

    def best(self) -> Policy:
        """The incumbent's policy; the mean's where no candidate has been finite yet."""
        return self.incumbent.policy if self.incumbent else self.last()

    def step(self, used: float = 0.0) -> Generation:
        """Play one generation and learn from it, whatever is `used` of a budget."""
        began, steps_before = time.perf_counter(), self.env_steps
        everyone = np.vstack((self.strategy.ask(), self.strategy.mean))
        is_short = self.horizon.is_short
        seeds = self._seeds(GENERATION, episodes_of(self.iteration, self.episodes, self.episodes_max))
        returns, played = self.evaluate(self.policy, everyone, seeds, **self.horizon.asked)
        self.count(int(played.lengths.sum()), len(returns))
        self.problem = self.problem or played.problem
        values = self.objective(returns)
        candidates, of_mean = values[:-1], float(values[-1])
        lengths = played.lengths.reshape(returns.shape)
        worth = returns if played.stretches is None else played.stretches.reshape(returns.shape)

        lasting = is_short and self.horizon.is_reached(lengths[:-1])
        hopeful = self.incumbent is None or (is_short and (lasting or self.iteration % CHALLENGE_EVERY == 0))
        if self.incumbent and not is_short:  # returns of short episodes do not say who is better
            hopeful = of_mean > replace(self.incumbent, episodes=self.episodes).worst_score
        if np.isfinite(of_mean) and hopeful:
            challenger = Incumbent(self.last(), np.empty(0), self.objective, self.episodes, self.stage)
            fresh = rounds(self._seeds(DUEL, DUEL_EPISODES), max(DUEL_FIRST, self.episodes))
            before = self.incumbent
            self.incumbent = now = duel(before, challenger, self._returns_of, fresh)
            if now and now.policy is challenger.policy and (before is None or now.score > before.score):
                self.improved_at = self.env_steps
        if self.normalise:
            self.policy.normalizer.update(*played.moments)
        self.strategy.tell(sought := self.objective(worth)[:-1])
        may_double = 2 * len(candidates) <= self.pop_size_max * larger(self.stage)[0]
        if (may_double or self.episodes < self.episodes_max) and noise_dominates(worth[:-1], self.objective):
            if may_double:
                self.strategy.double()
            else:
                self.episodes = min(2 * self.episodes, self.episodes_max)
        self.iteration += 1
        self.not_finite += int((~np.isfinite(candidates)).sum())
        sigma = self.strategy.sigma
        finite = candidates[np.isfinite(candidates)]
        at_rest = (is_short or self.grow is not None) and self.plateau.reached(median(sought))
        if is_short and (lasting or at_rest):
            self.horizon.grow(lengths[:-1])
            self.plateau = Plateau(self.plateau.patience)  # later returns are others
        elif at_rest:
            self._go_on()

        seconds = time.perf_counter() - began
        self._record = Generation(
            generation=self.iteration,
            evaluations=self.evaluations,
            env_steps=self.env_steps,
            seconds=seconds,
            steps_per_second=(self.env_steps - steps_before) / seconds,
            sigma=sigma,
            pop_size=len(candidates),
            horizon=self.horizon.steps,
            stretch=self.horizon.stretch,
            not_finite=self.not_finite,
            return_best=float(finite.max()) if len(finite) else math.nan,
            return_median=median(candidates),
            return_of_mean=of_mean,
            return_incumbent=self.incumbent.score if self.incumbent else math.nan,
        )
        return self._record

    def _go_on(self) -> None:
        """Look for the best stretch, then for twice as long ones up to the whole episode; or begin a larger search."""
        if self.horizon.seeks_stretch:
            self.horizon.stretch = min(2 * self.horizon.stretch, self.horizon.whole)
            self.plateau = Plateau(self.plateau.patience)
            return
        has_changed = self.plateau.best > self.plateau.lowest
        if has_changed and not self.horizon.stretch and self.horizon.first < self.horizon.whole:
            self.horizon.stretch = self.horizon.first
        else:
            self.horizon.stretch, self.width = 0, 1.0 if has_changed else WIDER
            self.policy = self._policy_of(self.stage + 1)
            self.stage += 1
        self._begin_search()

    def conclude(self) -> dict[str, float]:
        """Nothing is left: every generation's mean has been judged."""
        return {}

    def reached(self, target: float) -> bool:
        """Whether the incumbent's score so far, and then over a hundred fresh episodes, is at least `target`."""
        if self.incumbent is None or self.incumbent.score < target:
            return False
        returns = self._returns_of(self.incumbent.policy, self._seeds(TARGET, TARGET_EPISODES))
        self.incumbent = self.incumbent.with_returns(returns)
        return replace(self.incumbent, returns=returns).score >= target

    def count(self, steps: int, evaluations: int = 1) -> None:
        """Count what was played elsewhere for this evolution, such as a confirmation on the task of a twin."""
        self.env_steps += steps
        self.evaluations += evaluations

    def state(self) -> State:
        """All that the next generations depend on; a ValueError within one, as after a Ctrl-C in `step`."""
        strategy, tensors = self.strategy.state()
        numbers: dict[str, Any] = {name: getattr(self, name) for name in COUNTS} | {"strategy": strategy}
        numbers |= {"plateau": asdict(self.plateau), "horizon": asdict(self.horizon)}
        tensors = {f"search.{name}": tensor for name, tensor in tensors.items()}
        policies = {"policy": self.policy}
        if self.incumbent is not None:
            policies["incumbent"] = self.incumbent.policy
            tensors["incumbent_returns"] = torch.from_numpy(self.incumbent.returns.copy())
            numbers |= {"incumbent_episodes": self.incumbent.episodes, "incumbent_stage": self.incumbent.stage}
        for prefix, policy in policies.items():
            tensors |= {f"{prefix}.{name}": t.detach().cpu().clone() for name, t in policy.state_dict().items()}
        return State(numbers, tensors)

    def load(self, state: tuple[dict[str, Any], Mapping[str, Tensor]]) -> None:
        """Go to where another evolution with the same arguments was, from its `state`.

        Raises: ValueError if it had other arguments or another version of cma, or the state is damaged.
        """
        numbers, tensors = state
        try:
            check_numbers(numbers)
            if numbers["seed"] != self.seed:
                raise ValueError(f"This evolution has seed {self.seed}, its state is of seed {numbers['seed']}.")
            policy = self._policy_of(numbers["stage"])
            check_sizes(numbers, tensors, policy.field.hidden_size, self._pop_size, self.episodes_max, self.horizon)
            self.policy, self.stage, self.width = policy, numbers["stage"], numbers["width"]
            self.horizon.stretch = numbers["horizon"]["stretch"]
            self._begin_search()
            self.strategy.load((numbers["strategy"], under(tensors, "search")))
            self.plateau, self.horizon = Plateau(**numbers["plateau"]), Horizon(**numbers["horizon"])
            self.policy.load_state_dict(under(tensors, "policy"))
            self.incumbent = None
            if "incumbent_returns" in tensors:
                policy = self._policy_of(numbers["incumbent_stage"])
                policy.load_state_dict(under(tensors, "incumbent"))
                told = numbers["incumbent_episodes"], numbers["incumbent_stage"]
                self.incumbent = Incumbent(policy, tensors["incumbent_returns"].numpy(), self.objective, *told)
            vars(self).update({name: numbers[name] for name in COUNTS})
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"The state of the evolution is not whole: {error}.") from error

    def summary(self) -> dict[str, Any]:
        """Counts for a run's result."""
        restarts = self.stage + self.strategy.stop_reasons.total()
        counts = {"evaluations": self.evaluations, "restarts": restarts, "not_finite": self.not_finite}
        return {**counts, "problem": self.problem}

    def line(self) -> str:
        """The last generation in one line."""
        record = self._record
        return f"{self.env_steps:,} steps" if record is None else record.line(is_short=self.horizon.is_short)

    def _seeds(self, purpose: int, episodes: int) -> list[int]:
        """Of fresh episodes: they differ between runs, generations and purposes, and are the same in a resumed run."""
        return np.random.SeedSequence([self.seed, self.iteration, purpose]).generate_state(episodes).tolist()

    def _returns_of(self, policy: Policy, seeds: Sequence[int]) -> np.ndarray:
        """Returns (episodes,) of one policy; counted."""
        returns, played = self.evaluate(policy, None, seeds)
        self.count(int(played.lengths.sum()))
        return returns[0]
