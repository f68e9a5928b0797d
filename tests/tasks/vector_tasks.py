"""Tasks that have only a vector environment, in each mode of autoreset: lanes that count their steps."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

LENGTH = 5


class CountingLanes(VectorEnv):
    """Observe the step of the episode; the reward is the step. Episodes terminate after `LENGTH` steps."""

    single_observation_space = spaces.Box(0, LENGTH, (1,), np.float32)
    single_action_space = spaces.Discrete(2)

    def __init__(self, num_envs: int, mode: str, max_episode_steps: int | None = None) -> None:
        self.num_envs, self.mode = num_envs, AutoresetMode[mode]
        self.metadata = {"autoreset_mode": self.mode}
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)

    def _obs(self) -> np.ndarray:
        return self.t[:, None].astype(np.float32)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict]:
        mask = (options or {}).get("reset_mask")
        if mask is None:
            self.t, self.over = np.arange(self.num_envs) % LENGTH, np.zeros(self.num_envs, bool)
        else:
            self.t[mask], self.over[mask] = 0, False
        return self._obs(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:
        assert not (self.over.any() and self.mode == AutoresetMode.DISABLED)
        resets = self.over.copy() if self.mode == AutoresetMode.NEXT_STEP else np.zeros(self.num_envs, bool)
        self.t = np.where(resets, 0, self.t + 1)
        rewards, self.over, infos = np.where(resets, 0, self.t), self.t >= LENGTH, {}
        terminated = self.over.copy()
        if self.mode == AutoresetMode.SAME_STEP and terminated.any():
            final = np.full(self.num_envs, None)
            for i in np.flatnonzero(terminated):
                final[i] = self._obs()[i]
            infos = {"final_obs": final, "_final_obs": terminated}
            self.t = np.where(terminated, 0, self.t)
        return self._obs(), rewards.astype(np.float64), terminated, np.zeros(self.num_envs, bool), infos


for autoreset in AutoresetMode:
    gym.register(
        f"lanes/{autoreset.name}-v0",
        vector_entry_point=f"{__name__}:CountingLanes",
        kwargs={"mode": autoreset.name},
        max_episode_steps=20,
    )
