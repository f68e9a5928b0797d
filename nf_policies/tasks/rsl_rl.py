"""Environments of rsl_rl, such as those of Isaac Lab and mjlab, as a vector environment on their device."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor


class RslRlVectorEnv(VectorEnv):
    """An rsl_rl `VecEnv`, whose groups of observations lie side by side: what the actor sees, then what it does not.

        envs = RslRlVectorEnv(env, actor=["policy"], critic=["policy", "privileged"])
        FieldPPO("NeuralFieldPolicy", envs, policy_kwargs={"visible": envs.visible, "privileged_critic": True})

    Such an environment does not show the last observation of an episode that a time limit cuts, so its value is that of
    the observation before, seen once more.

    Args:
        env: With `num_envs`, `num_actions`, `device`, `max_episode_length`, `episode_length_buf` (steps so far),
            `get_observations()` and `step(actions)`, which returns observations by group, rewards, dones and extras,
            among them `time_outs`. Tensors (num_envs, ·) each.
        actor: Groups that the policy sees.
        critic: Groups that the critic sees.
        action_limit: Largest size of an action.
    Raises: ValueError naming a group that does not exist or is no list of numbers.
    """

    def __init__(
        self, env: Any, actor: Sequence[str] = ("policy",), critic: Sequence[str] = (), action_limit: float = 1.0
    ) -> None:
        self.env, self.num_envs = env, env.num_envs
        self.groups = list(dict.fromkeys((*actor, *critic)))
        shown = env.get_observations()
        sizes = [_size(shown, group) for group in self.groups]
        self.visible = list(range(sum(size for group, size in zip(self.groups, sizes, strict=True) if group in actor)))
        """Indices of the entries that the actor sees."""
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.max_episode_steps = int(env.max_episode_length)
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (sum(sizes),), np.float32)
        self.single_action_space = spaces.Box(-action_limit, action_limit, (env.num_actions,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._obs = self._side_by_side(shown)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin episodes in all environments. They were seeded when they were made."""
        self._obs = self._side_by_side(self.env.reset()[0])
        return self._obs, {}

    def stagger(self) -> Tensor:
        """Let episodes that have just begun meet the time limit in turn. Whether one is shorter for it (num_envs,)."""
        taken = torch.arange(self.num_envs, device=self.env.device) * self.max_episode_steps // self.num_envs
        self.env.episode_length_buf = taken
        return taken > 0

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all environments with actions (num_envs, num_actions)."""
        before = self._obs
        groups, rewards, dones, extras = self.env.step(actions)
        self._obs, over = self._side_by_side(groups), dones.bool()
        cut = over & extras["time_outs"].bool() if "time_outs" in extras else torch.zeros_like(over)
        return self._obs, rewards, over & ~cut, cut, {"final_obs": before}

    def close_extras(self, **_: Any) -> None:
        """Close the environments, if they can be closed."""
        if hasattr(self.env, "close"):
            self.env.close()

    def _side_by_side(self, groups: Any) -> Tensor:
        return torch.cat([groups[group] for group in self.groups], dim=-1)


def _size(shown: Any, group: str) -> int:
    if group not in shown.keys():  # noqa: SIM118 (a TensorDict takes no `in`)
        raise ValueError(f"There is no group {group!r} of observations, but {', '.join(sorted(shown.keys()))}.")
    if shown[group].dim() != 2:
        raise ValueError(f"The group {group!r} has the shape {tuple(shown[group].shape)}, and not (num_envs, ·).")
    return shown[group].shape[-1]
