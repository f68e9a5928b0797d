"""The loop of a run: step a learner until the budget is spent, keep what it reaches, and report it."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from nf_policies.atomic import uninterrupted
from nf_policies.policies.policy import Policy
from nf_policies.runs.checkpoint import CHECKPOINT, CheckpointError, load_checkpoint, save_checkpoint
from nf_policies.runs.directory import CONFIG, claimed, remove_leftovers, to_json, write_json
from nf_policies.runs.learner import Learner
from nf_policies.runs.progress import Progress, plot_progress

CHECKPOINT_SECONDS = 2.0
Purpose = Literal["confirmation", "choice", "final"]


@dataclass
class Session:
    """One run of a learner in a folder.

    Attributes:
        learner: At its start; it continues from the folder's checkpoint if the run is resumed.
        run_dir: An existing folder.
        command: "evolve" or "train".
        config: The resolved options, stored when the run begins. Of these, "generations", "steps" (of the environment)
            and "target" (a return) end the run, if they are there.
        score: Plays a policy on the task that was asked for and gives a `Score` of `nf_policies.rollouts`; the episodes
            depend on the purpose and on the learner's iteration.
        is_twin: Whether the learner plays a twin of the task, so that the task itself must confirm a target and choose
            between the best and the last policy.
        messages: Progress for people.
        extra: Further entries of result.json.
    """

    learner: Learner
    run_dir: Path
    command: str
    config: Mapping[str, Any]
    score: Callable[[Policy, Purpose, int], Any]
    messages: Console
    is_twin: bool = False
    extra: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        self.generations, self.steps, self.target = map(self.config.get, ("generations", "steps", "target"))

    def run(self, *, resume: bool, as_json: bool) -> str:
        """Run to the end. Returns a report for people, or what result.json holds.

        Raises:
            KeyboardInterrupt: After Ctrl-C, once everything is saved.
            CheckpointError: If the run cannot be resumed.
        """
        began = time.perf_counter()
        with claimed(self.run_dir):
            if not resume:
                write_json(self.run_dir / CONFIG, {"command": self.command, **self.config})
            count, reached = self._resumed() if resume else (0, False)
            try:
                result, report = self._finish("target" if reached else self._loop(count), began)
                return to_json(result) + "\n" if as_json else report
            except KeyboardInterrupt:
                self._plot()
                self.messages.print(
                    f"Stopped. To go on: nf-policies {self.command} --resume {self.run_dir}", markup=False
                )
                raise

    def _resumed(self) -> tuple[int, bool]:
        """Load the checkpoint: the last row's count, and whether the target is reached.

        A run that ended before its first checkpoint begins anew; it is the same run.
        """
        remove_leftovers(self.run_dir)
        path = self.run_dir / CHECKPOINT
        if not path.exists():
            return 0, False
        run, numbers, tensors = load_checkpoint(path, self.learner.kind)
        try:
            self.learner.load((numbers, tensors))
            return int(run["count"]), self.target is not None and run["reached"] == self.target
        except (ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
            reason = error if type(error) is ValueError else f"{type(error).__name__}: {error}"
            raise CheckpointError(f"{path} does not fit this run: {' '.join(str(reason).split())[:300]}") from error

    def _loop(self, count: int) -> str:
        """Step the learner; the reason for stopping comes back."""
        learner, saved_at = self.learner, -math.inf
        tags = {column: learner.tags.get(column, f"{learner.kind}/{column}") for column in learner.columns}
        with closing(Progress(self.run_dir, learner.columns, tags, count)) as progress, self._bar() as show:
            reason = self._spent()
            while not reason:
                row = learner.step()
                # The target comes first: what it plays and finds belongs to the checkpoint and to the table.
                reason = "target" if self._reached() else self._spent()
                count = int(row[learner.columns[0]])
                with uninterrupted():
                    progress.write({**row, "env_steps": learner.env_steps})
                    if reason or time.monotonic() - saved_at >= CHECKPOINT_SECONDS:
                        self._save({"count": count, "reached": self.target if reason == "target" else None})
                        saved_at = time.monotonic()
                show(f"{learner.columns[0].replace('_', ' ')} {count}: {learner.line()}")
            return reason

    def _reached(self) -> bool:
        """Whether the target is reached, on the task itself too where the learner plays its twin."""
        if self.target is None or not self.learner.reached(self.target):
            return False
        if not self.is_twin:
            return True
        score = self.score(self.learner.best(), "confirmation", self.learner.iteration)
        self.learner.count(score.steps)
        return bool(score.returns.mean() >= self.target)

    def _spent(self) -> str:
        if self.generations and self.learner.iteration >= self.generations:
            return "generations"
        return "steps" if self.steps and self.learner.env_steps >= self.steps else ""

    def _save(self, run: dict[str, Any]) -> None:
        """Write the policies and a checkpoint that belongs to them."""
        self._write_policy(self.learner.best(), "best")
        self._write_policy(self.learner.last(), "policy")
        numbers, tensors = self.learner.state()
        save_checkpoint(self.run_dir / CHECKPOINT, self.learner.kind, run, numbers, tensors)

    def _write_policy(self, policy: Policy, name: str) -> None:
        made = {"command": self.command, "env_steps": self.learner.env_steps, "iteration": self.learner.iteration}
        options = {option: self.config.get(option) for option in ("seed", "max_episode_steps")}
        known = {option: value for option, value in options.items() if value is not None}
        own = policy.made_by  # the policy may be the learner's own, which must not depend on when it is saved
        policy.made_by, policy.env_id = {**made, **known, **own}, self.config["env"]
        policy.save(self.run_dir / f"{name}.safetensors")
        policy.made_by = own

    def _finish(self, reason: str, began: float) -> tuple[dict[str, Any], str]:
        """Choose the best policy, score it on fresh episodes, and write result.json. Returns it, and a report."""
        learner, best = self.learner, self.learner.best()
        if self.is_twin and reason != "target":
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
            **(self.extra or {}),
            "wall_seconds": time.perf_counter() - began,
            "stop_reason": reason,
            "run_dir": str(self.run_dir),
            "policy": str(self.run_dir / "best.safetensors"),
        }
        write_json(self.run_dir / "result.json", result)
        if problem := result.get("problem"):
            self.messages.print(f"Some returns were not finite: {problem}", markup=False)
        why = "the target is reached" if reason == "target" else f"all {reason} are done"
        return result, (
            f"{score}\n{why}: {learner.iteration:,} iterations, {learner.env_steps:,} environment steps, "
            f"{result['wall_seconds']:.1f} seconds\n"
            f"saved {result['policy']}; play it with: nf-policies rollout {result['policy']}\n"
        )

    def _plot(self) -> None:
        title = f"{self.config['env']}, {self.learner.last().n_parameters} parameters"
        plot_progress(self.run_dir, self.learner.columns, self.learner.curves, self.learner.last_panel, title=title)

    @contextmanager
    def _bar(self) -> Iterator[Callable[[str], None]]:
        """A bar on a terminal, else a line after iterations 1, 2, 5, 10, 20, 50, 100, 200, 300, ..."""
        bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.messages,
            disable=not self.messages.is_terminal,
        )
        learner = self.learner

        def used() -> tuple[float, float]:
            """All of the budget that runs out first, and how much of it is used."""
            budgets = ((self.generations, learner.iteration), (self.steps, learner.env_steps))
            return max(((total, used) for total, used in budgets if total), key=lambda b: b[1] / b[0], default=(1, 0))

        with bar:
            task = bar.add_task("", total=used()[0], completed=int(used()[1]))

            def show(line: str) -> None:
                bar.update(task, completed=int(used()[1]), description=line)
                n = learner.iteration
                if not self.messages.is_terminal and (n % 100 == 0 or n / 10 ** int(math.log10(n)) in (1, 2, 5)):
                    self.messages.print(line, markup=False)

            yield show
