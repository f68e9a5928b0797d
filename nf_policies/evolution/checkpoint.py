"""Checkpoints of an evolution: one safe file, from which it continues exactly.

CMA-ES is a deterministic function of its seed and of what it was told. So a checkpoint holds the returns of all
generations instead of the strategy's insides, and continuing means to ask and tell them again, without playing. What
depends on the tasks (the normaliser, the incumbent, counts) is stored beside them.
"""

import copy
import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from nf_policies.atomic import atomic_path
from nf_policies.evolution.evolution import Evolution
from nf_policies.evolution.objective import Incumbent
from nf_policies.policies import Policy

VERSION = 2
HEADER = "nf_policies_evolution"


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or continued exactly; the message says why."""


def save_checkpoint(evolution: Evolution, path: Path) -> None:
    """Write a checkpoint atomically."""
    header: dict[str, object] = {"version": VERSION, "env_steps": evolution.env_steps, "problem": evolution.problem}
    header["episodes_each"] = evolution.episodes
    history = evolution.history
    arrays = {
        "returns": np.concatenate([*history, np.zeros(0)]),
        "pop_sizes": np.array([len(returns) for returns in history], dtype=np.int64),
        "mean": evolution.strategy.mean,
    } | state_of(evolution.policy, "policy")
    if evolution.incumbent is not None:
        arrays["judged"] = evolution.incumbent.returns
        arrays |= state_of(evolution.incumbent.policy, "incumbent")
    with atomic_path(path) as temporary:
        save_file(arrays, temporary, metadata={HEADER: json.dumps(header)})


def load_checkpoint(evolution: Evolution, path: Path) -> None:
    """Bring a fresh evolution, made with the same options, to where the checkpoint was written.

    Raises: CheckpointError if the file is missing or damaged, or the replay does not arrive at the same mean.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint at {path}: the run ended before its first generation.")
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if header["version"] != VERSION:
            raise CheckpointError(f"{path} has version {header['version']}, this nf-policies reads {VERSION}.")
        history = np.split(arrays["returns"], arrays["pop_sizes"].cumsum()[:-1]) if len(arrays["pop_sizes"]) else []
        load_state(evolution.policy, arrays, "policy")
        if "judged" in arrays:
            policy = copy.deepcopy(evolution.policy)
            load_state(policy, arrays, "incumbent")
            evolution.incumbent = Incumbent(policy, arrays["judged"])
        evolution.env_steps, evolution.problem = header["env_steps"], header["problem"]
        evolution.episodes = header["episodes_each"]
    except (SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is not a whole checkpoint of this run ({error}).") from error
    for returns in history:
        if len(evolution.strategy.ask()) != len(returns):
            break
        evolution.strategy.tell(returns)
        evolution.history.append(returns)
    if not np.array_equal(evolution.strategy.mean, arrays["mean"]):
        raise CheckpointError(
            f"{path} cannot be continued exactly: it was written with other versions of cma or numpy, or other options."
        )


def state_of(policy: Policy, prefix: str) -> dict[str, np.ndarray]:
    """A policy's tensors under a prefix."""
    return {f"{prefix}.{name}": tensor.cpu().numpy() for name, tensor in policy.state_dict().items()}


def load_state(policy: Policy, arrays: dict[str, np.ndarray], prefix: str) -> None:
    """Write the tensors under a prefix into a policy."""
    policy.load_state_dict(
        {n.removeprefix(f"{prefix}."): torch.as_tensor(a) for n, a in arrays.items() if n.startswith(f"{prefix}.")}
    )
