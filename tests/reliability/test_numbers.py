"""Whatever a task returns: one sentence, or ranked last; never a warning, never a policy that cannot be loaded."""

import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from nf_policies import Policy, SimpleNeuralField, field_sizes
from nf_policies.evolution.evolution import Evolution
from nf_policies.policies.numbers import DEMAND, LARGEST
from nf_policies.ppo import FieldPPO
from nf_policies.ppo.training import Training
from nf_policies.rollouts.score import rollout
from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.side_by_side import make_envs, training_envs

NUMBERS = {f"{size:g}": size for size in (1e19, -1e19, 1e38, -1e38, 1e300, -1e300, np.inf, -np.inf, np.nan)}
OTHERS = {"None": None, "list": [1.0, 2.0, 3.0], "array": np.full(1, 0.25), "string": "much"}
WHATS = ("observation", "reward", "terminated", "truncated")
WHENS = ("always", "once", "rarely")


class Odd(gym.Env[Any, int]):
    """Two numbers to see, a point for the action 1, five steps; and something odd from time to time."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, what: str, value: Any, when: str) -> None:
        self.what, self.value, self.when, self.n_steps = what, value, when, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.t = 0
        return self.answer(0)[0], {}

    def step(self, action: int) -> tuple[Any, ...]:
        self.t += 1
        self.n_steps += 1
        return self.answer(action)

    def answer(self, action: int) -> tuple[Any, ...]:
        parts = {"observation": self.np_random.normal(size=2), "reward": float(action)}
        parts |= {"terminated": self.t == 5, "truncated": False}
        if self.when == "always" or (self.n_steps == 3 if self.when == "once" else self.np_random.random() < 0.1):
            odd_entry = self.what == "observation" and isinstance(self.value, float)
            parts[self.what] = np.array([0.5, self.value]) if odd_entry else self.value
        return *parts.values(), {}


@pytest.fixture
def odd(request) -> tuple[str, str, Any, str]:
    """The id of a task, and what it returns."""
    what, name, when = request.param
    value = (NUMBERS | OTHERS)[name]
    env_id = f"odd/{what}-{name.replace('+', '')}-{when}-v0"
    if env_id not in gym.registry:
        gym.register(env_id, lambda: Odd(what, value, when), max_episode_steps=8)
    return env_id, what, value, when


def cases(whats=WHATS, names=(*NUMBERS, *OTHERS), whens=WHENS) -> Any:
    found = list(itertools.product(whats, names, whens))
    return pytest.mark.parametrize("odd", found, ids=["-".join(case) for case in found], indirect=True)


def evolve(env_id: str) -> list[Policy]:
    envs = make_envs(env_id, 4)
    sizes = field_sizes(envs.single_observation_space, envs.single_action_space)
    field = SimpleNeuralField(*sizes, generator=torch.Generator().manual_seed(0))
    policy = Policy(field, envs.single_observation_space, envs.single_action_space)
    evolution = Evolution(policy, envs, pop_size=4, episodes=2, seed=0)
    for _ in range(3):
        evolution.step()
    evolve.problem = evolution.problem
    return [evolution.best(), evolution.last()]


def train(env_id: str) -> list[Policy]:
    options = {"n_steps": 16, "batch_size": 16, "n_epochs": 1, "seed": 0, "device": "cpu", "normalize_rewards": True}
    model = FieldPPO("NeuralFieldPolicy", training_envs(env_id, 2), policy_kwargs={"hidden_size": 3}, **options)
    training = Training(model, make_envs(env_id, 2), 0, episodes=2, share=1.0)
    for used in (0.0, 0.5):
        training.step(used)
    training.conclude()
    return [training.best(), training.last()]


def play(env_id: str) -> list[Policy]:
    space = Odd.observation_space
    policy = Policy(SimpleNeuralField(*field_sizes(space, Odd.action_space)), space, Odd.action_space)
    assert np.isfinite(rollout(policy, env_id, episodes=6).returns).all()
    return [policy]


def check(use, odd, folder) -> None:
    """A policy that can be loaded, or one short sentence that says what is wrong."""
    env_id, what, value, when = odd
    number, sure = isinstance(value, float), when != "rarely"
    try:
        policies = use(env_id)
    except ValueError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < 300
        if isinstance(error, TaskError):
            assert env_id in text
            assert not number or what in ("terminated", "truncated")
        else:
            assert use is not evolve, "candidates are ranked, not refused"
            assert DEMAND in text
        return
    taken = what == "reward" and isinstance(value, np.ndarray)
    assert taken or not sure or use is evolve, "it should have been refused"
    if use is evolve and number and sure:
        assert evolve.problem.endswith(f"{DEMAND}.")
    for policy in policies:
        policy.save(folder / "policy.safetensors")
        Policy.load(folder / "policy.safetensors")


@cases(whens=("once",))
@pytest.mark.parametrize("use", [evolve, play])
def test_a_number_or_something_else_once(use, odd, tmp_path) -> None:
    check(use, odd, tmp_path)


@cases(("observation", "reward"), ("nan", "1e+300", "None"), ("always",))
def test_training(odd, tmp_path) -> None:
    check(train, odd, tmp_path)


@pytest.mark.slow
@cases()
@pytest.mark.parametrize("use", [evolve, train, play])
def test_everything(use, odd, tmp_path) -> None:
    check(use, odd, tmp_path)


@pytest.mark.parametrize("value", [LARGEST, -LARGEST])
@pytest.mark.parametrize("what", ["observation", "reward"])
def test_the_largest_numbers_are_used(what, value, tmp_path) -> None:
    env_id = f"odd/{what}-{'minus' if value < 0 else 'plus'}-largest-v0"
    gym.register(env_id, lambda: Odd(what, value, "always"), max_episode_steps=8)
    for use in (evolve, train, play):
        for policy in use(env_id):
            policy.save(tmp_path / "policy.safetensors")
            Policy.load(tmp_path / "policy.safetensors")
