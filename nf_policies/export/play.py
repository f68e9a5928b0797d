"""Whole episodes of an exported policy, so that the score is that of the thing that ships."""

import time
from contextlib import closing
from pathlib import Path

import numpy as np

from nf_policies.export.loaded import load
from nf_policies.export.needs import ExportError
from nf_policies.export.recording import flat
from nf_policies.rollouts.score import Score
from nf_policies.tasks.make import make_task


def play(path: Path, env_id: str | None, *, episodes: int, seed: int, max_episode_steps: int | None = None) -> Score:
    """Play episodes of a file that `load` reads, one after the other; the i-th is reset with seed `seed + i`.

    Raises: ExportError if the file cannot be played or was made for other spaces, TaskError if there is no such task.
    """
    loaded = load(path)
    card = loaded.card
    if (task := env_id or card["task"]) is None:
        raise ExportError(f"{path} does not say which task it is for: name one with --env.")
    if episodes < 1 or seed < 0:
        raise ExportError(f"A rollout needs at least one episode and a seed from 0 on, not {episodes} and {seed}.")
    returns, steps, began = np.zeros(episodes), 0, time.perf_counter()
    with closing(make_task(task, max_episode_steps=max_episode_steps)) as env:
        for side, space in (("observation", env.observation_space), ("action", env.action_space)):
            if str(space) != card[side]["space"]:
                raise ExportError(f"{path} was made for {side}s in {card[side]['space']}, and {task} has {space}.")
        for i in range(episodes):
            obs, _ = env.reset(seed=seed + i)
            memory, over = loaded.begin(), False
            while not over:
                action, memory = loaded.step(memory, flat(obs, env.observation_space))
                space = env.action_space
                obs, reward, terminated, truncated, _ = env.step(action.reshape(space.shape).astype(space.dtype)[()])
                returns[i] += float(reward)
                over, steps = terminated or truncated, steps + 1
    return Score(task, seed, returns, card["n_parameters"], steps, time.perf_counter() - began)
