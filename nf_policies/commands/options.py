"""What evolve and train have in common: options of a run, the task's preset, and how a run continues."""

import dataclasses
import functools
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import tyro
from rich.console import Console

from nf_policies.commands.start import OF_THE_FILE, check_start, keep_start
from nf_policies.commands.stored import CALL, NAMED, check_numbers, continued, is_limited, read_preset, without_budget
from nf_policies.runs.directory import RunError, new_run_directory
from nf_policies.runs.presets import BUDGET, Facts, preset_of, setting_names

if TYPE_CHECKING:
    from nf_policies.runs.learner import Learner
    from nf_policies.runs.session import Session

Repeated = tyro.conf.UseAppendAction[tuple[str, ...]]
OneAddress = tyro.conf.DisallowNone[tuple[str, ...] | None]
"""--ray, or --ray ADDRESS; None where it is not given."""
Switch = tyro.conf.DisallowNone[bool | None]
"""--NAME or --no-NAME; None where neither is given."""
NOT_OPTIONS = {"input_size", "output_size", "hidden_size", "input_embedding", "output_embedding", "generator"}
"""Further arguments of a field's constructor."""
OF_THE_TASK = ("env", "env_kwargs", "wrapper", "hide_velocity", "hide", "max_episode_steps")
"""Options that say which task it is."""


@dataclass(frozen=True)
class Begun:
    """A learner at its start, and what its session needs beside it."""

    options: Any
    """Resolved, with what only the task could decide."""
    learner: "Learner"
    score: Callable[..., Any]
    """As that of a `Session`."""
    playing: str = ""
    """Where the task is played, as a sentence."""
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Further arguments of the session."""


@dataclass
class RunOptions:
    """Options of a run; what is None comes from the task's preset."""

    command: ClassVar[str]
    changeable: ClassVar[tuple[str, ...]] = (*BUDGET, "patience", "target", "step_timeout", *CALL)
    """Options that a resumed run may have anew."""
    positive: ClassVar[tuple[str, ...]] = ("steps", "hidden_size", "max_episode_steps")
    """Options that are at least 1."""
    near_start: ClassVar[dict[str, Any]] = {}
    """Settings for a run that begins with a policy file: it stays near it."""

    env: tyro.conf.Positional[str | None] = None  # Gymnasium id, package.module:EnvId or file.py:EnvId, or --resume.
    env_kwargs: str | None = None  # Keyword arguments of the task as JSON, for example '{"g": 9.81}'.
    wrapper: Repeated = ()  # module:Class of a wrapper, perhaps with arguments as JSON behind it. Repeatable.
    hide_velocity: bool = False  # Hide the entries that are named velocities, as those of Gymnasium's own tasks are.
    hide: tuple[int | str, ...] = ()  # Observation entries to hide, by index or name: nf-policies envs ID lists them.
    seed: int = 0  # Seed of everything random.
    steps: int | None = None  # Stop after this many environment steps, those before --resume included.
    minutes: float | None = None  # Stop after this time, that before --resume included. Not reproducible to the bit.
    patience: float | None = None  # Stop where this share of the budget has not made the best policy better.
    target: float | None = None  # Stop when the best policy returns this much on average over 100 fresh episodes.
    field: str | None = None
    hidden_size: int | None = None  # Number of neurons.
    dynamics: str | None = None  # Of a simple field (a neural one is cubic): linear, cubic, capacity_21 or another.
    activation: str | None = None  # Nonlinearity of the potentials: tanh, sigmoid or another.
    tau: float | None = None  # Start value of the time constant, in steps.
    field_option: Repeated = ()  # NAME=VALUE: any other option of the field, for example tau_min=1. Repeatable.
    max_episode_steps: int | None = None  # Time limit in steps, instead of the registered one.
    step_timeout: float | None = None  # Seconds after which a worker that does not answer is replaced; 300 by default.
    device: str = "cpu"  # Where the field and a batched task are computed, as torch names it; the CPU suits small ones.
    start: str | None = None  # Begin with this policy file: its field, what it sees, and its parameters.
    preset: Path | None = None  # Settings from a file of nf-policies tune or presets --json, over the task's preset.
    out: Path | None = None  # Folder of the run; by default the next free runs/<task>-<command>-001.
    resume: Path | None = None  # Continue the run in this folder.
    json: bool = False  # Print one JSON object; progress stays on stderr.

    def resolved(self) -> Self:
        """The options with nothing left to fill in: those of the run to resume, or with the task's preset.

        Raises: RunError naming the option that does not fit.
        """
        self._check()
        options = continued(self) if self.resume else self._with_preset()
        options._check()
        if not is_limited(options):
            raise RunError("Nothing ends this run: give it --steps or --minutes.")
        return options

    def _check(self) -> None:
        """Refuse numbers that no run can have."""
        check_numbers(self)
        check_timeout(self)
        check_task_words(self)
        if wrong := NOT_OPTIONS & pairs(self.field_option).keys():
            raise RunError(
                f"--field-option cannot set {min(wrong)}: the task and --hidden-size decide a field's sizes."
            )

    def from_preset(self, preset: dict[str, Any]) -> dict[str, Any]:
        """Values for the options that are not given."""
        if is_limited(self):
            preset = without_budget(preset)
        return {name: value for name, value in preset.items() if getattr(self, name) is None}

    def _with_preset(self) -> Self:
        if self.env is None:
            raise RunError(f"Which task? Name a Gymnasium id, for example: nf-policies {self.command} CartPole-v1.")
        from nf_policies.commands.task import facts_of

        check_start(self)
        facts = facts_of(self)
        preset = self._preset(facts)
        of_field = preset.pop("field_option")
        kind = preset["field"] if self.field is None else self.field
        if kind != preset["field"]:  # whose size suits it alone
            preset["hidden_size"] = preset_of(self.command, "", facts)["hidden_size"] if kind == "simple" else 16
        if kind != "simple":
            of_field = {name: value for name, value in of_field.items() if name != "dynamics" and kind == "neural"}
        given = {"dynamics": self.dynamics, "activation": self.activation, "tau_init": self.tau}
        of_field |= {name: value for name, value in given.items() if value is not None} | pairs(self.field_option)
        return dataclasses.replace(self, **self.from_preset(preset), field_option=words(of_field), preset=None)

    def _preset(self, facts: Facts) -> dict[str, Any]:
        """What fills in the options that are not given: the task's preset, with the settings of a file over it."""
        assert self.env is not None
        known = "" if self.env_kwargs or self.wrapper else self.env  # or else it is another task
        preset = preset_of(self.command, known, facts, hide_velocity=self.hide_velocity)
        preset |= self.near_start if self.start else {}
        if self.preset is None:
            return preset
        settings = read_preset(self.preset, type(self))
        if self.start:  # which decides the field
            settings = {name: value for name, value in settings.items() if name not in OF_THE_FILE}
        task = {name: getattr(self, name) for name in OF_THE_TASK}
        alone = type(self)(**task, start=self.start, **as_options(settings))._with_preset().settings()
        empty = {name: None for name, value in settings.items() if value is None}
        return {**alone, **empty, "field_option": preset["field_option"] | alone["field_option"]}

    def config(self) -> dict[str, Any]:
        """What a run's folder keeps of the options."""
        return {name: value for name, value in vars(self).items() if name not in (*CALL, "preset")}

    def settings(self) -> dict[str, Any]:
        """What a preset sets, of resolved options and in its format: the one of `PRESETS` and of `--preset`."""
        values = {name: getattr(self, name) for name in setting_names(self.command)}
        return values | {name: pairs(values[name]) for name in NAMED if name in values}

    def told(self, messages: Console) -> Self:
        """These options, once what a user should know of the task has been said."""
        from nf_policies.commands.task import remarks_on, seed_globally

        seed_globally(self.seed)
        for remark in remarks_on(self):
            messages.print(remark, markup=False)
        return self

    def to_play(self) -> str:
        """What `nf-policies rollout` needs beside a policy's file, which imports nothing because the file says so."""
        env = ["--env", str(self.env)] if ":" in str(self.env) else []
        return "".join(f" {shlex.quote(word)}" for word in [*env, *(w for x in self.wrapper for w in ("--wrapper", x))])

    def session(self, learner: "Learner", score: Callable[..., Any], messages: Console, **more: Any) -> "Session":
        """The session of resolved options, in the folder of the run to resume or in a new one."""
        from nf_policies.runs.session import Session

        assert self.env is not None
        run_dir = self.resume or new_run_directory(self.out, self.env, self.command)
        more = {"to_play": self.to_play(), "prepare": functools.partial(keep_start, self), **more}
        return Session(learner, run_dir, self.command, self.config(), score, messages, **more)


def check_timeout(options: Any) -> None:
    """Refuse a time limit of steps that no worker takes."""
    if options.step_timeout is not None and options.workers == 0:
        raise RunError("--step-timeout needs --workers: only a step in another process can be given up.")


def check_task_words(options: Any) -> None:
    """Refuse, with a TaskError, words of --env-kwargs and --wrapper that say nothing."""
    if options.env_kwargs or options.wrapper:
        from nf_policies.tasks.description import keywords_of, wrappers_of

        keywords_of(options.env_kwargs)
        wrappers_of(options.wrapper)


def task_words(options: Any) -> list[str]:
    """The words of the command line that name the task, as OF_THE_TASK lists them."""
    words = [str(options.env)]
    words += [] if options.env_kwargs is None else ["--env-kwargs", options.env_kwargs]
    words += [word for wrapper in options.wrapper for word in ("--wrapper", wrapper)]
    words += ["--hide-velocity"] if options.hide_velocity else []
    words += ["--hide", *map(str, options.hide)] if options.hide else []
    limit = options.max_episode_steps
    return words if limit is None else [*words, "--max-episode-steps", str(limit)]


def searches() -> dict[str, type[RunOptions]]:
    """The commands that search for a policy, by their names. The command line imports all of them."""
    return {search.command: search for search in RunOptions.__subclasses__()}


def as_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in the format of a preset as values of options."""
    return {name: words(value) if name in NAMED else value for name, value in settings.items()}


def pairs(given: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE words as a dictionary; a value is JSON, or else a string."""
    values: dict[str, Any] = {}
    for word in given:
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise RunError(f"{word!r} is not of the form NAME=VALUE.")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def words(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The inverse of `pairs`."""
    return tuple(f"{name}={json.dumps(value)}" for name, value in values.items())
