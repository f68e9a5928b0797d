"""nf-policies rollout: play a saved policy."""

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from nf_policies.commands.place import batched_score, needed_twin
from nf_policies.rollouts.engine import Engine
from nf_policies.fields.field import Field
from nf_policies.policies import Policy, PolicyFileError
from nf_policies.rollouts import Recorder, Score, film, plot_recording, rollout, save_recording
from nf_policies.runs.directory import RunError
from nf_policies.tasks.batched import make_batched


@dataclass
class Rollout:
    """Play whole episodes of a saved policy on its Gymnasium task and tell what it reaches."""

    file: tyro.conf.Positional[Path]
    """Policy file, as evolve and train save it."""
    env: str | None = None
    """Task to play, a Gymnasium id or package.module:EnvId; by default the one the policy was made for."""
    episodes: int = 100
    """Number of episodes."""
    seed: int = 0
    """Seed of the first episode; the next have the seeds after it."""
    backend: Literal["gymnasium", "batched"] = "gymnasium"
    """Where to play: the task itself, or its batched twin, all episodes at once (for thousands of them)."""
    max_episode_steps: int | None = None
    """Time limit in steps, in place of the registered one."""
    video: Path | None = None
    """Film the first episode into this .mp4 or .gif (needs the video extra, but no display)."""
    record: Path | None = None
    """Save observations, actions, rewards, potentials, stimuli and activations of all steps into this .npz."""
    plot: Path | None = None
    """Draw the first episode into this picture."""
    json: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print one JSON object."""

    def run(self, messages: Console) -> None:
        """Load, play, and write what was asked for."""
        policy = Policy.load(self.file)
        env_id = self.env or policy.env_id
        if env_id is None:
            raise PolicyFileError(f"{self.file} does not say which task it is for: name one with --env.")
        recorder = Recorder() if self.record or self.plot else None
        if self.backend == "batched":
            score = self._batched(policy, env_id, messages)
        else:
            score = rollout(
                policy,
                env_id,
                episodes=self.episodes,
                seed=self.seed,
                max_episode_steps=self.max_episode_steps,
                watch=recorder,
            )
        if recorder is not None:
            recording = recorder.recording()
            if self.record:
                save_recording(recording, self.record)
            if self.plot:
                title = f"{env_id}, {policy.n_parameters} parameters"
                plot_recording(recording, self.plot, visible=policy.visible, title=title)
        if self.video:
            film(policy, env_id, self.video, seed=self.seed, max_episode_steps=self.max_episode_steps)
        if self.json:
            print(json.dumps(score.summary()))
        else:
            print(score)
            for path in (self.record, self.plot, self.video):
                if path:
                    print(f"wrote {path}")

    def _batched(self, policy: Policy, env_id: str, messages: Console) -> Score:
        """The score on the task's batched twin."""
        if self.record or self.plot:
            raise RunError("A recording or a plot needs --backend gymnasium.")
        if not isinstance(policy.field, Field):
            raise RunError(f"A {type(policy.field).__name__} is no neural field: use --backend gymnasium.")
        twin = needed_twin(env_id)
        messages.print(f"playing {twin}: {self.episodes} episodes at once", markup=False)
        with closing(make_batched(twin, max_episode_steps=self.max_episode_steps)) as envs:
            return batched_score(policy, Engine(envs, moments=False), twin, self.episodes, self.seed)
