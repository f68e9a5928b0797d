"""nf-policies tune: search for better settings of train or evolve on a task."""

import dataclasses
import math
import shlex
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import tyro
from rich.console import Console

from nf_policies.atomic import remove_leftovers
from nf_policies.commands.options import OF_THE_TASK, Repeated, as_options, check_task_words, searches, task_words
from nf_policies.commands.stored import CALL, check_numbers, continued
from nf_policies.runs.directory import CONFIG, RunError, new_run_directory, to_json, write_json
from nf_policies.runs.lock import claimed
from nf_policies.stopping import listening, way_on

if TYPE_CHECKING:
    from nf_policies.tuning.search import Plan


STEPS = {"train": 300_000, "evolve": 1_000_000}
"""Of a run at least, where the settings without options end it otherwise: a hundred updates or generations."""
PLAYED = {"train": ("num_envs", "n_steps"), "evolve": ("population", "episodes", "horizon")}
"""Options whose product are the steps of the first update or generation."""


@dataclass
class Tune:
    """Search for better settings of train or evolve on a task, with Optuna.

    Trial 0 has the settings that are used without options. Runs whose learning curve is poor are stopped early; a
    trial that beats the best so far is repeated with more seeds, and its value is their mean. In the end, the best
    settings and those of trial 0 meet on fresh seeds. The folder holds preset.json (for --preset of train or evolve),
    importance.png, result.json and study.journal.
    """

    command: ClassVar[str] = "tune"
    changeable: ClassVar[tuple[str, ...]] = ("trials", "minutes", "workers", *CALL)
    positive: ClassVar[tuple[str, ...]] = ("trials", "seeds", "workers", "steps", "max_episode_steps")

    env: tyro.conf.Positional[str | None] = (
        None  # Gymnasium id, package.module:EnvId or file.py:EnvId. Not with --resume.
    )
    env_kwargs: str | None = None  # Keyword arguments of the task as JSON, as with train and evolve.
    wrapper: Repeated = ()  # module:Class of a wrapper, as with train and evolve. Repeatable.
    learner: Literal["train", "evolve"] = "train"  # Whose settings.
    trials: int = 50  # Stop after this many trials, those before --resume included.
    minutes: float | None = None  # Begin no trial after this many minutes; what runs is played to its end.
    steps: int | None = None  # Environment steps of each run; by default those that the learner has without options.
    seeds: int = 3  # Of a trial that promises, and of the comparison.
    only: tuple[str, ...] = ()  # Search these settings only, such as learning_rate and hidden_size.
    workers: int | None = None  # Runs side by side, in a process each; by default the number of cores.
    hide_velocity: bool = False  # As with train and evolve.
    hide: tuple[int | str, ...] = ()  # Observation entries to hide, by index or name: nf-policies envs ID lists them.
    max_episode_steps: int | None = None  # Time limit in steps, instead of the registered one.
    seed: int = 0  # The first seed of the runs, and of the proposals.
    out: Path | None = None  # Folder of the search; by default the next free runs/<task>-tune-001.
    resume: Path | None = None  # Continue the search in this folder.
    json: bool = False  # Print one JSON object; progress stays on stderr.

    def run(self, messages: Console) -> str:
        """Search until the budget is spent or Ctrl-C, then compare. Returns the text for stdout."""
        options: Tune = continued(self) if self.resume else self
        options._check()
        try:
            from nf_policies.tuning.report import PRESET, draw, result_of, text_of, write_preset
            from nf_policies.tuning.search import Search, compare
            from nf_policies.tuning.study import Study
        except ModuleNotFoundError as error:
            if error.name != "optuna":
                raise
            raise RunError("nf-policies tune needs Optuna: pip install 'nf-policies[tune]'.") from error
        from nf_policies.commands.task import cores
        from nf_policies.tuning.space import start_of
        from nf_policies.tuning.workers import Workers

        began, env_id, learner = time.perf_counter(), str(options.env), options.learner
        plan = options.plan()
        run_dir = options.resume or new_run_directory(options.out, env_id, self.command)
        with ExitStack() as around:
            around.enter_context(listening())
            around.enter_context(claimed(run_dir, new=options.resume is None))
            remove_leftovers(run_dir)
            config = {name: value for name, value in vars(options).items() if name not in CALL}
            write_json(run_dir / CONFIG, {"command": self.command, **config})
            around.enter_context(way_on(f"nf-policies tune --resume {shlex.quote(str(run_dir))}"))
            study = Study.open(run_dir, plan.seed)
            plan = dataclasses.replace(plan, start=study.kept("start", plan.start))  # whatever has become the default
            study.begin_with(start_of(plan.space, plan.start))
            search = Search(study, plan, lambda line: messages.print(line, markup=False))
            try:
                with Workers(options.workers or cores()) as workers:
                    reason = search.run(workers)
                    compared = compare(study, plan, workers)
            finally:
                write_preset(run_dir, study, plan, learner, env_id)
                draw(run_dir, study, f"{env_id}, {learner}")
            result = result_of(study, plan, compared) | {
                "env_id": env_id,
                "learner": learner,
                "stop_reason": reason,
                "wall_seconds": time.perf_counter() - began,
                "run_dir": str(run_dir),
                "preset": str(run_dir / PRESET),
            }
            write_json(run_dir / "result.json", result)
            play = shlex.join(["nf-policies", options.learner, *task_words(options)])
            return to_json(result) + "\n" if self.json else text_of(result, plan, play)

    def plan(self) -> "Plan":
        """What these options search. A TaskError or a RunError if there is nothing to search."""
        from nf_policies.commands.task import shown
        from nf_policies.tuning.search import Plan
        from nf_policies.tuning.space import space_of

        task = {name: getattr(self, name) for name in OF_THE_TASK}
        search = searches()[self.learner]
        if (steps := self.steps) is None:
            first = search(**task).resolved()
            played = math.prod(getattr(first, name) or 1 for name in PLAYED[self.learner])
            steps = first.steps or max(STEPS[self.learner], 100 * played)
        base = search(**task, steps=steps).resolved()
        start = base.settings() | {"steps": steps}

        def with_settings(settings: dict[str, Any], seed: int) -> Any:
            # A target would end a run early, and the sooner one would not be told from the better one. The runs
            # themselves keep all cores busy.
            of_run = {"seed": seed, "steps": steps, "target": None, "workers": 0}
            return dataclasses.replace(base, **as_options(settings) | of_run)

        return Plan(
            space=space_of(self.learner, discrete=shown(base).discrete, only=self.only),
            start=start,
            with_settings=with_settings,
            steps=steps,
            trials=self.trials,
            seconds=math.inf if self.minutes is None else 60 * self.minutes,
            seeds=self.seeds,
            seed=self.seed,
        )

    def _check(self) -> None:
        """A RunError naming the option that does not fit."""
        if self.env is None:
            raise RunError("Which task? Name a Gymnasium id, for example: nf-policies tune CartPole-v1.")
        check_numbers(self)
        check_task_words(self)
