"""The loop of a run: step a learner until the budget is spent, keep what it reaches, and report it."""

import math
import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from nf_policies.atomic import remove_leftovers
from nf_policies.runs.checkpoint import CHECKPOINT, CheckpointError, load_checkpoint, save_checkpoint
from nf_policies.runs.directory import CONFIG, to_json, write_json
from nf_policies.runs.learner import Learner, Policy
from nf_policies.runs.lock import claimed
from nf_policies.runs.presets import BUDGET
from nf_policies.runs.progress import Progress, plot_progress
from nf_policies.stopping import check, listening, uninterrupted, way_on
from nf_policies.wording import in_short, reason_of

CHECKPOINT_SECONDS = 2.0
Purpose = Literal["confirmation", "choice", "final"]
WHY = {
    "target": "the target is reached",
    "minutes": "the minutes are over",
    "patience": "nothing was gained with the last {:.0%} of the budget",
}
"""Reasons to stop, in words."""


@dataclass
class Session:
    """One run of a learner in a folder."""

    learner: Learner
    """At its start; it continues from the folder's checkpoint if the run is resumed."""
    run_dir: Path
    command: str
    config: Mapping[str, Any]
    """The resolved options. "generations", "steps" (of the environment), "minutes", "target" (a return) and "patience"
    (the share of the budget in which the best policy must have got better) end the run."""
    score: Callable[[Any, Purpose, int], Any]
    """Plays a policy on the task that was asked for and gives a `Score` of `nf_policies.rollouts`; the episodes depend
    on the purpose and on the learner's iteration."""
    messages: Console
    is_twin: bool = False
    """Whether the learner plays a twin of the task. The task itself then confirms a target, and chooses between the
    best and the last policy."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further entries of result.json."""
    prepare: Callable[[Path], None] = lambda run_dir: None
    """Puts what a new run needs beside its options into its folder."""
    env_spec: dict[str, Any] | None = None
    """Gymnasium's description of the task, for the policies' files."""
    to_play: str = ""
    """Words that `nf-policies rollout` needs behind a policy's file."""
    _seconds: float = 0.0
    """Of the run before it was resumed."""
    _improved: dict[str, float] = field(default_factory=lambda: {"at": 0})
    """The learner's `improved_at`, and what of each budget was used when it was first seen."""

    def run(self, *, resume: bool, as_json: bool) -> str:
        """Run to the end. Returns a report for people, or what result.json holds.

        Raises: CheckpointError if the run cannot be resumed. Whatever ends it otherwise, `Stopped` after Ctrl-C and an
            OSError after a full disk among others, has the command that goes on as its note.
        """
        self._began = time.monotonic()
        with listening(), claimed(self.run_dir, new=not resume):
            for folder in (self.run_dir, self.run_dir / CHECKPOINT.parent):
                remove_leftovers(folder)
            if not resume:
                self.prepare(self.run_dir)
                write_json(self.run_dir / CONFIG, {"command": self.command, **self.config})
            count, reached = self._resumed() if resume else (0, False)
            with way_on(f"nf-policies {self.command} --resume {shlex.quote(str(self.run_dir))}"):
                try:
                    result, report = self._finish("target" if reached else self._loop(count))
                except KeyboardInterrupt:
                    with suppress(OSError):
                        self._plot()
                    raise
            return to_json(result) + "\n" if as_json else report

    def _resumed(self) -> tuple[int, bool]:
        """Load the checkpoint, if there is one yet: the last row's count, and whether the target is reached."""
        path = self.run_dir / CHECKPOINT
        if not path.exists():
            return 0, False
        run, numbers, tensors = load_checkpoint(path, self.learner.kind)
        try:
            self.learner.load((numbers, tensors))
            self._seconds, self._improved = run.get("seconds", 0.0), run.get("improved", self._improved)
            return int(run["count"]), run["reached"] is not None and run["reached"] == self.config.get("target")
        except Exception as error:  # whatever a damaged state makes go wrong
            reason = in_short(error) if type(error) is ValueError else reason_of(error)
            raise CheckpointError(f"{path} does not fit this run: {reason}") from error

    def _loop(self, count: int) -> str:
        """Step the learner; the reason for stopping comes back."""
        learner, messages, saved_at = self.learner, self.messages, -math.inf
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        bar = Bar(*columns, console=messages, disable=not messages.is_terminal)
        with closing(Progress(self.run_dir, learner, count)) as progress, bar:
            used, reason = self._used()
            task = bar.add_task("", total=1.0, completed=used)  # type: ignore[arg-type]
            while not reason:
                check()
                row = dict(learner.step(used))
                used, reason = self._used()
                if reason:
                    row |= learner.conclude()
                # The target comes first: what it plays and finds belongs to the checkpoint and to the table.
                reason = "target" if self._reached() else reason
                count = int(row[learner.columns[0]])
                with uninterrupted():
                    progress.write({**row, "env_steps": learner.env_steps})
                    if reason or time.monotonic() - saved_at >= CHECKPOINT_SECONDS:
                        self._save(count, reason)
                        saved_at = time.monotonic()
                line, n = f"{learner.columns[0].replace('_', ' ')} {count}: {learner.line()}", learner.iteration
                bar.update(task, completed=used, description=line)
                # Without a terminal, a line after iterations 1, 2, 5, 10, 20, 50, 100, 200, 300, ...
                if bar.disable and (n % 100 == 0 or n / 10 ** int(math.log10(n)) in (1, 2, 5)):
                    messages.print(line, markup=False)
        return reason

    def _reached(self) -> bool:
        """Whether the target is reached, on the task itself too where the learner plays its twin."""
        target = self.config.get("target")
        if target is None or not self.learner.reached(target):
            return False
        if not self.is_twin:
            return True
        score = self.score(self.learner.best(), "confirmation", self.learner.iteration)
        self.learner.count(score.steps)
        return bool(score.returns.mean() >= target)

    def _used(self) -> tuple[float, str]:
        """How much of the budget is used, from 0 to 1, and why the run is over, if it is."""
        learner, budgets = self.learner, [name for name in BUDGET if self.config.get(name)]
        done = {"generations": learner.iteration, "steps": learner.env_steps, "minutes": self._elapsed() / 60}
        if learner.improved_at != self._improved["at"]:
            self._improved = {"at": learner.improved_at} | {name: done[name] for name in budgets}
        shares = {name: done[name] / self.config[name] for name in budgets}
        before = max((self._improved.get(name, 0) / self.config[name] for name in budgets), default=0.0)
        used = max(shares.values(), default=0.0)
        if used >= 1:
            return 1.0, max(shares, key=lambda name: shares[name])
        return used, "patience" if used >= before + (self.config.get("patience") or 1) else ""

    def _elapsed(self) -> float:
        """Seconds of the run, those before it was resumed included."""
        return self._seconds + time.monotonic() - self._began

    def _save(self, count: int, reason: str) -> None:
        """Write the policies and a checkpoint that belongs to them."""
        self._write_policy(self.learner.best(), "best")
        self._write_policy(self.learner.last(), "policy")
        run = {
            "count": count,
            "reached": self.config["target"] if reason == "target" else None,
            "seconds": self._elapsed() if self.config.get("minutes") else 0.0,
            "improved": self._improved,
            "config": dict(self.config),
        }
        save_checkpoint(self.run_dir / CHECKPOINT, self.learner.kind, run, *self.learner.state())

    def _write_policy(self, policy: Policy, name: str) -> None:
        made = {"command": self.command, "env_steps": self.learner.env_steps, "iteration": self.learner.iteration}
        options = {option: self.config.get(option) for option in ("seed", "max_episode_steps")}
        known = {option: value for option, value in options.items() if value is not None}
        own = policy.made_by  # the policy may be the learner's own, which must not depend on when it is saved
        policy.made_by, policy.env_id, policy.env_spec = {**made, **known, **own}, self.config["env"], self.env_spec
        policy.save(self.run_dir / f"{name}.safetensors")
        policy.made_by = own

    def _finish(self, reason: str) -> tuple[dict[str, Any], str]:
        """Choose the best policy, score it on fresh episodes, and write result.json. Returns it, and a report."""
        learner, best = self.learner, self.learner.best()
        if (self.is_twin or not learner.is_judged) and reason != "target":
            rivals = [best, learner.last()]
            scores = [self.score(policy, "choice", learner.iteration) for policy in rivals]
            for score in scores:
                learner.count(score.steps)
            best = rivals[int(scores[1].returns.mean() > scores[0].returns.mean())]
            self._write_policy(best, "best")
        self._plot()
        score = self.score(best, "final", 0)
        result = score.summary() | {
            "env_steps": learner.env_steps,
            **learner.summary(),
            **self.extra,
            "wall_seconds": self._elapsed(),
            "stop_reason": reason,
            "run_dir": str(self.run_dir),
            "policy": str(self.run_dir / "best.safetensors"),
        }
        write_json(self.run_dir / "result.json", result)
        if problem := result.get("problem"):
            self.messages.print(f"Some returns were not finite: {problem}", markup=False)
        why = WHY.get(reason, f"all {reason} are done").format(self.config.get("patience"))
        return result, (
            f"{score}\n{why}: {learner.iteration:,} iterations, {learner.env_steps:,} environment steps, "
            f"{result['wall_seconds']:.1f} seconds\n"
            f"saved {result['policy']}; play it with: nf-policies rollout {result['policy']}{self.to_play}\n"
        )

    def _plot(self) -> None:
        title = f"{self.config['env']}, {self.learner.last().n_parameters} parameters"
        plot_progress(self.run_dir, self.learner, title)
