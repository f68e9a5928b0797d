"""nf-policies rollout: play a saved policy."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console

from nf_policies.runs.directory import RunError, to_json


@dataclass
class Rollout:
    """Play whole episodes of a saved policy on its Gymnasium task and report what it reaches."""

    positive = ("episodes", "max_episode_steps")

    file: tyro.conf.Positional[Path]  # Policy file, as evolve and train save it; or a .c or .onnx of export.
    env: str | None = None  # Task: a Gymnasium id or package.module:EnvId; by default the one the policy was made for.
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
        from nf_policies.policies.files import PolicyFileError
        from nf_policies.policies.policy import Policy
        from nf_policies.rollouts.film import film
        from nf_policies.rollouts.plot import plot_recording
        from nf_policies.rollouts.record import Recorder, save_recording
        from nf_policies.rollouts.score import ENVS_MAX, rollout, score_of

        check_numbers(self)
        check_timeout(self)
        if self.file.suffix in (".c", ".onnx"):
            return self._of_exported()
        policy = Policy.load(self.file)
        env_id = self.env or policy.env_id
        if env_id is None:
            raise PolicyFileError(f"{self.file} does not say which task it is for: name one with --env.")
        limit = self.max_episode_steps
        if limit is None and env_id == policy.env_id:
            stored = policy.made_by.get("max_episode_steps")
            limit = stored if isinstance(stored, int) and stored > 0 else None
        recorder = Recorder() if self.record or self.plot else None
        options: dict[str, Any] = {"episodes": self.episodes, "seed": self.seed}
        if self.backend == "gymnasium":
            options |= {"workers": self.workers, "step_timeout": self.step_timeout}
            score = rollout(policy, env_id, max_episode_steps=limit, watch=recorder, **options)
        elif recorder:
            raise RunError("A recording or a plot needs --backend gymnasium.")
        else:
            twin = batched_task(env_id, "batched", workers=self.workers) or env_id
            messages.print(f"playing {twin}: {self.episodes} episodes at once", markup=False)
            evaluator, envs, _ = played_on(twin, min(max(self.episodes, 1), ENVS_MAX), limit=limit, moments=False)
            with closing(envs):
                score = score_of(policy, evaluator, twin, **options)
        if recorder is not None:
            recording = recorder.recording()
            if self.record:
                save_recording(recording, self.record)
            if self.plot:
                title = f"{env_id}, {policy.n_parameters} parameters"
                plot_recording(recording, self.plot, visible=policy.visible, title=title)
        if self.video:
            film(policy, env_id, self.video, seed=self.seed, max_episode_steps=limit)
        if self.json:
            return to_json(score.summary()) + "\n"
        files = [f"wrote {path}" for path in (self.record, self.plot, self.video) if path]
        return "".join(f"{line}\n" for line in (score, *files))

    def _of_exported(self) -> str:
        """Play an exported policy."""
        from nf_policies.export.play import play

        if self.record or self.plot or self.video or self.backend != "gymnasium":
            raise RunError(
                "An exported policy is scored only: --video, --plot, --record and --backend need its source."
            )
        limit = {"max_episode_steps": self.max_episode_steps}
        score = play(self.file, self.env, episodes=self.episodes, seed=self.seed, **limit)
        return (to_json(score.summary()) if self.json else str(score)) + "\n"
