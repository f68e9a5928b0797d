"""A training by PPO, one rollout and update after the other, that keeps the best of its policies."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec
import numpy as np
import torch
from gymnasium.vector import VectorEnv
from msgspec import Meta
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch import Tensor

from nf_policies.fields.dynamics import under
from nf_policies.policies.files import check_tensors
from nf_policies.policies.numbers import check_returns
from nf_policies.policies.policy import Policy
from nf_policies.ppo.saving import load_state, state_of
from nf_policies.ppo.together import begun, join, update
from nf_policies.ranks import ALONE, Ranks
from nf_policies.rollouts.play import CONFIRMATION, EVALUATION, TRAINING, Evaluator, evaluator_of, first_seed

TAGS = {
    "return_training": "rollout/ep_rew_mean",
    "episode_length": "rollout/ep_len_mean",
    "return_evaluated": "eval/return_mean",
    "return_best": "eval/return_best",
    "steps_per_second": "time/fps",
    "learning_rate": "train/learning_rate",
    "value_loss": "train/value_loss",
    "policy_gradient_loss": "train/policy_gradient_loss",
    "entropy_loss": "train/entropy_loss",
    "approx_kl": "train/approx_kl",
    "clip_fraction": "train/clip_fraction",
    "explained_variance": "train/explained_variance",
    "std": "train/std",
}
"""Columns after `env_steps`, and SB3's names for them."""
EVALUATED = ("evaluations", "evaluation_steps", "evaluated_at", "confirmed_at", "_used", "_length")
COUNTS = ("iteration", "improved_at", *EVALUATED)
"""Attributes of a `Training` that its state holds as they are."""
EPISODES_TO_CONFIRM = 100
Count = Annotated[int, Meta(ge=0, le=2**53)]
OFTEN = 25
"""Evaluations of a training at most."""


class Numbers(TypedDict):
    """Of a state, beside the model's."""

    iteration: Count
    improved_at: Count
    evaluations: Count
    evaluation_steps: Count
    evaluated_at: Count
    confirmed_at: Annotated[int, Meta(ge=-1, le=2**53)]
    _used: Annotated[float, Meta(ge=0)]
    _length: Annotated[float, Meta(ge=0)]
    return_best: NotRequired[float]
    best_made_by: NotRequired[dict[str, Any]]


class Latest(Logger):
    """SB3's logger; writes nothing and keeps what was logged last."""

    def dump(self, step: int = 0) -> None:
        """Keep the values; SB3 calls this once an iteration."""
        self.values = dict(self.name_to_value)
        super().dump(step)


class Training:
    """Trains a model, evaluates its actor from time to time, and keeps the best one.

    It is a `Learner` of `nf_policies.runs`. An evaluation plays the same episodes each time, which are no part of the
    training; the later of two policies that differ by no more than chance is kept. Evaluations come as often, and are
    as long, as `share` allows. The last policy is always evaluated, on fewer episodes if need be.

    Args:
        model: A `FieldPPO` at its start; its logger is replaced.
        evaluator: Environments from `make_envs`, or whatever plays a policy's episodes.
        seed: Of evaluations, confirmations, and the episodes of a continued training.
        episodes: Of an evaluation, at least.
        share: Environment steps of all evaluations, as a share of those of the training.
    """

    kind = "training"
    columns = ("env_steps", *TAGS)
    tags: Mapping[str, str] = TAGS
    curves: Mapping[str, str] = {
        "return_training": "training, with exploration",
        "return_evaluated": "evaluated, deterministic",
        "return_best": "best so far",
    }
    is_judged = True
    last_panel = "explained_variance"
    most = 100
    """Episodes of an evaluation where the share pays for more than `episodes`."""
    longest: float = math.inf
    """Steps after which an evaluated episode is cut."""
    ranks: Ranks = ALONE
    """This process and those that `follow` it, with environments of their own."""
    shares_envs = False
    """Whether evaluations play in the environments of the training, which then begins new episodes."""

    def __init__(
        self, model: Any, evaluator: VectorEnv | Evaluator, seed: int = 0, *, episodes: int = 10, share: float = 0.1
    ) -> None:
        self.model, self.seed, self.episodes, self.share = model, seed, episodes, share
        self._evaluate = evaluator_of(evaluator)
        self.iteration = self.evaluations = self.evaluation_steps = self.evaluated_at = self.improved_at = 0
        self.confirmed_at, self._used = -1, 0.0
        self.return_evaluated, self.return_best, self._length = math.nan, -math.inf, 0.0
        self._best: Policy | None = None
        self._highest = np.empty(0)
        """Returns (episodes,), with mean `return_best`, of the evaluation that was best on episodes it shares."""
        self._logged = Latest(None, [])
        model.set_logger(self._logged)
        self._callback: BaseCallback | None = None

    @property
    def env_steps(self) -> int:
        """Environment steps of training so far; those of evaluations are counted in `evaluation_steps`."""
        return self.model.num_timesteps

    def step(self, used: float) -> dict[str, float]:
        """Collect one rollout and learn from it, as SB3's `learn` does. Returns a row of progress.csv.

        Schedules, such as that of the learning rate, follow `used`, the share of the training that is done (0 to 1).
        """
        model = self.model
        if model.ranks is not self.ranks:
            join(model, self.ranks)
        self._callback = self._callback or begun(model)
        update(model, self._callback, self.ranks.told(used))
        self.iteration += 1
        self.return_evaluated = math.nan
        if used - self._used >= 1 / OFTEN and (episodes := self._affordable()):
            self._used = used
            self.evaluate(episodes)
        model.dump_logs(self.iteration)
        row = {column: float(self._logged.values.get(tag, math.nan)) for column, tag in TAGS.items()}
        return {**row, "env_steps": self.env_steps, **self._evaluated()}

    def _affordable(self) -> int:
        """Episodes now for half of what the share has left, the other being for the last policy; 0 if too few."""
        lengths = [episode["l"] for episode in self.model.ep_info_buffer]
        length = min(max(float(np.mean(lengths)), self._length) if lengths else math.inf, self.longest)
        affordable = (self.share * self.env_steps - self.evaluation_steps) / (2 * max(length, 1))
        return int(min(affordable, max(self.most, self.episodes))) if affordable >= self.episodes else 0

    def _evaluated(self) -> dict[str, float]:
        """What the latest evaluation says, as cells of a row."""
        best = self.return_best if self._best is not None else math.nan
        return {"return_evaluated": self.return_evaluated, "return_best": best}

    def conclude(self) -> dict[str, float]:
        """Evaluate the last policy, if it has not been, on as many episodes as the share allows if they are long.

        Returns the cells of the row that change.
        """
        if self.evaluated_at < self.env_steps:
            longest = min(max([self._length, *(e["l"] for e in self.model.ep_info_buffer)]), self.longest)
            left = self.share * self.env_steps - self.evaluation_steps
            affordable = left / longest if longest else self.episodes
            self.evaluate(int(min(max(affordable, 1), max(self.most, self.episodes))))
        return self._evaluated()

    def evaluate(self, episodes: int | None = None) -> None:
        """Play the actor as it is, on so many of the episodes; keep it unless the best one was clearly better.

        That is by more than a standard error of the difference on the same episodes.
        """
        policy = self.last()
        self.evaluations += 1
        self.evaluated_at = self.env_steps
        returns = self._returns_of(policy, (0, EVALUATION), episodes or self.episodes)
        self.return_evaluated = float(returns.mean())
        n = min(len(returns), len(self._highest))
        worse = self._highest[:n] - returns[:n]
        if self._best is None or worse.mean() <= worse.std() / math.sqrt(n):
            self._best, self.confirmed_at = policy, -1
        if n == 0 or worse.mean() < 0:
            self.improved_at, self.return_best, self._highest = self.env_steps, self.return_evaluated, returns

    def reached(self, target: float) -> bool:
        """Whether the best policy returns `target` on average, confirmed once on fresh episodes."""
        if self._best is None or self.return_best < target or self.confirmed_at >= 0:
            return False
        self.confirmed_at = self.iteration
        returns = self._returns_of(self._best, (self.iteration, CONFIRMATION), EPISODES_TO_CONFIRM)
        return float(returns.mean()) >= target

    def _returns_of(self, policy: Policy, moment: tuple[int, int], episodes: int) -> np.ndarray:
        """The returns of so many episodes, whose seeds belong to an iteration and a purpose."""
        seeds = np.random.SeedSequence([self.seed, *moment]).generate_state(episodes).tolist()
        returns, played = self._evaluate(policy, None, seeds)
        self.count(int(played.lengths.sum()))
        self._length = float(played.lengths.mean())
        if self.shares_envs:
            self._begin_episodes()
        if played.problem:
            raise ValueError(played.problem)
        return returns[0]

    def count(self, steps: int) -> None:
        """Count steps that the best policy has played elsewhere as those of an evaluation."""
        self.evaluation_steps += steps

    def best(self) -> Policy:
        """The policy that did best in an evaluation; before the first one the policy as it is."""
        return self.last() if self._best is None else self._best

    def last(self) -> Policy:
        """The policy as it is."""
        return self.model.policy_of()

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """All that has been learned, counted and drawn, as JSON values and tensors."""
        numbers, tensors = state_of(self.model)
        numbers |= {name: getattr(self, name) for name in COUNTS}
        if self._best is not None:
            numbers |= {"return_best": self.return_best, "best_made_by": self._best.made_by}
            tensors["highest"] = torch.from_numpy(self._highest.copy())
            tensors |= {f"best.{name}": tensor.clone() for name, tensor in self._best.state_dict().items()}
        return numbers, tensors

    def load(self, state: tuple[dict[str, Any], dict[str, Tensor]]) -> None:
        """Continue from a state, with new episodes.

        Raises: ValueError if it is of another model.
        """
        numbers, tensors = state
        msgspec.convert(numbers, Numbers)
        load_state(self.model, numbers, tensors)
        vars(self).update({name: numbers[name] for name in COUNTS})
        if "return_best" in numbers:
            self.return_best, self._best = numbers["return_best"], self.last()
            check_returns(tensors["highest"])
            self._highest = tensors["highest"].numpy().copy()
            check_tensors(best := under(tensors, "best"))
            self._best.load_state_dict(best)
            self._best.made_by = numbers["best_made_by"]
        self._begin_episodes()

    def _begin_episodes(self) -> None:
        """Begin new episodes of the training with its next step."""
        self.model.env.seed(first_seed(self.seed, TRAINING, self.env_steps))
        self.model._last_obs = self._callback = None

    def summary(self) -> dict[str, Any]:
        """Entries of result.json."""
        return {"evaluations": self.evaluations, "evaluation_steps": self.evaluation_steps}

    def line(self) -> str:
        """Progress in one line."""
        seen = self._logged.values.get(TAGS["return_training"]) if self.iteration else None
        words = [f"{self.env_steps:,} steps"]
        words += [] if seen is None else [f"training {seen:.6g}"]
        words += [] if self._best is None else [f"best {self.return_best:.6g}"]
        return ", ".join(words)
