"""The environments that a command trains in: a task's own batched form where it has one, else side by side."""

import functools
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from nf_policies.tasks.batched import is_batched, make_batched
from nf_policies.tasks.make import make_task


def training_envs(
    env_id: str, num_envs: int, *, device: str = "cpu", max_episode_steps: int | None = None
) -> VectorEnv:
    """Environments of one task that begin the next episode within the same step.

    Args:
        env_id: Gymnasium id, `package.module:EnvId` included.
        num_envs: Number of environments.
        device: Where a batched task is played, as torch names it.
        max_episode_steps: Time limit in steps, in place of the registered one.
    Raises: TaskError as `make_task`.
    """
    make = functools.partial(make_task, env_id, max_episode_steps=max_episode_steps)
    single = make()  # tells what is wrong with an id, and imports its module
    single.close()
    if single.spec is not None and is_batched(single.spec.id):
        # The policy's actions are within the space, and what is not finite is found in what they bring.
        options: Any = {"device": device, "max_episode_steps": max_episode_steps, "check_actions": False}
        return make_batched(single.spec.id, num_envs, **options)
    if single.spec is not None and single.spec.vector_entry_point is not None:
        limit: dict[str, Any] = {} if max_episode_steps is None else {"max_episode_steps": max_episode_steps}
        batched = gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", **limit)
        if batched.metadata.get("autoreset_mode") == AutoresetMode.SAME_STEP:
            return batched
        batched.close()
    return SyncVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
