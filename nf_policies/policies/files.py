"""A policy is one file: safetensors with a JSON header. Loading never unpickles and never imports.

The header holds the format version, the field's kind and options, the spaces, the visible entries, the task id and
how the policy was made; the tensors are the field's parameters and buffers and the normaliser's statistics.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from nf_policies.atomic import atomic_path
from nf_policies.fields import NeuralField, SimpleNeuralField
from nf_policies.fields.field import Field
from nf_policies.policies.cells import GRU, LSTM, Cell, Memoryless
from nf_policies.policies.policy import Policy
from nf_policies.policies.spaces import space_from_json, space_to_json

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
    """Constructor options that rebuild a field or cell of the same shape. See `Field.describe`."""
    if isinstance(field, Field):
        return field.describe()
    if CELLS.get(type(field).__name__) is not type(field) or type(field.output_embedding) is not torch.nn.Linear:
        raise ValueError(f"A policy file cannot describe a {type(field).__name__} like this: save the state_dict.")
    options = {name: getattr(field, name) for name in ("input_size", "hidden_size", "output_size")}
    return options | ({"layers": field.n_layers} if isinstance(field, Memoryless) else {})
