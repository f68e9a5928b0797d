"""Recurrent PPO on Stable-Baselines3: FieldPPO trains a NeuralFieldPolicy."""

from nf_policies.ppo.algorithm import FieldPPO
from nf_policies.ppo.policy import NeuralFieldPolicy

__all__ = ["FieldPPO", "NeuralFieldPolicy"]
