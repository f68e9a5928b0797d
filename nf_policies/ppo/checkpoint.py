"""Checkpoints of a training: one safe file, read without unpickling.

Exact are parameters, optimiser, statistics of the normaliser and of the rewards, counters, the best return and torch's
random numbers. Episodes that were running begin anew, because Gymnasium cannot save an environment.
"""

import json
import time
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from nf_policies.atomic import atomic_path
from nf_policies.fields.field import under
from nf_policies.ppo.algorithm import FieldPPO
from nf_policies.ppo.best import KeepBest

VERSION = 1
HEADER = "nf_policies_training"


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or does not fit; the message says why."""


class KeepCheckpoint(BaseCallback):
    """Write a checkpoint before rollouts, at most every few seconds, and at the end.

    Args:
        path: The file.
        best: Whose best return belongs to it.
        seconds: Between two checkpoints, at least.
    """

    def __init__(self, path: Path, best: KeepBest, seconds: float = 2.0) -> None:
        super().__init__()
        self.path, self.best, self.seconds = path, best, seconds
        self.saved_at = -float("inf")

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if time.monotonic() - self.saved_at >= self.seconds:
            self.save()

    def _on_training_end(self) -> None:
        self.save()

    def save(self) -> None:
        """Write the checkpoint now."""
        save_checkpoint(self.model, self.path, self.best.best)  # type: ignore[arg-type]
        self.saved_at = time.monotonic()


def save_checkpoint(model: FieldPPO, path: Path, best: float) -> None:
    """Write a checkpoint atomically.

    Args:
        model: Between two rollouts.
        path: The file.
        best: The best return so far.
    """
    header = {
        "version": VERSION,
        "num_timesteps": model.num_timesteps,
        "n_updates": model._n_updates,
        "best": str(best),
    }
    tensors = {f"policy.{name}": value for name, value in model.policy.state_dict().items()}
    for index, state in model.policy.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    if model.reward_scale is not None:
        tensors |= {f"reward_scale.{name}": value for name, value in model.reward_scale.state_dict().items()}
    tensors["random.torch"] = torch.get_rng_state()
    with atomic_path(path) as temporary:
        save_file(
            {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()},
            temporary,
            metadata={HEADER: json.dumps(header)},
        )


def load_checkpoint(model: FieldPPO, path: Path) -> float:
    """Bring a fresh model, made with the same options, to where the checkpoint was written.

    Returns: The best return so far.
    Raises: CheckpointError if the file is missing, damaged, or of a model of another shape.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint at {path}: the run ended before its first rollout.")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if header["version"] != VERSION:
            raise CheckpointError(f"{path} has version {header['version']}, this nf-policies reads {VERSION}.")
        model.policy.load_state_dict(under(tensors, "policy"))
        optimizer = model.policy.optimizer
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in under(tensors, "optimizer").items():
            index, _, entry = name.partition(".")
            state.setdefault(int(index), {})[entry] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        if model.reward_scale is not None:
            model.reward_scale.load_state_dict(under(tensors, "reward_scale"))
        torch.set_rng_state(tensors["random.torch"])
        model.num_timesteps, model._n_updates = header["num_timesteps"], header["n_updates"]
        return float(header["best"])
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path} does not hold this training ({type(error).__name__}: {reason}).") from error
