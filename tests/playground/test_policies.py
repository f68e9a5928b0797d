"""The policy of the page acts as `Policy.act` does: every field, dynamics, cell and head of a batched task."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from nf_policies import NeuralField, Policy, SimpleNeuralField
from nf_policies.fields.dynamics import DYNAMICS
from nf_policies.playground.formulas import PRELUDE
from nf_policies.playground.policy import policy_part
from nf_policies.policies.cells import GRU, LSTM, Memoryless
from tests.playground.node import evaluate, needs_node

SEEN, VISIBLE, STEPS = 4, [3, 0, 2], 300
HEADS = {
    "two": spaces.Discrete(2),
    "four": spaces.Discrete(4, start=1),
    "box": spaces.Box(np.array([-2, 0], np.float32), np.array([2, 1], np.float32)),
}
FIELDS = {
    **{name: lambda i, o, name=name: SimpleNeuralField(i, o, 3, dynamics=name) for name in DYNAMICS},
    "tanh": lambda i, o: SimpleNeuralField(i, o, 3, dynamics="linear", activation="tanh", tau_init=(1.5, 9.0)),
    "mixed": lambda i, o: SimpleNeuralField(i, o, 3, activation=["tanh", "relu", "sigmoid"], kappa_init=0.0),
    "start": lambda i, o: SimpleNeuralField(i, o, 3, initial_potentials=[1, 2, 3], initial_potentials_learnable=True),
    "exponential": lambda i, o: NeuralField(i, 16, o, integrator="exponential_euler", dt=0.7),
    "channels": lambda i, o: NeuralField(i, 6, o, kernel_size=3, channels=2, pooling_norm=3, padding="reflect"),
    "zeros": lambda i, o: NeuralField(i, 6, o, kernel_size=4, mirrored=False, padding="zeros"),
    "changes": lambda i, o: SimpleNeuralField(i, o, 3, changes=True),
    "GRU": lambda i, o: GRU(i, 4, o),
    "LSTM": lambda i, o: LSTM(i, 4, o),
    "memoryless": lambda i, o: Memoryless(i, 5, o),
}
PLAY = """
function play(observations, starts, p) {
  let memory = null;
  return observations.map((x, t) => {
    if (starts[t]) memory = start(p);
    const trace = step(p, memory, x);
    memory = trace.potentials;
    return { action: trace.action, memory, potentials: trace.potentials, outputs: trace.outputs };
  });
}
"""


def make(field, head, *, squash="tanh", normalised=True):
    torch.manual_seed(0)
    space, seen = HEADS[head], spaces.Box(-9, 9, (SEEN,))
    outputs = {"two": 1, "four": 3, "box": 2}[head]
    policy = Policy(FIELDS[field](len(VISIBLE), outputs), seen, space, visible=VISIBLE, squash=squash)
    if normalised:
        policy.normalizer.update(10, torch.tensor([0.5, -1.0, 0.0]), torch.tensor([4.0, 0.2, 1.0]))
    return policy


def differences(policy, folder):
    """The largest difference of a Box action, or how many others differ, over episodes that start anew in mid-play."""
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(STEPS, SEEN)).astype(np.float32)
    starts = [t % 100 == 0 for t in range(STEPS)]
    theirs = [np.ravel(policy.act(x, episode_start=start)) for x, start in zip(observations, starts, strict=True)]
    part = policy_part(policy)
    data = {"x": observations.tolist(), "starts": starts, "p": [entry["value"] for entry in part.about["parameters"]]}
    mine = evaluate(PRELUDE + part.script + PLAY, "play(x, starts, p)", folder, **data)
    assert len(mine[0]["memory"]) == policy.field.start(1).shape[1]
    return np.abs(np.array([row["action"] for row in mine]) - np.array(theirs, dtype=float)).max()


@needs_node
@pytest.mark.parametrize("field", ["tanh", "exponential"])
def test_an_action_in_javascript_is_the_action_in_python(field, tmp_path) -> None:
    assert differences(make(field, "box"), tmp_path) < 1e-6


@needs_node
@pytest.mark.slow
@pytest.mark.parametrize("field", FIELDS)
def test_every_field_acts_as_in_python(field, tmp_path) -> None:
    assert differences(make(field, "box"), tmp_path) < 1e-6


@needs_node
@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_every_head_acts_as_in_python(head, tmp_path) -> None:
    assert differences(make("capacity_32", head), tmp_path) < 1e-6


@needs_node
@pytest.mark.slow
def test_clipped_actions_and_features_as_they_are(tmp_path) -> None:
    assert differences(make("tanh", "box", squash="clip", normalised=False), tmp_path) < 1e-6


@needs_node
def test_parameters_are_arguments(tmp_path) -> None:
    policy, other = make("tanh", "two"), make("tanh", "two")
    with torch.no_grad():
        for parameter in other.field.parameters():
            parameter.mul_(1.5)
    assert policy_part(policy).script == policy_part(other).script
    assert policy_part(policy).about["parameters"] != policy_part(other).about["parameters"]


def test_the_search_keeps_to_the_scales_that_it_is_given() -> None:
    entries = policy_part(make("tanh", "two"), {"resting_level": 0.01}).about["parameters"]
    factors = {entry["name"].partition("[")[0]: entry["searched"] / entry["scale"] for entry in entries}
    assert factors["resting_level"] == pytest.approx(0.01)
    assert factors["log_tau"] == 1
