"""Files of format version 1, written by an earlier release, load and act as they did. See old_files/write.py."""

import platform
from pathlib import Path

import numpy as np
import pytest
import torch

from nf_policies import Policy, SimpleNeuralField
from nf_policies.fields.stepper import Stepper

FOLDER = Path(__file__).parent / "old_files"
NAMES = sorted(path.stem for path in FOLDER.glob("*.safetensors"))
RECORDED = np.load(FOLDER / "actions.npz")


def machine() -> str:
    """What rounding depends on, as in old_files/write.py."""
    compiled = Stepper(SimpleNeuralField(1, 1)).compiled
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} {torch.__version__} {compiled}"


def check(values, recorded) -> None:
    """The same to the bit on a machine like the one of the recording, and otherwise up to rounding."""
    assert values.dtype == recorded.dtype
    assert len(np.unique(recorded)) > 1, "a recording of one number would show nothing"
    if machine() == RECORDED["machine"]:
        np.testing.assert_array_equal(values, recorded)
    else:
        np.testing.assert_allclose(values, recorded, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_old_policy_acts_as_it_did(name) -> None:
    policy = Policy.load(FOLDER / f"{name}.safetensors")
    obs, starts, recorded = (RECORDED[f"{name}/{what}"] for what in ("obs", "starts", "actions"))
    check(np.stack([policy.act(o, s) for o, s in zip(obs, starts, strict=True)]), recorded)


@pytest.mark.parametrize("name", NAMES)
def test_an_old_policy_steps_as_it_did(name) -> None:
    policy = Policy.load(FOLDER / f"{name}.safetensors")
    obs, starts, recorded = (RECORDED[f"{name}/{what}"] for what in ("obs", "starts", "outputs"))
    potentials, coefficients, outputs = policy.field.start(obs.shape[1]), policy.coefficients(), []
    with torch.no_grad():
        for o, s in zip(obs, starts, strict=True):
            features = torch.as_tensor(policy.encode(o)).to(potentials)
            _, trace = policy.step(features, potentials, torch.as_tensor(s), coefficients)
            potentials = trace.potentials
            outputs.append(trace.outputs.numpy())
    check(np.stack(outputs), recorded)


@pytest.mark.parametrize("name", NAMES)
def test_an_old_policy_that_is_saved_again_is_the_same(name, tmp_path) -> None:
    old = Policy.load(FOLDER / f"{name}.safetensors")
    old.save(tmp_path / "new.safetensors")
    new = Policy.load(tmp_path / "new.safetensors")
    assert repr(new) == repr(old)
    assert (new.visible, new.env_id, new.made_by) == (old.visible, old.env_id, old.made_by)
    assert (new.observation_space, new.action_space) == (old.observation_space, old.action_space)
    for entry, tensor in old.state_dict().items():
        assert torch.equal(tensor, new.state_dict()[entry])
