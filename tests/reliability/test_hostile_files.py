"""Whatever is in a file: one sentence of one kind of error, or it works; no code, little memory, little time."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hostile import Report, read_all
from mutations import mutations, of_tensor_file

from nf_policies import NeuralField, Policy, PolicyFileError, SimpleNeuralField
from nf_policies.policies.cells import LSTM, Memoryless
from nf_policies.policies.files import HEADER
from nf_policies.policies.numbers import ACTION_PROBLEM

MANY = pytest.mark.slow
BOX, MANY_CHOICES = spaces.Box(-1, 1, (3,)), spaces.MultiDiscrete([3, 2])
FIELDS = {
    "simple": (SimpleNeuralField(2, 3, dynamics="capacity_21"), BOX),
    "neural": (NeuralField(2, 7, 3, kernel_size=5, channels=2, activation="tanh"), MANY_CHOICES),
    "lstm": (LSTM(2, 4, 3), BOX),
    "memoryless": (Memoryless(2, 4, 3, layers=2), MANY_CHOICES),
}


def act(path: Path) -> str:
    """Load a policy and let it act in the space that its file says."""
    policy = Policy.load(path)
    space = policy.observation_space
    obs = np.full(space.shape, getattr(space, "start", 0)).astype(space.dtype)
    for start in (True, False, False):
        try:
            action = policy.act(obs, start)
        except ValueError as error:
            if str(error) != ACTION_PROBLEM:
                raise AssertionError(f"it loads, and then: {error}") from error
            return "loads, refuses to act"
        assert policy.action_space.contains(action), f"{action} is not in {policy.action_space}"
    return "loads and acts"


def policies(kind: str, count: int, folder: Path) -> Report:
    field, action_space = FIELDS[kind]
    policy = Policy(field, spaces.Box(-np.inf, np.inf, (3,)), action_space, visible=[2, 0], env_id="CartPole-v1")
    policy.normalizer.update(7, torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]))
    policy.save(folder / "good.safetensors")
    policy.save(folder / "p.safetensors")
    change = functools.partial(of_tensor_file, folder / "good.safetensors", HEADER)
    return read_all(mutations(change, count), folder / "p.safetensors", act, (PolicyFileError,))


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("count", [100, pytest.param(2500, marks=MANY)])
def test_policies(kind, count, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NF_POLICIES_FUSED", "0")  # a field of another shape would be compiled
    report = policies(kind, count, tmp_path)
    print(f"policies, {kind}: {report}")
    assert not report.failures, str(report)
    assert report.verdicts["refused"] > count / 3
    assert report.verdicts["loads and acts"] > count / 20
    assert not (tmp_path / "executed").exists()
