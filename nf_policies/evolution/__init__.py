"""Evolve the parameters of a policy with CMA-ES."""

from nf_policies.evolution.evolution import Evolution
from nf_policies.evolution.generation import Generation
from nf_policies.evolution.objective import Incumbent
from nf_policies.evolution.start import quiet, start_field
from nf_policies.evolution.strategy import Strategy

__all__ = ["Evolution", "Generation", "Incumbent", "Strategy", "quiet", "start_field"]
