"""nf-policies evolve: evolve a policy with CMA-ES."""

import copy
import dataclasses
import json
import math
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nf_policies.commands.place import Backend, Place, place_of
from nf_policies.commands.resuming import configuration, continued
from nf_policies.evolution import Evolution, Generation
from nf_policies.evolution.checkpoint import load_checkpoint, save_checkpoint
from nf_policies.evolution.objective import worth_of
from nf_policies.evolution.presets import Preset, new_field, preset_of
from nf_policies.evolution.progress import ProgressLog, plot_progress
from nf_policies.evolution.strategy import Restarts
from nf_policies.fields.field import Field
from nf_policies.policies import Policy
from nf_policies.policies.spaces import ObservationEncoder
from nf_policies.runs.directory import CONFIG, RunError, new_run_directory, write_json
from nf_policies.tasks.make import make_task
from nf_policies.tasks.visible import velocities_of, visible_entries

CHECKPOINT = Path("checkpoint") / "evolution.safetensors"
FINAL_EPISODES = 100
BUDGET = {"generations", "steps", "target", "workers", "json", "resume", "out"}
"""Options that a resumed run may have anew."""


@dataclass
class Evolve:
    """Evolve a neural field with CMA-ES on a Gymnasium task and save the best policy.

    The run's folder holds best.safetensors (judged on fresh episodes), policy.safetensors (the final mean of the
    search), progress.csv, TensorBoard events, learning_curve.png and a checkpoint after each generation.
    """

    env: tyro.conf.Positional[str | None] = None
    """Task: a Gymnasium id, or package.module:EnvId. Not needed with --resume."""
    hide_velocity: bool = False
    """Hide the velocities of CartPole, MountainCar, MountainCarContinuous, Pendulum, Acrobot or LunarLander."""
    hide: tuple[int, ...] = ()
    """Indices of observation entries to hide, for any task."""
    seed: int = 0
    """Seed of everything random."""
    generations: int | None = None
    """Stop after this many generations, those before --resume included."""
    steps: int | None = None
    """Stop after this many environment steps, those before --resume included; by default the preset's."""
    target: float | None = None
    """Stop when the best policy returns this much on average over 100 fresh episodes; by default the preset's."""
    population: int | None = None
    """Candidates per generation. This and what follows is by default as the task's preset has it."""
    episodes: int | None = None
    """Episodes per candidate and generation, the same for all of a generation."""
    episodes_max: int | None = None
    """Episodes grow up to this number while chance decides which candidate looks better."""
    sigma: float | None = None
    """First standard deviation of the search, in units of each parameter's scale."""
    sigma_min: float | None = None
    """Lower bound of the standard deviation."""
    restarts: Restarts = "none"
    """Restart a converged search with a larger population (ipop), or also with small local ones (bipop)."""
    restart_after: int | None = None
    """Restart after this many generations."""
    worth: str = "mean"
    """What a candidate's returns are worth: mean, worst:K (mean of the K worst) or cvar:SHARE (of the worst share)."""
    field: Literal["simple", "neural"] | None = None
    """SimpleNeuralField (all neurons interact) or NeuralField (a convolution over neurons)."""
    hidden_size: int | None = None
    """Number of neurons; without a preset one per output and at least 2 (simple), or 16 (neural)."""
    dynamics: Literal["linear", "cubic", "capacity_21", "capacity_21_abs", "capacity_32", "capacity_32_abs"] | None = (
        None
    )
    """Potential dynamics of the simple field; the neural field's are cubic."""
    activation: Literal["tanh", "sigmoid"] | None = None
    """Nonlinearity of the potentials."""
    tau: float | None = None
    """Start value of the time constant, in steps."""
    backend: Backend = "auto"
    """Where to play: gymnasium (one environment at a time), batched (its twin, all at once), or batched if there is."""
    device: str = "cpu"
    """Device of a batched task, as torch names it."""
    engine: Literal["auto", "eager", "compiled"] = "auto"
    """How to run a batched task: compiling takes long and pays for long runs."""
    workers: int = 0
    """Play in this many processes; worth it where a step of the task takes a millisecond or more."""
    max_episode_steps: int | None = None
    """Time limit in steps, in place of the registered one."""
    out: Path | None = None
    """Folder of the run; by default the next free runs/<task>-evolve-001."""
    resume: Path | None = None
    """Continue the run in this folder, exactly as if it had not stopped."""
    json: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print one JSON object; progress stays on stderr."""

    def run(self, messages: Console) -> None:
        """Evolve until the budget is spent, the target is reached or Ctrl-C; then save, draw and tell."""
        options = self._continued() if self.resume else self._resolved()
        options._check()
        assert options.env is not None
        preset = options._preset()
        field, observation_space, action_space, visible = new_parts(options, preset)
        policy = Policy(field, observation_space, action_space, visible=visible, env_id=options.env)
        with closing(place_of(options, moments=preset.normalise)) as place:
            evolution = Evolution(
                policy,
                place.evaluator,
                seed=options.seed,
                episodes=preset.episodes,
                episodes_max=max(preset.episodes, preset.episodes_max),
                sigma=preset.sigma,
                sigma_min=preset.sigma_min,
                pop_size=preset.population,
                restarts=options.restarts,
                restart_after=preset.restart_after,
                worth=worth_of(options.worth),
                normalise=preset.normalise,
                scales=preset.scales,
            )
            if self.resume:
                run_dir = self.resume
                load_checkpoint(evolution, run_dir / CHECKPOINT)
            else:
                run_dir = new_run_directory(self.out, options.env, "evolve")
                write_json(run_dir / CONFIG, configuration(options))
            messages.print(place.told, markup=False)
            began = time.perf_counter()
            reason = options._until_done(evolution, place, run_dir, messages)
            finish(evolution, options, place, run_dir, reason, time.perf_counter() - began, self.json, messages)
        if reason == "interrupted":
            messages.print(f"Stopped. To go on: nf-policies evolve --resume {run_dir}", markup=False)
            raise KeyboardInterrupt

    def _until_done(self, evolution: Evolution, place: Place, run_dir: Path, messages: Console) -> str:
        """Evolve; the reason for stopping comes back."""
        log = ProgressLog(run_dir, evolution.generation)
        bar = Progress(
            TextColumn("generation {task.fields[generation]}"),
            BarColumn(),
            TextColumn("return {task.fields[record]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=messages,
        )
        total, done = self._budget(evolution)
        try:
            with bar:
                task = bar.add_task("", total=total, completed=int(done), generation=evolution.generation, record="-")
                while not (reason := self._spent(evolution)):
                    record = evolution.step()
                    log.write(record)
                    save_checkpoint(evolution, run_dir / CHECKPOINT)
                    line = summary(record)
                    bar.update(task, completed=self._budget(evolution)[1], generation=record.generation, record=line)
                    if not messages.is_terminal and self._mark(record.generation):
                        messages.print(f"generation {record.generation}: return {line}")
                    if self.target is not None and evolution.reached(self.target) and self._confirmed(evolution, place):
                        save_checkpoint(evolution, run_dir / CHECKPOINT)
                        return "target"
                return reason
        except KeyboardInterrupt:
            return "interrupted"
        finally:
            log.close()

    def _confirmed(self, evolution: Evolution, place: Place) -> bool:
        """Whether the target is reached on the task itself too, where a twin of it was played."""
        if not place.is_twin:
            return True
        assert self.target is not None
        score = place.score(evolution.best_policy(), FINAL_EPISODES, evolution.generation * FINAL_EPISODES + 2_000_000)
        return bool(score.returns.mean() >= self.target)

    def _resolved(self) -> "Evolve":
        """The options with the task's preset in the place of those that are not given."""
        if self.env is None:
            raise RunError("Which task? Name a Gymnasium id, for example: nf-policies evolve CartPole-v1.")
        preset = preset_of(self.env, hide_velocity=self.hide_velocity)
        names = [name for name in Preset._fields if hasattr(self, name) and getattr(self, name) is None]
        chosen = {name: getattr(preset, name) for name in names}
        if self.generations is not None and self.steps is None:
            chosen["steps"] = None
        if self.episodes is not None and self.episodes_max is None:
            chosen["episodes_max"] = self.episodes
        if self.field is not None and self.field != preset.field and self.hidden_size is None:
            chosen["hidden_size"] = None
        return dataclasses.replace(self, **chosen)

    def _preset(self) -> Preset:
        """The task's preset, with the options in place of what they say otherwise."""
        assert self.env is not None
        preset = preset_of(self.env, hide_velocity=self.hide_velocity)
        given = {name: getattr(self, name) for name in Preset._fields if hasattr(self, name)}
        return preset._replace(**{name: value for name, value in given.items() if name != "steps"})

    @staticmethod
    def _mark(generation: int) -> bool:
        """Whether a log without a terminal tells of this generation: 1, 2, 5, 10, 20, 50, 100, ..."""
        return generation / 10 ** int(math.log10(generation)) in (1, 2, 5) or generation % 100 == 0

    def _budget(self, evolution: Evolution) -> tuple[float, float]:
        """All of the budget that runs out first, and how much of it is used."""
        budgets = []
        if self.generations:
            budgets.append((self.generations, evolution.generation))
        if self.steps:
            budgets.append((self.steps, evolution.env_steps))
        return max(budgets, key=lambda b: b[1] / b[0])

    def _spent(self, evolution: Evolution) -> str:
        if self.generations and evolution.generation >= self.generations:
            return "generations"
        if self.steps and evolution.env_steps >= self.steps:
            return "steps"
        return ""

    def _check(self) -> None:
        for name in ("generations", "steps", "episodes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RunError(f"--{name} must be at least 1, not {value}.")
        if self.workers < 0:
            raise RunError(f"--workers must be 0 or more, not {self.workers}.")

    def _continued(self) -> "Evolve":
        """The options with which the run began, with a new budget where one is given."""
        options, budget = continued(self, BUDGET, "an evolution"), (self.generations, self.steps)
        if budget == (None, None):
            return options
        return dataclasses.replace(options, generations=self.generations, steps=self.steps)


def new_parts(options: Evolve, preset: Preset) -> tuple[Field, Any, Any, list[int] | None]:
    """The field that evolves, the task's spaces, and the visible entries."""
    assert options.env is not None
    with closing(make_task(options.env, max_episode_steps=options.max_episode_steps)) as env:
        observation_space, action_space = env.observation_space, env.action_space
        velocities = velocities_of(env)
    entries = ObservationEncoder(observation_space).total
    visible = visible_entries(options.env, entries, options.hide_velocity, options.hide, velocities)
    field = new_field(observation_space, action_space, preset, visible=visible, seed=options.seed)
    return field, observation_space, action_space, visible


def summary(record: Generation) -> str:
    """A generation in one line."""
    return (
        f"best so far {record.return_incumbent:.1f}, mean {record.return_of_mean:.1f}, sigma {record.sigma:.2g}, "
        f"{record.env_steps:,} steps, {record.steps_per_second:,.0f} steps/s"
        + (f", {record.not_finite} not finite" if record.not_finite else "")
    )


def finish(
    evolution: Evolution,
    options: Evolve,
    place: Place,
    run_dir: Path,
    reason: str,
    seconds: float,
    as_json: bool,
    messages: Console,
) -> None:
    """Save the policies, draw the curve, play the best one on fresh episodes, and tell."""
    assert options.env is not None
    made_by = {
        "command": "evolve",
        "generations": evolution.generation,
        "env_steps": evolution.env_steps,
        "seed": options.seed,
    }
    best, mean = evolution.best_policy(), evolution.mean_policy()
    if place.is_twin and reason not in ("target", "interrupted"):
        best = better(best, mean, place, options.seed)
    best.made_by, mean.made_by = made_by, made_by
    best.save(run_dir / "best.safetensors")
    mean.save(run_dir / "policy.safetensors")
    plot_progress(run_dir, title=f"{options.env}, {best.n_parameters} parameters")
    if reason == "interrupted":
        return
    score = place.score(best, FINAL_EPISODES, options.seed + 1_000_000)
    result = score.summary() | {
        "env_steps": evolution.env_steps,
        "evaluations": evolution.strategy.evaluations,
        "restarts": len(evolution.strategy.stop_reasons),
        "backend": place.backend,
        "not_finite": evolution.strategy.not_finite,
        "wall_seconds": seconds,
        "stop_reason": reason,
        "run_dir": str(run_dir),
        "policy": str(run_dir / "best.safetensors"),
    }
    write_json(run_dir / "result.json", result)
    if evolution.strategy.not_finite:
        messages.print(
            f"{evolution.strategy.not_finite} candidates had no finite return and ranked last: {evolution.problem}",
            markup=False,
        )
    if as_json:
        print(json.dumps(result))
        return
    why = {"target": "the target is reached", "steps": "all steps are used", "generations": "all generations are done"}
    print(f"{score}")
    print(
        f"{why[reason]}: {evolution.generation} generations, {evolution.env_steps:,} environment steps, "
        f"{seconds:.1f} seconds"
    )
    print(f"saved {run_dir / 'best.safetensors'}; play it with: nf-policies rollout {run_dir / 'best.safetensors'}")


def better(best: Policy, mean: Policy, place: Place, seed: int) -> Policy:
    """The better one of the incumbent and the mean of the search, on the task itself and not on its twin."""
    scores = [place.score(policy, FINAL_EPISODES, seed + 3_000_000).returns.mean() for policy in (best, mean)]
    return copy.deepcopy(mean) if scores[1] > scores[0] else best
