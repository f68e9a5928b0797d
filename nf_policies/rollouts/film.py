"""Film an episode of a policy; no display is needed."""

import copy
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from nf_policies.atomic import atomic_path
from nf_policies.policies.policy import Policy
from nf_policies.tasks.description import Task, task_of
from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.make import make_task

FPS = 30
"""Frames per second where a task does not say."""


def film(policy: Policy, task: Task | str, path: Path, *, seed: int = 0, max_episode_steps: int | None = None) -> int:
    """Write a film of one whole episode.

    Args:
        policy: Not changed.
        task: As for `make_task`; it renders "rgb_array".
        path: Ends in .mp4 or .gif; written atomically.
        seed: Of the episode, as in `rollout`.
        max_episode_steps: Time limit in steps, in place of the task's own.
    Returns: Number of frames.
    Raises:
        TaskError: If the task cannot be made or has no pictures, or the packages for films are missing.
        ValueError: If the file's ending is unknown.
    """
    if path.suffix not in (".mp4", ".gif"):
        raise ValueError(f"A film is written as .mp4 or .gif, not as {path.name}.")
    try:
        import imageio.v2 as imageio
    except ModuleNotFoundError as error:
        raise TaskError('Films need the video extra: pip install "nf-policies[video]".') from error
    task = task_of(task, max_episode_steps)
    with closing(make_task(task)) as env:
        if "rgb_array" not in env.metadata.get("render_modes", ()):
            raise TaskError(f'{task.env_id} does not render "rgb_array", so it cannot be filmed.')
    with closing(make_task(task, render_mode="rgb_array")) as env:
        actor = copy.deepcopy(policy)
        fps = env.metadata.get("render_fps") or FPS
        options = {"fps": fps, "macro_block_size": 2} if path.suffix == ".mp4" else {"duration": 1000 / fps, "loop": 0}
        frames, over, start = 0, False, True
        with atomic_path(path) as temporary, imageio.get_writer(temporary, **options) as opened:
            writer: Any = opened
            obs, _ = env.reset(seed=seed)
            while not over:
                writer.append_data(np.asarray(env.render()))
                obs, _, terminated, truncated, _ = env.step(actor.act(obs, episode_start=start))
                over, start, frames = terminated or truncated, False, frames + 1
            writer.append_data(np.asarray(env.render()))
    return frames + 1
