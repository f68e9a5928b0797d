"""Stub of `Field.kinds` and `Field.describe` until the branch fields is merged; then delete it and its import."""

from typing import Any

import torch

from nf_policies.fields import NeuralField, SimpleNeuralField
from nf_policies.fields.activations import ACTIVATIONS, PerNeuron
from nf_policies.fields.dynamics import DYNAMICS, Activation
from nf_policies.fields.field import Field


def field_options(field: Field) -> dict[str, Any]:
    """Constructor options that rebuild a field of the same shape, as JSON values; the numbers are in the tensors.

    Raises:
        ValueError: If the field holds a module or function of the user's own, which a file cannot describe.
    """
    learnable = dict(field.named_parameters())
    options: dict[str, Any] = {
        "input_size": field.input_size,
        "hidden_size": field.hidden_size,
        "output_size": field.output_size,
        "activation": activation_names(field),
        "tau_init": [field.tau_min + 1.0] * field.log_tau.numel(),
        "tau_learnable": "log_tau" in learnable,
        "tau_min": field.tau_min,
        "kappa_init": 0.0 if field.kappa_is_off else [1.0] * field.log_kappa.numel(),
        "kappa_learnable": "log_kappa" in learnable,
        "initial_potentials_learnable": "initial_potentials" in learnable,
        "dt": field.dt,
        "integrator": field.integrator,
        "batch_first": field.batch_first,
    }
    if isinstance(field, NeuralField):
        own = ("kernel_size", "mirrored", "padding", "channels", "pooling_norm")
        options |= {name: getattr(field, name) for name in own}
    elif isinstance(field, SimpleNeuralField):
        name = getattr(field.dynamics, "__name__", "")
        if DYNAMICS.get(name) is not field.dynamics:
            raise ValueError(
                "A policy file cannot describe potential dynamics of your own: save the state_dict instead."
            )
        options["dynamics"] = name
        if "capacity" in field.uses:
            options |= {"capacity_init": 1.0, "capacity_learnable": "log_capacity" in learnable}
    for name in ("input_embedding", "output_embedding"):
        module = getattr(field, name)
        if type(module) is not torch.nn.Linear or module.bias is not None:
            raise ValueError(f"A policy file cannot describe an {name} of your own: save the state_dict instead.")
    return options


def activation_names(field: Field) -> str | list[str]:
    """The name of a field's activation, or one name per neuron."""

    def name_of(function: Activation) -> str:
        for name, known in ACTIVATIONS.items():
            if known is function:
                return name
        raise ValueError("A policy file cannot describe an activation of your own: save the state_dict instead.")

    if isinstance(field.activation, PerNeuron):
        return [name_of(function) for function in field.activation.functions]
    return name_of(field.activation)


if not hasattr(Field, "kinds"):
    Field.kinds = {"NeuralField": NeuralField, "SimpleNeuralField": SimpleNeuralField}  # type: ignore[attr-defined]
    Field.describe = field_options  # type: ignore[attr-defined]
