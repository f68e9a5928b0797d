"""What SB3's callbacks find in `locals` at each step: SB3's own names, types and shapes."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from nf_policies.ppo.actor_critic import NeuralFieldPolicy
from nf_policies.ppo.buffer import each
from nf_policies.ppo.vec_env import Advance, GymnasiumVecEnv, array


def brought_by(env: VecEnv, step: Advance) -> dict[str, Any]:
    """What a step of all environments brought: `new_obs`, `rewards` and `dones` in copies of NumPy's, and `infos`."""
    infos = env.infos_of(step) if isinstance(env, GymnasiumVecEnv) else step.infos
    brought = {"new_obs": step.obs, "rewards": step.rewards, "dones": step.over}
    return {name: each(lambda part: np.array(array(part)), parts) for name, parts in brought.items()} | {"infos": infos}


def acted_of(policy: NeuralFieldPolicy, outputs: list[Tensor], actions: Tensor) -> dict[str, Any]:
    """How a policy has acted in one step.

    Args:
        policy: Whose memories gave the outputs.
        outputs: Of the actor's field and, if there is one, the critic's. Shape: (num_envs, ·) each.
        actions: As a buffer has them. Shape: (num_envs, ·).
    Returns: `actions` as sampled, (num_envs, *action_space.shape), and `clipped_actions` as the task got them, both of
        NumPy; the tensors `values`, (num_envs, 1), and `log_probs`, (num_envs,).
    """
    space: Any = policy.action_space
    latent_pi = outputs[0][:, : policy.latent_size]
    latent_vf = outputs[-1] if policy.columns is None else outputs[0][:, policy.latent_size :]
    sampled = actions.reshape(-1, *space.shape)
    if not isinstance(space, spaces.Box):
        sampled = sampled.long()
    with torch.no_grad():
        return {
            "actions": sampled.cpu().numpy(),
            "clipped_actions": policy.action_scaling(sampled).cpu().numpy().astype(space.dtype),
            "values": policy.value_net(latent_vf),
            "log_probs": policy._get_action_dist_from_latent(latent_pi).log_prob(sampled),
        }
