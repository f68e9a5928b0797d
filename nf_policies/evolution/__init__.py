"""Evolve the parameters of a policy with CMA-ES."""

from nf_policies.evolution.evolution import Evolution, Generation, quiet
from nf_policies.evolution.objective import Incumbent
from nf_policies.evolution.strategy import Strategy
from nf_policies.rollouts.engine import Engine

__all__ = ["Engine", "Evolution", "Generation", "Incumbent", "Strategy", "quiet"]
