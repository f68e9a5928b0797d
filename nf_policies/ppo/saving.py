"""A model is one file: safetensors with a JSON header. Reading it executes nothing.

The header holds the constructor's arguments, the spaces and the counters; the tensors are parameters, the optimiser's
state, statistics and random numbers. Objects of the user's own cannot be held: `load` takes them as arguments.
"""

import inspect
import json
import warnings
import zipfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from stable_baselines3 import PPO
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, check_for_correct_spaces
from torch import Tensor

from nf_policies.atomic import atomic_path
from nf_policies.policies.files import space_from_json, space_to_json

VERSION = 1
HEADER = "nf_policies_model"
COUNTS = ("num_timesteps", "_n_updates", "_current_progress_remaining", "_total_timesteps", "_num_timesteps_at_start")
OPTIMIZER = "policy.optimizer"
NOT_KEPT = {"self", "policy", "env", "device", "policy_kwargs", "ppo_kwargs", "rollout_buffer_class"}
NOT_KEPT |= {"rollout_buffer_kwargs", "_init_setup_model"}


class ModelFileError(ValueError):
    """A model's file that cannot be read; the message says which and why."""


def path_of(path: Any) -> Path:
    """Where a model is written: with the suffix .safetensors if none is given."""
    return Path(path) if Path(path).suffix else Path(path).with_suffix(".safetensors")


def save(model: Any, path: Any) -> None:
    """Write a model of FieldPPO. See `FieldPPO.save`."""
    path = path_of(path)
    cls = type(model)
    arguments, missing = arguments_of(model, cls.__init__, PPO.__init__)
    if model.policy_class is not cls.policy_aliases["NeuralFieldPolicy"]:
        missing.insert(0, "policy")
    if missing:
        warnings.warn(
            f"{path} cannot hold {', '.join(missing)}, which is a function or class of your own: give it to "
            f"{cls.__name__}.load.",
            stacklevel=3,
        )
    numbers, tensors = state_of(model)
    space = {name: space_json(getattr(model, name)) for name in ("observation_space", "action_space")}
    write(path, {"arguments": arguments, "missing": missing, "n_envs": model.n_envs, **space, **numbers}, tensors)


def load(cls: Any, path: Any, env: Any, device: Any, given: dict[str, Any]) -> Any:
    """Read a model of a class. See `FieldPPO.load`."""
    path = path_of(path)
    header, tensors = read(path)
    arguments = header["arguments"] | given
    arguments["policy_kwargs"] = header["arguments"]["policy_kwargs"] | given.get("policy_kwargs", {})
    known = {*given, *(f"policy_kwargs[{name!r}]" for name in arguments["policy_kwargs"])}
    if missing := [name for name in header["missing"] if name not in known]:
        raise ModelFileError(f"{path} does not hold {', '.join(missing)}: give it to {cls.__name__}.load.")
    arguments.setdefault("policy", "NeuralFieldPolicy")
    model = cls(env=env, device=device, _init_setup_model=False, **arguments)
    stored = [space_of(header[name]) for name in ("observation_space", "action_space")]
    if env is None:
        model.observation_space, model.action_space = stored
        model.n_envs = header["n_envs"]
    else:
        check_for_correct_spaces(model.env, *stored)
    model._setup_model()
    load_state(model, header, tensors)
    return model


def state_of(model: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Everything that a model has learned and counted, as JSON values and tensors."""
    numbers, tensors = pack(model.get_parameters())
    numbers["counts"] = {name: getattr(model, name) for name in COUNTS}
    numbers["episodes"] = [{key: float(value) for key, value in info.items()} for info in model.ep_info_buffer or ()]
    return numbers, tensors | {f"random/{i}": state for i, state in enumerate(model.random.states)}


def load_state(model: Any, numbers: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Bring a fresh model to a state.

    Raises: ValueError if it is of a model of another shape.
    """
    try:
        model.set_parameters(unpack(numbers, tensors))
        vars(model).update({name: numbers["counts"][name] for name in COUNTS})
        model.ep_info_buffer = deque(numbers["episodes"], maxlen=model._stats_window_size)
        model.ep_success_buffer = deque(maxlen=model._stats_window_size)
        model.random.states = [tensors.get(f"random/{i}", state) for i, state in enumerate(model.random.states)]
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"This is the state of another model ({' '.join(str(error).split())}).") from error


def write(path: Path, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write a model's file atomically."""
    kept = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(kept, temporary, metadata={HEADER: json.dumps({"version": VERSION, **header})})


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what `write` has written.

    Raises: ModelFileError if the file is missing, damaged or of another kind.
    """
    if not path.is_file():
        raise ModelFileError(f"There is no model at {path}.")
    if zipfile.is_zipfile(path):
        raise ModelFileError(
            f"{path} is a zip file of Stable-Baselines3, and reading one can execute code: load it with the version "
            "that wrote it and keep its policy with export_policy."
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if header["version"] != VERSION:
            raise ModelFileError(f"{path} has version {header['version']}, this nf-policies reads {VERSION}.")
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{path} is not a model of FieldPPO ({' '.join(str(error).split())}).") from error
    return header, tensors


def pack(parameters: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `get_parameters` returned as JSON values and tensors."""
    tensors = {}
    for part, state in parameters.items():
        if part != OPTIMIZER:
            tensors |= {f"{part}/{name}": value.clone() for name, value in state.items()}
            continue
        for index, entries in state["state"].items():
            for name, value in entries.items():
                tensors[f"{part}/{index}.{name}"] = torch.as_tensor(value).clone()
    return {"parts": list(parameters), "param_groups": parameters[OPTIMIZER]["param_groups"]}, tensors


def unpack(numbers: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """What `set_parameters` takes, from what `pack` returned."""
    parameters: dict[str, Any] = {}
    for part in numbers["parts"]:
        parameters[part] = {
            name.removeprefix(f"{part}/"): t for name, t in tensors.items() if name.startswith(f"{part}/")
        }
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in parameters[OPTIMIZER].items():
        index, _, entry = name.partition(".")
        state.setdefault(int(index), {})[entry] = value.clone()  # which the optimiser keeps and writes to
    parameters[OPTIMIZER] = {"state": state, "param_groups": numbers["param_groups"]}
    return parameters


def arguments_of(model: Any, *constructors: Callable[..., Any]) -> tuple[dict[str, Any], list[str]]:
    """A model's constructor arguments as JSON values, and the names of those that are not."""
    names = {name for constructor in constructors for name in inspect.signature(constructor).parameters}
    values = {name: getattr(model, name, getattr(model, f"_{name}", None)) for name in sorted(names - NOT_KEPT)}
    arguments = {name: plain(value) for name, value in values.items()}
    arguments["policy_kwargs"] = {}
    kept = {name: value for name, value in arguments.items() if is_json(value)}
    missing = [name for name in arguments if name not in kept]
    for name, value in model.policy_kwargs.items():
        if is_json(plain(value)):
            kept["policy_kwargs"][name] = plain(value)
        else:
            missing.append(f"policy_kwargs[{name!r}]")
    return kept, missing


def plain(value: Any) -> Any:
    """A constant schedule as its number, arrays as lists, all else as it is."""
    if isinstance(value, FloatSchedule):
        value = value.value_schedule
    if isinstance(value, ConstantSchedule):
        return value.val
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def is_json(value: Any) -> bool:
    """Whether a value can stand in a header."""
    try:
        return json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError):
        return False


def space_json(space: spaces.Space[Any]) -> dict[str, Any]:
    """As `space_to_json`, of Dict spaces too."""
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "spaces": {key: space_json(part) for key, part in space.spaces.items()}}
    return space_to_json(space)


def space_of(data: dict[str, Any]) -> spaces.Space[Any]:
    """The space that `space_json` described."""
    if data["kind"] == "Dict":
        return spaces.Dict({key: space_of(part) for key, part in data["spaces"].items()})
    return space_from_json(data)
