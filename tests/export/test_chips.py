"""The exported C on emulated chips: the same actions, the self-test, and a pole balanced by a chip."""

import importlib
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from nf_policies import NeuralField, Policy, SimpleNeuralField
from nf_policies.export.loaded import load
from nf_policies.export.recording import record
from nf_policies.export.write import Request, write

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "benchmarks").exists(), reason="there are no benchmarks in a package"),
]
BALANCES = Path(__file__).parent / "cartpole.safetensors"
"""What `nf-policies evolve CartPole-v1 --hide-velocity` found: 15 parameters, 500 in all of 100 episodes."""


@pytest.fixture
def chips(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("chips")


def policy_of(name: str) -> Policy:
    if name == "quickstart":
        return Policy.load(BALANCES)
    env = gym.make("CartPole-v1")
    torch.manual_seed(0)
    one = SimpleNeuralField(2, 1, 1, activation="tanh")
    field = one if name == "one" else NeuralField(2, 16, 1, activation="tanh", tau_init=(1.15, 3.5))
    return Policy(field, env.observation_space, env.action_space, visible=[0, 2], env_id="CartPole-v1")


@pytest.mark.parametrize("polynomial", [False, True])
@pytest.mark.parametrize("name", ["one", "quickstart", "convolution"])
@pytest.mark.parametrize("chip", ["uno", "cortex"])
def test_a_chip_acts_as_this_machine(chips, chip, name, polynomial, tmp_path) -> None:
    if problem := chips.missing(chip):
        pytest.skip(problem)
    policy = policy_of(name)
    source = write(policy, "c", tmp_path / "policy", Request(polynomial=polynomial))[0]
    loaded, recording = load(source), record(policy, 300)
    wanted = loaded.replay(recording.observations, recording.starts)[0]
    with chips.Chip(chip, source, tmp_path, loaded.card) as emulated:
        assert emulated.check() == 0
        steps = zip(recording.observations, recording.starts, strict=True)
        assert [int(emulated.step(seen, int(start))[0][0]) for seen, start in steps] == wanted[:, 0].tolist()


def test_eight_parameters_fit_the_smallest_chips(chips, tmp_path) -> None:
    if problem := chips.missing("uno"):
        pytest.skip(problem)
    policy = policy_of("one")
    assert policy.n_parameters == 8
    source = write(policy, "c", tmp_path / "policy", Request())[0]
    size = chips.size_of("uno", source, tmp_path)
    assert size.flash <= 2048
    assert size.data <= 32
    recording = record(policy, 100)
    with chips.Chip("uno", source, tmp_path, load(source).card) as emulated:
        steps = zip(recording.observations, recording.starts, strict=True)
        cycles = np.mean([emulated.step(seen, int(start))[1] for seen, start in steps])
    assert cycles / 16e6 <= 0.4e-3


@pytest.mark.parametrize("chip", ["uno", "cortex"])
def test_a_chip_balances_a_pole_that_this_machine_simulates(chips, chip, tmp_path) -> None:
    if problem := chips.missing(chip):
        pytest.skip(problem)
    source = write(policy_of("quickstart"), "c", tmp_path / "policy", Request())[0]
    env = gym.make("CartPole-v1")
    with chips.Chip(chip, source, tmp_path, load(source).card) as emulated:
        for seed in range(20):
            obs, _ = env.reset(seed=seed)
            steps, over = 0, False
            while not over:
                action, _ = emulated.step(obs, start=int(steps == 0))
                obs, _, terminated, truncated, _ = env.step(int(action[0]))
                over, steps = terminated or truncated, steps + 1
            assert steps == 500, seed
