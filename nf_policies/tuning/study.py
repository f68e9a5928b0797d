"""The study: what has been tried, in a file that survives a kill. The only file that imports Optuna.

Only one process writes to it. References: Akiba et al. (2019), Optuna; Bergstra et al. (2011), the tree-structured
Parzen estimator; Watanabe et al. (2023), PED-ANOVA.
"""

import os
import warnings
from pathlib import Path
from typing import Any, Self

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from nf_policies.tuning.space import Proposal

FILE, NAME = "study.journal", "tune"
FIRST, INSTEAD_OF = "first", "instead_of"
"""Marks of a trial: it has the settings to begin with; it repeats one that was cut off."""
PROPOSED_AT_RANDOM, COMPLETE_BEFORE_PRUNING, LEAST_FOR_IMPORTANCES = 8, 5, 8
"""Trials."""


class Study:
    """Trials of proposals, and notes."""

    def __init__(self, storage: JournalStorage, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._seed = seed
        # A run is stopped if after three tenths or later its best return so far is below the median of the others'.
        pruner = optuna.pruners.MedianPruner(COMPLETE_BEFORE_PRUNING, n_warmup_steps=3, n_min_trials=4)
        more: dict[str, Any] = {"direction": "maximize", "load_if_exists": True, "pruner": pruner}
        self._study = optuna.create_study(storage=storage, study_name=NAME, **more)
        self._repeat_what_was_cut_off()

    @classmethod
    def open(cls, folder: Path, seed: int = 0) -> Self:
        """The study in a folder, or a new one. Trials that were running when it was left are to be tried again."""
        file = folder / FILE
        if file.exists():  # a process that was killed may have left a lock, and half a line
            file.with_name(f"{FILE}.lock").unlink(missing_ok=True)
            written = file.read_bytes()
            os.truncate(file, written.rfind(b"\n") + 1)
        return cls(JournalStorage(JournalFileBackend(str(file))), seed)

    def _repeat_what_was_cut_off(self) -> None:
        for trial in self._study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            proposal = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            marks = {FIRST: True} if trial.user_attrs.get(FIRST) else {}
            self._study.enqueue_trial(proposal, user_attrs={INSTEAD_OF: trial.number, **marks})
            self._study.tell(trial.number, state=TrialState.FAIL)

    def begin_with(self, first: Proposal) -> None:
        """Try this first, if nothing has been tried."""
        if not self._study.trials:
            self._study.enqueue_trial(first, user_attrs={FIRST: True})

    def ask(self) -> Trial:
        """A new trial, of which nothing is proposed yet. What it will try depends on the study alone."""
        known = sum(trial.state != TrialState.WAITING for trial in self.trials())
        seed = int(np.random.SeedSequence([self._seed, known]).generate_state(1)[0])
        options: dict[str, Any] = {"multivariate": True, "n_startup_trials": PROPOSED_AT_RANDOM}
        self._study.sampler = optuna.samplers.TPESampler(seed=seed, **options)
        return self._study.ask()

    def complete(self, trial: Trial, value: float) -> None:
        """A trial has come to its end."""
        self._study.tell(trial, value)

    def prune(self, trial: Trial) -> None:
        """A trial was stopped early."""
        self._study.tell(trial, state=TrialState.PRUNED)

    def fail(self, trial: Trial, reason: str) -> None:
        """A trial has no value."""
        trial.set_user_attr("reason", reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def trials(self, *states: str) -> list[FrozenTrial]:
        """Trials in these states ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING"), without those cut off."""
        everyone = self._study.get_trials(deepcopy=False)
        cut_off = {trial.user_attrs.get(INSTEAD_OF) for trial in everyone}
        kept = [trial for trial in everyone if trial.number not in cut_off]
        return [trial for trial in kept if not states or trial.state.name in states]

    @property
    def env_steps(self) -> int:
        """Environment steps of all trials, those cut off included as far as they have reported."""
        return sum(trial.user_attrs.get("env_steps", 0) for trial in self._study.get_trials(deepcopy=False))

    @property
    def best(self) -> FrozenTrial | None:
        """The complete trial of the highest value; the earlier one of equals."""
        return max(self.trials("COMPLETE"), key=lambda trial: trial.values[0], default=None)

    @property
    def first(self) -> FrozenTrial:
        """The trial of the settings to begin with."""
        return next(trial for trial in self.trials() if trial.user_attrs.get(FIRST))

    @property
    def notes(self) -> dict[str, Any]:
        """JSON values kept beside the trials."""
        return self._study.user_attrs

    def note(self, name: str, value: Any) -> None:
        """Keep a JSON value."""
        self._study.set_user_attr(name, value)

    def kept(self, name: str, value: Any) -> Any:
        """A value as it was when the study began: that of the notes, or else this one, which is kept."""
        if name not in self.notes:
            self.note(name, value)
        return self.notes[name]

    def importances(self) -> dict[str, float]:
        """How much each part of a proposal decides whether a trial is in the better half; they sum to 1.

        A trial that was stopped early counts with its last report. Empty with few trials.
        """
        ended = [trial for trial in self.trials("COMPLETE", "PRUNED") if value_of(trial) is not None]
        if len(ended) < LEAST_FOR_IMPORTANCES:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            copy = optuna.create_study(direction="maximize")
            for trial in ended:
                parts: Any = {"params": trial.params, "distributions": trial.distributions}
                copy.add_trial(optuna.create_trial(value=value_of(trial), **parts))
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.5)
            return dict(optuna.importance.get_param_importances(copy, evaluator=evaluator))


def value_of(trial: FrozenTrial) -> float | None:
    """A trial's value; of one that was stopped early, its last report."""
    return trial.value if trial.value is not None else trial.intermediate_values.get(trial.last_step)  # type: ignore[arg-type]
