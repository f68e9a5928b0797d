"""Neural fields: tiny recurrent networks of potentials with lateral interaction."""

from nf_policies.fields.neural_field import NeuralField
from nf_policies.fields.parameters import ParameterVector
from nf_policies.fields.simple import SimpleNeuralField
from nf_policies.fields.stepper import Stepper
from nf_policies.fields.upstream import load_neuralfields

__all__ = ["NeuralField", "ParameterVector", "SimpleNeuralField", "Stepper", "load_neuralfields"]
