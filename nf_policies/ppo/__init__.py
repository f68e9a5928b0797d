"""Recurrent PPO on Stable-Baselines3: FieldPPO trains a NeuralFieldPolicy."""

from nf_policies.ppo.actor_critic import NeuralFieldPolicy
from nf_policies.ppo.algorithm import FieldPPO

__all__ = ["FieldPPO", "NeuralFieldPolicy"]
