"""Every target does what the policy does: each field with each dynamics and head, over episodes with resets."""

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from every_policy import FIELDS, HEADS, SEEN, Episodes, make, play
from gymnasium import spaces

from nf_policies import Policy, field_sizes
from nf_policies.export.loaded import InNumpy, InOnnx, InTorch, Loaded, load
from nf_policies.export.recording import record
from nf_policies.export.write import Request, write
from nf_policies.policies.cells import GRU

pytest.importorskip("onnxruntime", reason="needs the extra export")
HAS_C = shutil.which("cc") is not None
HAS_NODE = shutil.which("node") is not None


def actions_of(loaded: Loaded, episodes: Episodes) -> np.ndarray:
    """What an exported policy does in all environments. Shape: (steps, envs, action_size)."""
    steps, envs = episodes.starts.shape
    if not isinstance(loaded, InNumpy | InOnnx | InTorch):
        rows = episodes.observations.swapaxes(0, 1).reshape(steps * envs, -1), episodes.starts.T.reshape(-1)
        return loaded.replay(*rows)[0].reshape(envs, steps, -1).swapaxes(0, 1)
    memory = np.zeros((envs, loaded.card["memory"]["size"]))
    actions = []
    for observation, starts in zip(episodes.observations, episodes.starts, strict=True):
        if isinstance(loaded, InNumpy):
            before = np.where(starts[:, None], loaded.names["policy_init"](envs), memory)
            action, memory = loaded.names["policy_step"](before.astype(loaded.names["DTYPE"]), observation)
        elif isinstance(loaded, InOnnx):
            seen, before = (array.astype(loaded.dtype) for array in (observation, memory))
            inputs = {"observation": seen, "memory": before, "episode_start": starts}
            action, memory = loaded.session.run(["action", "memory_after"], inputs)
        else:
            tensors = (torch.from_numpy(array).to(loaded.initial) for array in (observation, memory))
            action, after = loaded.program(*tensors, torch.from_numpy(starts))
            action, memory = action.detach().numpy(), after.detach().numpy()
        actions.append(action)
    return np.array(actions)


def assert_does_the_same(policy: Policy, target: str, episodes: Episodes, folder: Path) -> None:
    """In the policy's own precision and in double precision.

    Where a field itself amplifies rounding, as explicit steps of capacity_32 can, no float32 program is closer to it
    than it is to its own double: there, that distance counts.
    """
    largest = max(1.0, float(np.abs(episodes.actions).max()))
    decided = episodes.margins > 1e-5
    own = np.abs(episodes.actions - episodes.exact)[decided].max()
    double = copy.deepcopy(policy).double()
    for of, wanted, limit, options in (
        (policy, episodes.actions, max(1e-6 * largest, 3 * own), {}),
        (double, episodes.exact, 1e-9, {"double": True}),
    ):
        files = write(of, target, folder / f"policy_{len(options)}", Request(**options))
        difference = np.abs(actions_of(load(files[0]), episodes) - wanted).max(-1)[decided].max()
        assert difference <= limit, (target, options)
        if target == "c":
            assert load(files[0]).library.policy_check() == 0


@pytest.mark.parametrize(
    ("field", "head", "target"),
    [
        ("simple_cubic", "two", "c"),
        ("simple_mixed", "multi_binary", "numpy"),
        ("gru", "tanh", "onnx"),
        ("lstm", "multi_discrete", "c"),
        ("memoryless", "clip", "numpy"),
    ],
)
def test_a_target_does_what_the_policy_does(field, head, target, tmp_path) -> None:
    if target == "c" and not HAS_C:
        pytest.skip("no C compiler")
    policy = make(field, head)
    assert_does_the_same(policy, target, play(policy, 50, 4), tmp_path)


@pytest.mark.parametrize("seen", SEEN)
def test_a_target_sees_what_the_policy_sees(seen, tmp_path) -> None:
    policy = make("gru", "five", seen, visible=[2, 0])
    episodes = play(policy, 20, 2)
    for target in ("numpy", "onnx"):
        assert_does_the_same(policy, target, episodes, tmp_path)


def test_parts_of_dict_observations_are_seen_in_the_order_of_the_space(tmp_path) -> None:
    space = spaces.Dict({"b": spaces.Discrete(3, start=1), "a": spaces.Box(-1, 1, (2,)), "c": spaces.MultiBinary(2)})
    actions = spaces.Box(-1, 1, (1,))
    torch.manual_seed(0)
    policy = Policy(GRU(*field_sizes(space, actions)[:1], 4, 1), space, actions)
    recording = record(policy, 40)
    loaded = load(write(policy, "numpy", tmp_path / "policy", Request())[0])
    found, _ = loaded.replay(recording.observations, recording.starts)
    np.testing.assert_allclose(found, recording.actions, atol=1e-6)


@pytest.mark.slow
def test_a_program_of_torch_export_does_what_the_policy_does(tmp_path) -> None:
    policy = make("simple_cubic", "tanh")
    assert_does_the_same(policy, "torch", play(policy, 20, 3), tmp_path)


@pytest.mark.skipif(not HAS_NODE, reason="no Node.js")
def test_a_module_of_javascript_does_what_the_policy_does(tmp_path) -> None:
    policy = make("gru", "multi_discrete")
    episodes = play(policy, 50, 4)
    files = write(policy, "js", tmp_path / "policy", Request())
    decided = episodes.margins > 1e-5
    assert (actions_of(load(files[0]), episodes) == episodes.exact)[decided].all()


@pytest.mark.slow
@pytest.mark.skipif(not (HAS_C and HAS_NODE), reason="needs a C compiler and Node.js")
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("field", FIELDS)
def test_10_000_steps_of_every_field_and_head_on_every_target(field, head, tmp_path) -> None:
    policy = make(field, head)
    episodes = play(policy, 500, 20)
    for target in ("c", "numpy", "onnx", "js"):
        assert_does_the_same(policy, target, episodes, tmp_path)
    if list(FIELDS).index(field) % len(HEADS) == list(HEADS).index(head):  # writing and running torch takes seconds
        assert_does_the_same(policy, "torch", episodes, tmp_path)
