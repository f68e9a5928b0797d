"""One run of a trial: a learner with some settings and one seed, stopped early where its curve is poor."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # a worker limits torch's threads before it is imported
    from nf_policies.runs.learner import Learner

REPORTS = 10
"""A learning curve is looked at after each tenth of the steps, except the last."""


class Begun(Protocol):
    """A learner at its start, and how to score its policies: `score(policy, "final", 0)` as in a `Session`."""

    @property
    def learner(self) -> "Learner": ...  # noqa: D102
    @property
    def score(self) -> Callable[..., Any]: ...  # noqa: D102


class Options(Protocol):
    """What begins a learner; it is sent to another process."""

    def begun(self) -> AbstractContextManager[Begun]:
        """A learner in its environments, which are closed in the end."""


@dataclass(frozen=True)
class Report:
    """The learning curve of a run that goes on."""

    tenth: int
    """Of the run's steps; the first is 1."""
    value: float
    """The return of the best policy so far, as the learner estimates it."""
    env_steps: int


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    value: float
    """The mean return of its best policy on fresh episodes; the last report's where the run was stopped early."""
    env_steps: int
    """All that were played: for learning, for evaluations and for the final score."""
    stopped: bool = False


def play(options: Options, steps: int, stop: Callable[[Report], bool]) -> Outcome:
    """Run a learner for so many environment steps, and score its best policy.

    Args:
        options: Which learner, with which settings and seed.
        steps: As its `env_steps` counts them.
        stop: Told of the learning curve; whether to give the run up.
    Raises: ValueError if something is not finite.
    """
    with options.begun() as begun:
        learner = begun.learner
        best, value, tenths = list(learner.curves)[-1], math.nan, 0
        while learner.env_steps < steps:
            row: Mapping[str, float] = learner.step(learner.env_steps / steps)
            value = row[best] if math.isfinite(row.get(best, math.nan)) else value
            done = REPORTS * learner.env_steps // steps
            if tenths < done < REPORTS and math.isfinite(value):
                tenths = done
                report = Report(tenths, float(value), played_by(learner))
                if stop(report):
                    return Outcome(value, report.env_steps, stopped=True)
        learner.conclude()
        score = begun.score(learner.best(), "final", 0)
        value = float(score.returns.mean())
        if not math.isfinite(value):
            raise ValueError("The return of the best policy is not finite.")
        return Outcome(value, played_by(learner) + int(score.steps))


def played_by(learner: "Learner") -> int:
    """All environment steps of a learner; some count those of evaluations apart."""
    return learner.env_steps + int(learner.summary().get("evaluation_steps", 0))
