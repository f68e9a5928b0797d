"""A model is one file: safetensors with a JSON header. Reading it executes nothing.

The header holds the constructor's arguments, the spaces and the counters; the tensors are parameters, the optimiser's
state, statistics and random numbers. Objects of the user's own cannot be held: `load` takes them as arguments.
"""

import inspect
import json
import math
import warnings
import zipfile
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from gymnasium.spaces import flatdim
from stable_baselines3 import PPO
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, check_for_correct_spaces
from torch import Tensor

from nf_policies import tensor_files
from nf_policies.fields.dynamics import under
from nf_policies.policies.files import NUMBERS_MAX, space_from_json, space_to_json
from nf_policies.ppo.model_header import KIND, ModelFileError, State
from nf_policies.wording import in_short, reason_of

COUNTS = ("num_timesteps", "_n_updates", "_current_progress_remaining", "_total_timesteps", "_num_timesteps_at_start")
SPACES = ("observation_space", "action_space")
OPTIMIZER = "policy.optimizer"
NOT_KEPT = {"self", "policy", "env", "device", "policy_kwargs", "ppo_kwargs", "rollout_buffer_class"}
NOT_KEPT |= {"rollout_buffer_kwargs", "_init_setup_model"}


def path_of(path: Any) -> Path:
    """Where a model is written: with the suffix .safetensors if none is given."""
    return Path(path) if Path(path).suffix else Path(path).with_suffix(".safetensors")


def save_model(model: Any, path: Any) -> None:
    """Write a model of FieldPPO. See `FieldPPO.save`."""
    path = path_of(path)
    cls = type(model)
    arguments, missing = arguments_of(model)
    if model.policy_class is not cls.policy_aliases["NeuralFieldPolicy"]:
        missing.insert(0, "policy")
    if missing:
        warnings.warn(
            f"{path} cannot hold {', '.join(missing)}, which is a function or class of your own: give it to "
            f"{cls.__name__}.load.",
            stacklevel=3,
        )
    numbers, tensors = state_of(model)
    header = {"arguments": arguments, "missing": missing, "n_envs": model.n_envs}
    header |= {name: space_to_json(getattr(model, name)) for name in SPACES}
    tensor_files.write(path, KIND, header | numbers, tensors)


def read(path: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a model's file.

    Raises: ModelFileError if the file is missing, damaged or of another kind.
    """
    path = path_of(path)
    if zipfile.is_zipfile(path):
        raise ModelFileError(
            f"{path} is a zip file of Stable-Baselines3, and reading one can execute code: load it with the version "
            "that wrote it and keep its policy with export_policy."
        )
    return tensor_files.read(path, KIND)


def load_model(cls: Any, path: Any, env: Any, device: Any, given: dict[str, Any]) -> Any:
    """Read a model of a class. See `FieldPPO.load`."""
    header, tensors = read(path)
    arguments = {"policy": "NeuralFieldPolicy"} | header["arguments"] | given
    arguments["policy_kwargs"] = header["arguments"]["policy_kwargs"] | given.get("policy_kwargs", {})
    known = {*given, *(f"policy_kwargs[{name!r}]" for name in arguments["policy_kwargs"])}
    if missing := [name for name in header["missing"] if name not in known]:
        names = in_short(", ".join(missing))
        raise ModelFileError(f"{path_of(path)} does not hold {names}: give it to {cls.__name__}.load.")
    with tensor_files.complete(path_of(path), KIND):
        stored = [space_from_json(header[name]) for name in SPACES]
        model = cls(env=None, device=device, _init_setup_model=False, **arguments)
        model.observation_space, model.action_space = stored
        model.n_envs = header["n_envs"]
        check_sizes(model, under(tensors, "policy"))
    if env is not None:  # whose own errors are not the file's
        model = cls(env=env, device=device, _init_setup_model=False, **arguments)
        check_for_correct_spaces(model.env, *stored)
    with tensor_files.complete(path_of(path), KIND):
        model._setup_model()
        load_state(model, header, tensors)
    return model


def check_sizes(model: Any, tensors: dict[str, Tensor]) -> None:
    """Refuse, with a ValueError, matrices of far more numbers than there are, before anything of their size is made."""
    kwargs = model.policy_kwargs
    named = (kwargs.get("hidden_size"), kwargs.get("critic_hidden_size"), *(kwargs.get("field_kwargs") or {}).values())
    sizes = [size for size in named if isinstance(size, int)]
    own = "features_extractor_class" in kwargs
    sizes += [len(tensors["normalizer.mean"]) if own else flatdim(model.observation_space), flatdim(model.action_space)]
    held = sum(tensor.numel() for tensor in tensors.values())
    if math.prod(sorted(sizes)[-2:]) > max(NUMBERS_MAX, held):
        raise ValueError("its options ask for more numbers than it holds")


def state_of(model: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Everything that a model has learned and counted, as JSON values and tensors."""
    parameters = model.get_parameters()
    optimizer = parameters.pop(OPTIMIZER)
    numbers = {
        "parts": list(parameters),
        "param_groups": optimizer["param_groups"],
        "counts": {name: getattr(model, name) for name in COUNTS},
        "episodes": [{key: float(value) for key, value in info.items()} for info in model.ep_info_buffer or ()],
    }
    tensors = {f"{part}.{name}": t.clone() for part, state in parameters.items() for name, t in state.items()}
    for index, entries in optimizer["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value).clone() for name, value in entries.items()}
    return numbers, tensors | {f"random.{i}": state for i, state in enumerate(model.random.states)}


def load_state(model: Any, numbers: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Bring a fresh model to a state.

    Raises: ValueError if it is of a model of another shape, or damaged.
    """
    try:
        episodes = msgspec.convert(numbers, State)["episodes"]
        numbers = numbers | {"param_groups": groups_like(model.policy.optimizer, numbers["param_groups"])}
        check_state(model, numbers, tensors)
        model.set_parameters(parameters_of(numbers, tensors))
        own = {name: type(getattr(model, name)) for name in COUNTS}
        vars(model).update({name: kind(numbers["counts"][name]) for name, kind in own.items()})
        model.ep_info_buffer = deque(episodes, maxlen=model._stats_window_size)
        model.ep_success_buffer = deque(maxlen=model._stats_window_size)
        model.random.states = [tensors.get(f"random.{i}", state) for i, state in enumerate(model.random.states)]
        with model.random.drawn():  # whoever damaged them is found now
            pass
    except Exception as error:
        raise ValueError(f"This is the state of another model ({reason_of(error)}).") from error


def check_state(model: Any, numbers: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Refuse, with a TypeError or ValueError, numbers that no model has, and an optimiser's state that does not fit."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{name} is not finite")
        if name.endswith(("normalizer.count", "normalizer.var")) and (tensor < 0).any():
            raise ValueError(f"{name} is below 0")
    learned = [parameter for group in model.policy.optimizer.param_groups for parameter in group["params"]]
    entries: set[frozenset[str]] = set()
    for index, state in parameters_of(numbers, tensors)[OPTIMIZER]["state"].items():
        entries.add(frozenset(state))
        for name, tensor in state.items():
            if not tensor.is_floating_point() or tensor.shape not in (torch.Size(), learned[index].shape):
                raise TypeError(f"its optimiser's {name} is of another shape")
    if len(entries) > 1:
        raise TypeError("its optimiser's state is not whole")


def groups_like(optimizer: Any, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The options of an optimiser in a file, with its own for those that the file does not have.

    Raises: TypeError or ValueError if one of them is not what such an optimiser takes.
    """
    own = optimizer.state_dict()["param_groups"]
    pairs = zip(groups, own, strict=True)
    filled = [{name: group.get(name, mine[name]) for name in mine} for group, mine in pairs]
    if not same_form(filled, own):
        raise TypeError("its optimiser has other options")
    known = inspect.signature(type(optimizer)).parameters.keys() - {"params"}
    for group in filled:
        type(optimizer)([torch.zeros(1)], **{name: group[name] for name in known & group.keys()})
    return filled


def same_form(value: Any, own: Any) -> bool:
    """Whether JSON has the form of a value in memory: the same entries, and numbers where it has numbers."""
    if isinstance(own, dict):
        return isinstance(value, dict) and value.keys() == own.keys() and all(same_form(value[n], own[n]) for n in own)
    if isinstance(own, list | tuple):
        same = isinstance(value, list | tuple) and len(value) == len(own)
        return same and all(same_form(*pair) for pair in zip(value, own, strict=True))
    if isinstance(own, float):
        return type(value) in (int, float) and abs(value) < 2**53
    return type(value) is type(own) and value == own


def parameters_of(numbers: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """What `set_parameters` takes, from what `state_of` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in under(tensors, "optimizer").items():
        index, _, entry = name.partition(".")
        state.setdefault(int(index), {})[entry] = value.clone()  # which the optimiser keeps and writes to
    optimizer = {"state": state, "param_groups": numbers["param_groups"]}
    return {part: under(tensors, part) for part in numbers["parts"]} | {OPTIMIZER: optimizer}


def read_parameters(path: Any) -> dict[str, Any]:
    """What `set_parameters` takes, from a model's file. Raises: ModelFileError as `read`."""
    with tensor_files.complete(path_of(path), KIND):
        return parameters_of(*read(path))


def arguments_of(model: Any) -> tuple[dict[str, Any], list[str]]:
    """A model's constructor arguments as JSON values, and the names of those that are not."""
    names = {name for cls in (type(model), PPO) for name in inspect.signature(cls).parameters}
    values = {name: getattr(model, name, getattr(model, f"_{name}", None)) for name in sorted(names - NOT_KEPT)}
    arguments, missing = plain_values(values)
    arguments["policy_kwargs"], missing_of_policy = plain_values(model.policy_kwargs)
    return arguments, [*missing, *(f"policy_kwargs[{name!r}]" for name in missing_of_policy)]


def plain_values(values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The values that can stand in a header, and the names of the others."""
    plain_ones = {name: plain(value) for name, value in values.items()}
    missing = [name for name, value in plain_ones.items() if not is_json(value)]
    return {name: value for name, value in plain_ones.items() if name not in missing}, missing


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
