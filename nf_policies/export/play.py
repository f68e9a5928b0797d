"""Whole episodes of an exported policy, so that the score is that of the thing that ships."""

import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import Space

from nf_policies.export.loaded import load
from nf_policies.export.needs import ExportError
from nf_policies.export.recording import flat
from nf_policies.rollouts.score import Score
from nf_policies.tasks.make import Limit, limit_of, make_task
from nf_policies.tasks.of_file import task_of_file
from nf_policies.wording import in_short


def play(path: Path, *, episodes: int, seed: int, **told: Any) -> Score:
    """Play episodes of a file that `load` reads, one after the other; the i-th is reset with seed `seed + i`.

    Args:
        path: A .c or .onnx file.
        episodes: How many.
        seed: Of the first.
        told: What is said of the task in place of what the file says, as for `task_of_file`.
    Raises: ExportError if the file cannot be played or was made for other spaces, TaskError if there is no such task.
    """
    loaded = load(path)
    card = loaded.card
    task = task_of_file(card["task"], card.get("task_spec"), **told)
    if episodes < 1 or seed < 0:
        raise ExportError(f"A rollout needs at least one episode and a seed from 0 on, not {episodes} and {seed}.")
    returns, lengths, began = np.zeros(episodes), np.zeros(episodes, dtype=int), time.perf_counter()
    with closing(make_task(task)) as env:
        limit = Limit.of(limit_of(env))
        for side, space in (("observation", env.observation_space), ("action", env.action_space)):
            if str(space) != card[side]["space"]:
                made_for = in_short(card[side]["space"], 80)
                raise ExportError(f"{path} was made for {side}s in {made_for}, and {task} has {space}.")
        for i in range(episodes):
            obs, _ = env.reset(seed=seed + i)
            memory, over = loaded.begin(), False
            while not over:
                action, memory = loaded.step(memory, flat(obs, env.observation_space))
                obs, reward, terminated, truncated, _ = env.step(acted(action, env.action_space, path))
                returns[i] += float(reward)
                lengths[i] += 1
                over = terminated or truncated
    seconds, cut = time.perf_counter() - began, int((lengths >= limit.steps).sum())
    return Score(task.env_id, seed, returns, card["n_parameters"], int(lengths.sum()), seconds, limit, cut)


def acted(action: np.ndarray, space: Space[Any], path: Path) -> Any:
    """An exported policy's numbers as an action of its task; an ExportError if they are none."""
    with np.errstate(invalid="ignore"), suppress(ValueError):
        shaped = action.reshape(space.shape).astype(space.dtype)[()]
        if space.contains(shaped):
            return shaped
    raise ExportError(f"{path} does not act in {in_short(space)}: it gives {in_short(action)}.")
