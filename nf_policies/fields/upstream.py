"""Read the parameters of a model of the package neuralfields 0.5.2 (Muratore, 2023)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from nf_policies.fields.activations import PerNeuron
from nf_policies.fields.field import Field

RENAMED = {
    "potentials_to_activations.weight": "activation_scale",
    "potentials_to_activations.bias": "activation_bias",
    "prev_activations_embedding.weight": "interaction.weight",
    "resting_level": "resting_level",
    "_kappa_opt": "log_kappa",
    "_capacity_opt": "log_capacity",
}
NONLINEARITY = "potentials_to_activations.nonlin"


@torch.no_grad()
def load_neuralfields(field: Field, state_dict: Mapping[str, Tensor]) -> None:
    """Copy the `state_dict` of a neuralfields 0.5.2 model into a field built with the same options.

    Upstream's file holds neither its options nor its initial potentials: give both to the field's constructor.
    The outputs are then the same up to rounding, for explicit Euler with dt = 1 (upstream's only choice). A tau or
    kappa that upstream shares is copied to every neuron of a field that has one per neuron. What the field's
    dynamics do not use (a capacity, a kappa) is left out.

    Args:
        field: A `NeuralField` or `SimpleNeuralField` of the same sizes.
        state_dict: Of the upstream model of the same kind.
    Raises: ValueError naming the entry that is missing, unexpected or of another shape.
    """
    own = field.state_dict()
    if "kappa" in field.uses and "_kappa_opt" in state_dict:
        upstream_off = bool((state_dict["_kappa_opt"] == -torch.inf).all())
        if upstream_off != field.kappa_is_off:
            needed = "kappa_init=0" if upstream_off else "a positive kappa_init"
            raise ValueError(f"The upstream model was made with its cubic decay differently: use {needed}.")
    values: dict[str, Tensor] = {"initial_potentials": own["initial_potentials"]}
    for name, value in state_dict.items():
        if name == "_tau_opt":
            values["log_tau"] = (value.exp() + (1e-5 - field.options.tau_min)).log()
        elif name == "conv_layer.weight":
            values["kernel"] = value.squeeze(1)
        elif name.startswith(("input_embedding.", "output_embedding.")):
            values[name] = value
        elif name.startswith(NONLINEARITY):  # a module, `nonlin.weight`, or one per neuron, `nonlin_3.weight`
            own_name = "activation.neuron_" if isinstance(field.activation, PerNeuron) else "activation."
            values[own_name + name.removeprefix(NONLINEARITY)[1:]] = value
        elif name == "potentials_to_activations.bias" and "activation_bias" not in own:
            continue  # upstream keeps a zero buffer where a SimpleNeuralField has no bias
        elif name in RENAMED:
            values[RENAMED[name]] = value
        else:
            raise ValueError(f"{name} is not an entry of a neuralfields 0.5.2 model.")

    for name, target in own.items():
        if name not in values:
            raise ValueError(f"The upstream model has no {name}: was it made as another kind of field?")
        value = values[name]
        if name in ("log_tau", "log_kappa", "log_capacity"):
            value = value.reshape(-1).expand(target.shape)
        if value.shape != target.shape:
            raise ValueError(f"{name} is {tuple(value.shape)} upstream and {tuple(target.shape)} in this field.")
        if not value.isfinite().all():
            raise ValueError(
                f"{name} of the upstream model cannot be held by this field (tau_min = {field.options.tau_min})."
            )
        values[name] = value
    for name in sorted(values.keys() - own.keys() - {"log_kappa", "log_capacity"}):
        raise ValueError(f"The upstream model has {name}, and this field has not.")
    field.load_state_dict({name: values[name] for name in own})
