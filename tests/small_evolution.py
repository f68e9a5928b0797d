"""Small evolutions for tests, and whether two of them are in the same state."""

import json
from collections.abc import Callable

import torch

from nf_policies import Policy, SimpleNeuralField, field_sizes
from nf_policies.evolution import Evolution
from nf_policies.tasks.make import make_task
from nf_policies.tasks.side_by_side import make_envs


def evolution_for(env_id: str, neurons: int | None = None, **options) -> Evolution:
    env = make_task(env_id)
    field = SimpleNeuralField(
        *field_sizes(env.observation_space, env.action_space),
        neurons,
        dynamics="linear",
        activation="tanh",
        tau_init=2.0,
        self_centric_init=True,
        generator=torch.Generator().manual_seed(0),
    )
    policy = Policy(field, env.observation_space, env.action_space, env_id=env_id)
    return Evolution(policy, make_envs(env_id, 16), **{"episodes": 4, "pop_size": 8, **options})


def through_a_file(state):
    numbers, tensors = state
    return json.loads(json.dumps(numbers)), {name: t.clone() for name, t in tensors.items()}


def whole_and_continued(make: Callable[[], Evolution], first: int, rest: int) -> tuple[Evolution, Evolution]:
    """An evolution after so many generations, and one that was continued from its state after the first of them."""
    whole, begun, continued = make(), make(), make()
    for _ in range(first + rest):
        whole.step()
    for _ in range(first):
        begun.step()
    continued.load(through_a_file(begun.state()))
    for _ in range(rest):
        continued.step()
    return whole, continued


def assert_same(a: Evolution, b: Evolution) -> None:
    (numbers, tensors), (others, other_tensors) = a.state(), b.state()
    assert json.dumps(numbers) == json.dumps(others)
    assert tensors.keys() == other_tensors.keys()
    for name, value in tensors.items():
        assert value.numpy().tobytes() == other_tensors[name].numpy().tobytes(), name
