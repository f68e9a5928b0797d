"""Evolve the parameters of a policy with CMA-ES."""

from nf_policies.evolution.engine import Engine
from nf_policies.evolution.evolve import Evolution, Generation, quiet
from nf_policies.evolution.incumbent import Incumbent
from nf_policies.evolution.strategy import Strategy

__all__ = ["Engine", "Evolution", "Generation", "Incumbent", "Strategy", "quiet"]
