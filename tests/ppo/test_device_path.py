"""With a batched task a rollout stays in tensors on its device: nothing per step goes to the host or to NumPy."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from nf_policies.ppo import FieldPPO


def batched(num_envs: int = 8, n_steps: int = 16, device: str = "cpu") -> FieldPPO:
    # Checking actions asks for one flag per step.
    env = gym.make_vec(
        "nf_envs:nf/CartPole-v1",
        num_envs,
        vectorization_mode="vector_entry_point",
        device=device,
        check_actions=False,
    )
    options = {"n_steps": n_steps, "batch_size": 4 * n_steps, "n_epochs": 1, "seed": 0, "device": device}
    return FieldPPO("NeuralFieldPolicy", env, policy_kwargs={"hidden_size": 4}, **options)


def collect(model: FieldPPO) -> None:
    _, callback = model._setup_learn(10**6, reset_num_timesteps=False)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)


def events(model: FieldPPO) -> dict[str, int]:
    """How often each operator ran in a rollout."""
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        collect(model)
    return {event.key: event.count for event in recorded.key_averages()}


def test_no_step_asks_for_a_number_or_moves_to_another_device() -> None:
    # Whatever happens once per rollout happens equally often in a longer one.
    names = ("aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero", "aten::_pin_memory")
    counts = []
    for n_steps in (16, 48):
        model = batched(n_steps=n_steps)
        collect(model)
        ran = events(model)
        assert ran["aten::uniform_"] == n_steps, "the steps were seen"
        counts.append([ran.get(name, 0) for name in names])
    assert counts[0] == counts[1]


def test_a_rollouts_steps_call_no_numpy(monkeypatch) -> None:
    model = batched()
    collect(model)
    calls = []
    plain = torch.Tensor.numpy
    monkeypatch.setattr(torch.Tensor, "numpy", lambda self, *a, **k: calls.append("numpy") or plain(self, *a, **k))
    for name in ("asarray", "array", "copy"):
        original = getattr(np, name)
        monkeypatch.setattr(np, name, lambda *a, f=original, n=name, **k: calls.append(n) or f(*a, **k))
    collect(model)
    assert len(calls) < model.n_steps / 2, calls  # some once per rollout, none in each step


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # from inside torch.compile
def test_compiled_steps_train_and_save(tmp_path) -> None:
    env = gym.make_vec("nf_envs:nf/CartPole-v1", 8, vectorization_mode="vector_entry_point")
    options = {"n_steps": 16, "batch_size": 64, "n_epochs": 1, "seed": 0, "device": "cpu", "compile": True}
    model = FieldPPO("NeuralFieldPolicy", env, **options).learn(256)
    model.save(tmp_path / "model.safetensors")
    FieldPPO.load(tmp_path / "model.safetensors")
    stored = model.rollout_buffer.stored
    assert stored["values"].isfinite().all()
    assert 0.2 < stored["actions"].mean() < 0.8


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_rollout_on_a_gpu_copies_nothing_to_the_host_per_step() -> None:
    counts = []
    for n_steps in (16, 48):
        model = batched(num_envs=64, n_steps=n_steps, device="cuda")
        collect(model)
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
            collect(model)
        counts.append(sum(e.count for e in recorded.key_averages() if "Memcpy DtoH" in e.key))
    assert counts[0] == counts[1]
