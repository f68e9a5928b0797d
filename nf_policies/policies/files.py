"""A policy is one file: safetensors with a JSON header. Loading never unpickles and never imports.

The header holds the format version, the field's kind and options, the spaces, the visible entries, the task id and
how the policy was made; the tensors are the field's parameters and buffers and the normaliser's statistics.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import Space, spaces
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from nf_policies.atomic import atomic_path
from nf_policies.fields import NeuralField, SimpleNeuralField
from nf_policies.fields.activations import ACTIVATIONS, PerNeuron
from nf_policies.fields.dynamics import DYNAMICS, Activation
from nf_policies.fields.field import Field
from nf_policies.policies.cells import GRU, LSTM, Cell, Memoryless
from nf_policies.policies.policy import Policy
from nf_policies.policies.spaces import UnsupportedSpaceError

FORMAT_VERSION = 1
HEADER = "nf_policies"
KINDS: dict[str, type[Field]] = {"NeuralField": NeuralField, "SimpleNeuralField": SimpleNeuralField}
CELLS: dict[str, type[Cell]] = {"GRU": GRU, "LSTM": LSTM, "Memoryless": Memoryless}


class PolicyFileError(ValueError):
    """A policy file that cannot be read; the message says which and why."""


def save_policy(policy: Policy, path: Path) -> None:
    """Write a policy to `path`, atomically. See `Policy.save`."""
    header = {
        "format_version": FORMAT_VERSION,
        "field": {"kind": type(policy.field).__name__, "options": options_of(policy.field)},
        "observation_space": space_to_json(policy.observation_space),
        "action_space": space_to_json(policy.action_space),
        "observed": policy.visible,
        "squash": getattr(policy.head, "squash", None),
        "env_id": policy.env_id,
        "dt": getattr(policy.field, "dt", None),
        "n_parameters": policy.n_parameters,
        "made_by": policy.made_by,
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in policy.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={HEADER: json.dumps(header, allow_nan=False)})


def load_policy(path: Path) -> Policy:
    """Read a policy from `path`. See `Policy.load`."""
    if not path.is_file():
        raise PolicyFileError(f"There is no policy file at {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise PolicyFileError(f"{path} is not a whole safetensors file ({error}).") from error
    if HEADER not in metadata:
        raise PolicyFileError(f"{path} is a safetensors file, but not a policy written by nf-policies.")
    try:
        header = json.loads(metadata[HEADER])
        version = header["format_version"]
        if version > FORMAT_VERSION:
            raise PolicyFileError(
                f"{path} has format version {version}, and this nf-policies reads up to {FORMAT_VERSION}: upgrade it."
            )
        policy = build(header)
        policy.to(next(tensor.dtype for name, tensor in tensors.items() if name.startswith("field.")))
        policy.load_state_dict(tensors)
    except PolicyFileError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise PolicyFileError(f"{path} does not hold a complete policy ({type(error).__name__}: {reason}).") from error
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise PolicyFileError(f"{path} holds a {name} that is not finite.")
    return policy


def build(header: dict[str, Any]) -> Policy:
    """The policy that a header describes, with start values where the tensors will go."""
    kind = header["field"]["kind"]
    options = header["field"]["options"]
    field: Field | Cell
    if kind in KINDS:
        field = KINDS[kind](**options, generator=torch.Generator())
    elif kind in CELLS:
        with torch.random.fork_rng(devices=[]):  # torch's cells draw start values from the global generator
            field = CELLS[kind](**options)
    else:
        raise ValueError(f"unknown kind of field {kind!r}")
    policy = Policy(
        field,
        space_from_json(header["observation_space"]),
        space_from_json(header["action_space"]),
        visible=header["observed"],
        env_id=header["env_id"],
        squash=header.get("squash") or "tanh",
    )
    policy.made_by = dict(header["made_by"])
    return policy


def options_of(field: Field | Cell) -> dict[str, Any]:
    """Constructor options that rebuild a field or cell of the same shape. See `field_options`."""
    if isinstance(field, Field):
        return field_options(field)
    if CELLS.get(type(field).__name__) is not type(field) or type(field.output_embedding) is not torch.nn.Linear:
        raise ValueError(f"A policy file cannot describe a {type(field).__name__} like this: save the state_dict.")
    options = {name: getattr(field, name) for name in ("input_size", "hidden_size", "output_size")}
    return options | ({"layers": field.n_layers} if isinstance(field, Memoryless) else {})


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


def space_to_json(space: Space[Any]) -> dict[str, Any]:
    """A space as plain JSON values; infinite bounds become strings."""
    if isinstance(space, spaces.Box):
        return {
            "kind": "Box",
            "low": [repr(float(x)) for x in space.low.reshape(-1)],
            "high": [repr(float(x)) for x in space.high.reshape(-1)],
            "shape": list(space.shape),
            "dtype": str(space.dtype),
        }
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": list(space.shape)}
    raise UnsupportedSpaceError(f"{type(space).__name__} cannot be stored in a policy file.")


def space_from_json(data: dict[str, Any]) -> Space[Any]:
    """The space that `space_to_json` described.

    Raises:
        KeyError, ValueError: If the description is not complete or not known.
    """
    kind = data["kind"]
    if kind == "Box":
        shape, dtype = tuple(data["shape"]), np.dtype(data["dtype"])
        low, high = (np.array(list(map(float, data[side]))).reshape(shape).astype(dtype) for side in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)
    if kind == "Discrete":
        return spaces.Discrete(data["n"], start=data["start"])
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(data["nvec"], start=data["start"])
    if kind == "MultiBinary":
        return spaces.MultiBinary(data["n"])
    raise ValueError(f"unknown space {kind!r}")
