"""nf-policies rollout: play a saved policy."""

import dataclasses
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro
from rich.console import Console

from nf_policies.commands.options import Repeated
from nf_policies.runs.directory import RunError, to_json

if TYPE_CHECKING:
    from nf_policies.policies.policy import Policy
    from nf_policies.tasks.description import Task


@dataclass
class Rollout:
    """Play whole episodes of a saved policy on its Gymnasium task and report what it reaches."""

    positive = ("episodes", "max_episode_steps")

    file: tyro.conf.Positional[Path]  # Policy file, as evolve and train save it; or a .c or .onnx of export.
    env: str | None = None  # Task: a Gymnasium id, package.module:EnvId or file.py:EnvId; by default the policy's own.
    env_kwargs: str | None = None  # Keyword arguments of the task as JSON; by default those of the file.
    wrapper: Repeated = ()  # module:Class of a wrapper, instead of those in the file. Repeatable.
    episodes: int = 100  # Number of episodes.
    seed: int = 0  # Seed of the first episode; the next have the seeds after it.
    backend: Literal["gymnasium", "batched"] = "gymnasium"  # The task, or its batched twin, all episodes at once.
    max_episode_steps: int | None = None  # Time limit in steps; by default the run's, or else the registered one.
    workers: int = 0  # Play in this many processes, with one environment each, which pays where a step takes long.
    step_timeout: float | None = None  # Seconds after which a worker that does not answer is replaced; 300 by default.
    video: Path | None = None  # Film the first episode into this .mp4 or .gif (needs the video extra, but no display).
    record: Path | None = None  # Save observations, actions, rewards, potentials, stimuli and activations as this .npz.
    plot: Path | None = None  # Draw the first episode into this picture.
    json: bool = False  # Print one JSON object.

    def run(self, messages: Console) -> str:
        """Load, play, and write the files. Returns the text for stdout."""
        from nf_policies.commands.backends import batched_task, played_on
        from nf_policies.commands.options import check_timeout
        from nf_policies.commands.stored import check_numbers
        from nf_policies.commands.task import seed_globally
        from nf_policies.policies.policy import Policy
        from nf_policies.rollouts.film import film
        from nf_policies.rollouts.plot import plot_recording
        from nf_policies.rollouts.record import Recorder, save_recording
        from nf_policies.rollouts.score import ENVS_MAX, rollout, score_of
        from nf_policies.tasks.faults import errors_of
        from nf_policies.tasks.side_by_side import limit_in

        check_numbers(self)
        check_timeout(self)
        if self.file.suffix in (".c", ".onnx"):
            return self._of_exported()
        policy = Policy.load(self.file)
        task = self.task_of(policy)
        if not task.as_registered:
            messages.print(f"playing {task}", markup=False)
        seed_globally(self.seed)
        recorder = Recorder() if self.record or self.plot else None
        options: dict[str, Any] = {"episodes": self.episodes, "seed": self.seed}
        with errors_of(task.env_id):
            if self.backend == "gymnasium":
                how: dict[str, Any] = {"workers": self.workers, "step_timeout": self.step_timeout}
                score = rollout(policy, task, watch=recorder, **options, **how)
            elif recorder:
                raise RunError("A recording or a plot needs --backend gymnasium.")
            else:
                twin = batched_task(task, "batched", workers=self.workers) or task.env_id
                messages.print(f"playing {twin}: {self.episodes} episodes at once", markup=False)
                lanes = min(max(self.episodes, 1), ENVS_MAX)
                evaluator, envs, _ = played_on(dataclasses.replace(task, env_id=twin), lanes, moments=False)
                with closing(envs):
                    score = score_of(policy, evaluator, twin, limit=limit_in(envs), **options)
            if self.video:
                film(policy, task, self.video, seed=self.seed)
        if recorder is not None:
            recording = recorder.recording()
            if self.record:
                save_recording(recording, self.record)
            if self.plot:
                title = f"{task.env_id}, {policy.n_parameters} parameters"
                plot_recording(recording, self.plot, visible=policy.visible, title=title)
        if self.json:
            return to_json(score.summary()) + "\n"
        files = [f"wrote {path}" for path in (self.record, self.plot, self.video) if path]
        return "".join(f"{line}\n" for line in (score, *files))

    def task_of(self, policy: "Policy") -> "Task":
        """The policy's own task, with what is said otherwise here; a TaskError names what has to be said."""
        from nf_policies.tasks.of_file import task_of_file

        more: dict[str, Any] = {name: getattr(self, name) for name in ("env", "env_kwargs", "wrapper")}
        limit = self.max_episode_steps
        if limit is None and policy.env_spec is None and self.env in (None, policy.env_id):
            stored = policy.made_by.get("max_episode_steps")  # as older files have it
            limit = stored if isinstance(stored, int) and stored > 0 else None
        return task_of_file(policy.env_id, policy.env_spec, max_episode_steps=limit, **more)

    def _of_exported(self) -> str:
        """Play an exported policy."""
        from nf_policies.export.play import play

        if self.record or self.plot or self.video or self.backend != "gymnasium":
            raise RunError(
                "An exported policy is scored only: --video, --plot, --record and --backend need its source."
            )
        told: Any = {name: getattr(self, name) for name in ("env", "env_kwargs", "wrapper", "max_episode_steps")}
        score = play(self.file, episodes=self.episodes, seed=self.seed, **told)
        return (to_json(score.summary()) if self.json else str(score)) + "\n"
