"""The pole balancing of neuroevolution: one pole or two, damping fitness, generalisation test."""

from nf_envs.balance.damping import DoublePoleDamping, damping_fitness
from nf_envs.balance.double_pole import DoublePole
from nf_envs.balance.generalisation import generalisation, generalisation_starts
from nf_envs.balance.single_pole import SinglePole

__all__ = [
    "DoublePole",
    "DoublePoleDamping",
    "SinglePole",
    "damping_fitness",
    "generalisation",
    "generalisation_starts",
]
