"""Play a task of Gymnasium and our core side by side, from the same state with the same actions."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from nf_envs.base import Task
from nf_envs.classic import Acrobot, CartPole, MountainCar, MountainCarContinuous, Pendulum

TWINS = {task.twin: task for task in (CartPole, Pendulum, MountainCar, MountainCarContinuous, Acrobot)}

# States that random episodes seldom or never visit: every limit and every goal, closely from both sides.
EDGES: dict[str, list[tuple[float, ...]]] = {
    "CartPole-v1": [
        (2.38, 0.0, 0.0, 0.0),
        (2.41, 0.0, 0.0, 0.0),
        (-2.38, 0.0, 0.0, 0.0),
        (0.0, 0.0, 0.2085, 0.0),
        (0.0, 0.0, 0.2105, 0.0),
        (0.0, 0.0, -0.2105, 0.0),
    ],
    "Pendulum-v1": [(1.5, 7.8), (-1.5, -7.8), (9.0, 3.0), (-7.0, 0.0)],
    "MountainCar-v0": [
        (-1.19, -0.069),
        (-0.8, 0.0695),
        (-0.3, -0.0698),
        (0.49, 0.0125),
        (0.49, 0.0075),
        (0.498, 0.004),
        (0.51, -0.002),
        (0.58, 0.05),
    ],
    "MountainCarContinuous-v0": [
        (-1.19, -0.069),
        (-0.8, 0.0695),
        (-0.3, -0.0698),
        (0.44, 0.0125),
        (0.441, 0.0075),
        (0.448, 0.004),
        (0.46, -0.002),
        (0.58, 0.05),
    ],
    "Acrobot-v1": [
        (0.5, 0.3, 14.0, 0.0),
        (-0.5, 0.3, -14.0, 0.0),
        (0.2, 0.1, 0.0, 29.5),
        (0.2, 0.1, 0.0, -29.5),
        *((2.09 + 0.004 * i, 0.0, 0.0, 0.0) for i in range(60)),
    ],
}


def episode(
    twin: str, task: Task[Any], dtype: torch.dtype, seed: int, start: Any = None, *, reload: bool = False
) -> float:
    """Largest difference of observation and reward; infinite where the flags differ.

    Args:
        twin: Gymnasium's id.
        task: Ours.
        dtype: Of our core.
        seed: Of start and actions.
        start: A state to start from, for three steps, with actions that reach beyond the space; None for a whole
            episode from a random start.
        reload: Whether to load Gymnasium's state before every step. Without it the error of a chaotic task grows.
    """
    env = gym.make(twin, disable_env_checker=True)
    env.reset(seed=seed)
    env.action_space.seed(seed)
    inner: Any = env.unwrapped
    if start is not None:
        inner.state = np.array(start, dtype=np.float64)
    # Gymnasium holds this state in float32 from the first step on; and its float32 actions blur the others' 1e-9.
    floats = np.float32 if twin == "MountainCarContinuous-v0" else np.float64
    inner.state = np.asarray(inner.state, dtype=floats)
    state_type = type(task.initial([torch.zeros(1)] * task.draws.initial))

    def loaded(kind: torch.dtype) -> Any:
        return state_type(*(torch.tensor([float(x)], dtype=kind) for x in inner.state))

    state = loaded(dtype)
    worst, limit = 0.0, env.spec.max_episode_steps
    for step in range(1, (limit if start is None else 3) + 1):
        action = env.action_space.sample()
        if not isinstance(action, np.integer):
            action = (action * (1.0 if start is None else 1.5)).astype(floats)
        before = loaded(dtype) if reload else state
        reward, terminated, truncated = env.step(action)[1:4]
        tensor = torch.as_tensor(action)[None]
        tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
        state = task.transition(before, tensor)
        seen, expected = task.features(state), task.features(loaded(torch.float64))
        worst = max(worst, abs(task.reward(before, tensor, state).item() - reward))
        worst = max(worst, *(abs(a.item() - b.item()) for a, b in zip(seen, expected, strict=True)))
        if bool(task.terminal(state)) != terminated or (step >= limit) != truncated:
            return float("inf")
        if terminated or truncated:
            break
    env.close()
    return worst
