"""Neural-field policies for reinforcement learning: tiny recurrent networks, evolved or trained, rolled out."""

from nf_policies.fields import NeuralField, ParameterVector, SimpleNeuralField, load_neuralfields
from nf_policies.policies import Policy, PolicyFileError, UnsupportedSpaceError, field_sizes

__all__ = [
    "NeuralField",
    "ParameterVector",
    "Policy",
    "PolicyFileError",
    "SimpleNeuralField",
    "UnsupportedSpaceError",
    "field_sizes",
    "load_neuralfields",
]
