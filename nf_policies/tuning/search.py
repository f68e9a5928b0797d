"""The search: trials side by side, more seeds for a trial that promises, and a fair comparison in the end."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from nf_policies.runs.directory import RunError
from nf_policies.tuning.space import Settings, Space, propose, settings_of
from nf_policies.tuning.study import FIRST, Study
from nf_policies.tuning.trial import Options, Outcome, Report
from nf_policies.tuning.workers import Failure, Message, Workers

if TYPE_CHECKING:
    from optuna.trial import Trial

FRESH = 1_000
"""The seeds of the comparison are so far from those of the search."""
COMPARED = "compared: "
"""How the names of the study's notes on it begin."""


@dataclass(frozen=True)
class Plan:
    """What is to be searched, and how much."""

    space: Space
    start: Settings
    """The settings of trial 0."""
    with_settings: Callable[[Settings, int], Options]
    """Options of a run, from settings and a seed."""
    steps: int
    """Of each run."""
    trials: int
    seconds: float
    """Begin no trial after so many."""
    seeds: int
    """Of a trial that promises, and of each side of the comparison."""
    seed: int
    """The first one."""


@dataclass
class Running:
    """A trial whose runs have not all ended."""

    trial: "Trial"
    settings: Settings
    values: list[float] = field(default_factory=list)
    env_steps: int = 0


class Run(NamedTuple):
    """A run of a trial, by the trial's number."""

    trial: int
    seed: int


class Search:
    """Plays the trials of a plan that a study does not hold yet.

    Args:
        study: What has been tried.
        plan: What to try.
        say: Told of each trial that ends.
    """

    def __init__(self, study: Study, plan: Plan, say: Callable[[str], None]) -> None:
        self.study, self.plan, self.say = study, plan, say
        self._running: dict[int, Running] = {}
        self._waiting: list[Run] = []
        """Further seeds of trials that promise."""
        self._began, self._before = time.monotonic(), float(study.notes.get("seconds", 0.0))

    @property
    def seconds(self) -> float:
        """Of searching, those before a resume included."""
        return self._before + time.monotonic() - self._began

    def run(self, workers: Workers) -> str:
        """Search until the budget is spent. Returns which one: "trials" or "minutes".

        Raises: RunError if the settings to begin with fail: so would all others.
        """
        while True:
            if reason := self.study.first.user_attrs.get("reason"):
                raise RunError(reason)
            while workers.free and (run := self._next()):
                settings = self._running[run.trial].settings
                workers.begin(run, self.plan.with_settings(settings, run.seed), self.plan.steps)
            if not workers.busy:
                return "trials" if self._all_begun() else "minutes"
            for run, message in workers.messages():
                self._hear(run, message, workers)

    def _next(self) -> Run | None:
        """The next run, if there is one to begin now."""
        if self._waiting:
            return self._waiting.pop(0)
        if self._all_begun() or self.seconds >= self.plan.seconds:
            return None
        trial = self.study.ask()
        settings = settings_of(propose(trial, self.plan.space, self.plan.start), self.plan.start)
        self._running[trial.number] = Running(trial, settings)
        return Run(trial.number, self.plan.seed)

    def _all_begun(self) -> bool:
        return len(self.study.trials("COMPLETE", "PRUNED", "FAIL", "RUNNING")) >= self.plan.trials

    def _hear(self, run: Run, message: Message, workers: Workers) -> None:
        """Act on a message of a run."""
        running = self._running.get(run.trial)
        if isinstance(message, Report):
            workers.answer(run, stop=running is None or self._poor(run, running, message))
        elif running is None:  # another seed of the trial has failed
            return
        elif isinstance(message, Failure):
            self._waiting = [other for other in self._waiting if other.trial != run.trial]
            self.study.fail(running.trial, message.reason)
            self._ended(running, f"failed: {message.reason}")
        else:
            running.env_steps += message.env_steps
            running.trial.set_user_attr("env_steps", running.env_steps)
            if message.stopped:
                self.study.prune(running.trial)
                self._ended(running, f"stopped early at {message.value:.6g}")
            else:
                self._came_to(run, running, message)

    def _poor(self, run: Run, running: Running, report: Report) -> bool:
        """Whether to give a run up. Only a trial's first run may be, and never that of the settings to begin with."""
        running.trial.set_user_attr("env_steps", running.env_steps + report.env_steps)
        if run.seed != self.plan.seed:
            return False
        running.trial.report(report.value, report.tenth)
        return not running.trial.user_attrs.get(FIRST) and running.trial.should_prune()

    def _came_to(self, run: Run, running: Running, outcome: Outcome) -> None:
        running.values.append(outcome.value)
        best = self.study.best.values[0] if self.study.best else -math.inf
        promising = outcome.value > best or running.trial.user_attrs.get(FIRST)
        if run.seed == self.plan.seed and promising:
            self._waiting += [Run(run.trial, run.seed + more) for more in range(1, self.plan.seeds)]
            running.trial.set_user_attr("promises", True)
        promises = running.trial.user_attrs.get("promises", False)
        if len(running.values) == (self.plan.seeds if promises else 1):
            value = sum(running.values) / len(running.values)
            running.trial.set_user_attr("values", running.values)
            self.study.complete(running.trial, value)
            seeds = f", mean of {len(running.values)} seeds" if promises and self.plan.seeds > 1 else ""
            self._ended(running, f"{value:.6g}{seeds}")

    def _ended(self, running: Running, what: str) -> None:
        del self._running[running.trial.number]
        self.study.note("seconds", self.seconds)
        changes = changed(running.settings, self.plan.start)
        best = f"; best {self.study.best.value:.6g} of trial {self.study.best.number}" if self.study.best else ""
        self.say(f"trial {running.trial.number}: {what}{best} ({changes or 'settings without options'})")


def compare(study: Study, plan: Plan, workers: Workers) -> dict[str, list[dict[str, Any]]]:
    """Run the best and the first settings with fresh seeds, whose episodes the search has not seen.

    Returns: By "best" and "first", {"seed", "return_mean", "env_steps"} of each run. What is known is not run again.
    Raises: RunError if a run fails.
    """
    rivals = {"best": study.best or study.first, "first": study.first}
    seeds = range(plan.seed + FRESH, plan.seed + FRESH + plan.seeds)
    runs = [Run(number, seed) for seed in seeds for number in {trial.number for trial in rivals.values()}]
    settings = {trial.number: settings_of(trial.params, plan.start) for trial in rivals.values()}
    missing = [run for run in runs if _name(run) not in study.notes]
    while missing or workers.busy:
        while workers.free and missing:
            run = missing.pop(0)
            workers.begin(run, plan.with_settings(settings[run.trial], run.seed), plan.steps)
        for run, message in workers.messages():
            if isinstance(message, Report):
                workers.answer(run, stop=False)
            elif isinstance(message, Failure):
                raise RunError(f"The comparison failed on seed {run.seed}: {message.reason}")
            else:
                found = {"seed": run.seed, "return_mean": message.value, "env_steps": message.env_steps}
                study.note(_name(run), found)
    return {side: [study.notes[_name(Run(trial.number, seed))] for seed in seeds] for side, trial in rivals.items()}


def _name(run: Run) -> str:
    return f"{COMPARED}trial {run.trial}, seed {run.seed}"


def changed(settings: Settings, start: Settings) -> str:
    """What settings change, in one line."""
    words = []
    for name, value in settings.items():
        if isinstance(value, dict):
            words.append(changed(value, {part: start[name].get(part) for part in value}))
        elif value != start[name]:
            words.append(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(filter(None, words))
