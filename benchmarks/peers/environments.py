"""A task as a peer sees it: the same entries of the observation that our policies see."""

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import DtypeObservation, FlattenObservation

from nf_policies.commands.task import visible_of
from nf_policies.tasks.make import make_task


class Visible(gym.ObservationWrapper):
    """Show these entries of a Box observation only."""

    def __init__(self, env: gym.Env, entries: list[int]) -> None:
        super().__init__(env)
        self.entries, space = entries, env.observation_space
        assert isinstance(space, gym.spaces.Box)
        low, high = (side[entries].astype(np.float32) for side in (space.low, space.high))
        self.observation_space = gym.spaces.Box(low, high, dtype=np.float32)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The entries, in their order."""
        return observation[self.entries].astype(np.float32)


class Masked(gym.ObservationWrapper):
    """Set the other entries of a Box observation to zero, as RL Baselines3 Zoo does."""

    def __init__(self, env: gym.Env, entries: list[int]) -> None:
        super().__init__(env)
        self.mask = np.zeros(env.observation_space.shape or (), np.float32)
        self.mask[entries] = 1

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The entries in their places."""
        return observation * self.mask


def make_view(task: str, view: str) -> gym.Env:
    """An environment that shows everything, or hides the velocities; one-hot where observations are discrete."""
    env = make_task(task)
    if not isinstance(env.observation_space, gym.spaces.Box):
        env = DtypeObservation(FlattenObservation(env), np.float32)
    if view == "all":
        return env
    entries = visible_of(env, task, hide_velocity=True)
    assert entries is not None
    return Visible(env, entries)
