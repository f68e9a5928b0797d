"""nf-policies evolve: evolve a policy with CMA-ES."""

import dataclasses
import json
import math
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nf_policies.evolution import Evolution, Generation, quiet
from nf_policies.evolution.checkpoint import load_checkpoint, save_checkpoint
from nf_policies.evolution.progress import ProgressLog, plot_progress
from nf_policies.evolution.strategy import Restarts
from nf_policies.fields import NeuralField, SimpleNeuralField
from nf_policies.fields.field import Field
from nf_policies.policies import Policy, field_sizes
from nf_policies.policies.spaces import ObservationEncoder
from nf_policies.policies.tasks import make_lanes, make_task, visible_entries
from nf_policies.rollouts import Score, rollout
from nf_policies.runs import CONFIG, RunError, new_run_directory, read_config, write_json

CHECKPOINT = Path("checkpoint") / "evolution.safetensors"
FINAL_EPISODES = 100
LANES_MAX = 128
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
    """Stop after this many environment steps, those before --resume included; by default 1,000,000."""
    target: float | None = None
    """Stop when the best policy returns this much on average over 100 fresh episodes."""
    population: int = 16
    """Candidates per generation."""
    episodes: int = 8
    """Episodes per candidate and generation, the same for all of a generation."""
    sigma: float = 1.0
    """First standard deviation of the search, in units of each parameter's scale."""
    restarts: Restarts = "none"
    """Restart a converged search with a larger population (ipop), or also with small local ones (bipop)."""
    field: Literal["simple", "neural"] = "simple"
    """SimpleNeuralField (all neurons interact) or NeuralField (a convolution over neurons)."""
    hidden_size: int | None = None
    """Number of neurons; by default one per output and at least 2 (simple), or 16 (neural)."""
    dynamics: Literal["linear", "cubic", "capacity_21", "capacity_21_abs", "capacity_32", "capacity_32_abs"] = "linear"
    """Potential dynamics of the simple field; the neural field's are cubic."""
    activation: Literal["tanh", "sigmoid"] = "tanh"
    """Nonlinearity of the potentials."""
    tau: float = 5.0
    """Start value of the time constant, in steps."""
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
        options = self._continued() if self.resume else self
        options._check()
        assert options.env is not None
        policy = new_policy(options)
        lanes = make_lanes(
            options.env,
            min(options.population * options.episodes, LANES_MAX),
            workers=self.workers,
            max_episode_steps=options.max_episode_steps,
        )
        with closing(lanes):
            evolution = Evolution(
                policy,
                lanes,
                seed=options.seed,
                episodes=options.episodes,
                sigma=options.sigma,
                pop_size=options.population,
                restarts=options.restarts,
            )
            if self.resume:
                run_dir = self.resume
                load_checkpoint(evolution, run_dir / CHECKPOINT)
            else:
                run_dir = new_run_directory(self.out, options.env, "evolve")
                write_json(run_dir / CONFIG, options._config())
            began = time.perf_counter()
            reason = options._until_done(evolution, run_dir, messages)
            finish(evolution, options, run_dir, reason, time.perf_counter() - began, self.json, messages)
        if reason == "interrupted":
            messages.print(f"Stopped. To go on: nf-policies evolve --resume {run_dir}", markup=False)
            raise KeyboardInterrupt

    def _until_done(self, evolution: Evolution, run_dir: Path, messages: Console) -> str:
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
                task = bar.add_task("", total=total, completed=done, generation=evolution.generation, record="-")
                while not (reason := self._spent(evolution)):
                    record = evolution.step()
                    log.write(record)
                    save_checkpoint(evolution, run_dir / CHECKPOINT)
                    line = summary(record)
                    bar.update(task, completed=self._budget(evolution)[1], generation=record.generation, record=line)
                    if not messages.is_terminal and self._mark(record.generation):
                        messages.print(f"generation {record.generation}: return {line}")
                    if self.target is not None and evolution.reached(self.target):
                        save_checkpoint(evolution, run_dir / CHECKPOINT)
                        return "target"
                return reason
        except KeyboardInterrupt:
            return "interrupted"
        finally:
            log.close()

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
        if self.env is None:
            raise RunError("Which task? Name a Gymnasium id, for example: nf-policies evolve CartPole-v1.")
        if self.generations is None and self.steps is None:
            self.steps = 1_000_000
        for name in ("generations", "steps", "episodes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RunError(f"--{name} must be at least 1, not {value}.")
        if self.workers < 0:
            raise RunError(f"--workers must be 0 or more, not {self.workers}.")

    def _config(self) -> dict[str, Any]:
        return {
            name: value for name, value in dataclasses.asdict(self).items() if name not in ("json", "resume", "out")
        }

    def _continued(self) -> "Evolve":
        """The options with which the run began, with a new budget where one is given."""
        assert self.resume is not None
        stored = read_config(self.resume)
        unknown = set(stored) - {f.name for f in dataclasses.fields(self)}
        if unknown:
            raise RunError(f"{self.resume / CONFIG} is not of an evolution: it has {', '.join(sorted(unknown))}.")
        defaults = Evolve()
        given = {
            f.name: value
            for f in dataclasses.fields(self)
            if (value := getattr(self, f.name)) != getattr(defaults, f.name)
        }
        stored["hide"] = tuple(stored.get("hide", ()))
        changed = [n for n, value in given.items() if n not in BUDGET and value != stored.get(n)]
        if changed:
            raise RunError(
                f"A run continues with the options it began with: {', '.join('--' + n for n in changed)} cannot change."
            )
        if {"generations", "steps"} & set(given):
            stored |= {"generations": None, "steps": None}
        return Evolve(**{**stored, **given})


def new_policy(options: Evolve) -> Policy:
    """The policy that evolves, with its start values."""
    assert options.env is not None
    with closing(make_task(options.env, max_episode_steps=options.max_episode_steps)) as env:
        observation_space, action_space = env.observation_space, env.action_space
    entries = ObservationEncoder(observation_space).total
    observed = visible_entries(options.env, entries, options.hide_velocity, options.hide)
    input_size, output_size = field_sizes(observation_space, action_space, observed)
    generator = torch.Generator().manual_seed(options.seed)
    field: Field
    if options.field == "neural":
        field = NeuralField(
            input_size,
            options.hidden_size or 16,
            output_size,
            activation=options.activation,
            tau_init=options.tau,
            bell_init=True,
            generator=generator,
        )
    else:
        field = SimpleNeuralField(
            input_size,
            output_size,
            options.hidden_size or max(output_size, 2),
            dynamics=options.dynamics,
            activation=options.activation,
            tau_init=options.tau,
            self_centric_init=True,
            generator=generator,
        )
    return Policy(quiet(field), observation_space, action_space, observed=observed, env_id=options.env)


def summary(record: Generation) -> str:
    """A generation in one line."""
    return (
        f"best so far {record.return_incumbent:.1f}, mean {record.return_of_mean:.1f}, sigma {record.sigma:.2g}, "
        f"{record.env_steps:,} steps, {record.steps_per_second:,.0f} steps/s"
        + (f", {record.not_finite} not finite" if record.not_finite else "")
    )


def finish(
    evolution: Evolution, options: Evolve, run_dir: Path, reason: str, seconds: float, as_json: bool, messages: Console
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
    best.made_by, mean.made_by = made_by, made_by
    best.save(run_dir / "best.safetensors")
    mean.save(run_dir / "policy.safetensors")
    plot_progress(run_dir, title=f"{options.env}, {best.n_parameters} parameters")
    if reason == "interrupted":
        return
    score = final_score(best, options)
    result = score.summary() | {
        "env_steps": evolution.env_steps,
        "evaluations": evolution.strategy.evaluations,
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


def final_score(policy: Policy, options: Evolve) -> Score:
    """A policy's score on a hundred episodes that no generation has seen."""
    assert options.env is not None
    return rollout(
        policy,
        options.env,
        episodes=FINAL_EPISODES,
        seed=options.seed + 1_000_000,
        max_episode_steps=options.max_episode_steps,
    )
