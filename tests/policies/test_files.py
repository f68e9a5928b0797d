"""A policy file brings back the same policy, and anything else is refused in one sentence."""

import json
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors import safe_open
from safetensors.torch import save_file

from nf_policies import NeuralField, Policy, PolicyFileError, SimpleNeuralField, UnsupportedSpaceError, field_sizes
from nf_policies.policies.cells import GRU, LSTM, Memoryless
from nf_policies.policies.files import FORMAT_VERSION, HEADER
from nf_policies.tensor_files import DIGEST

I64 = np.iinfo(np.int64)
OBS, ACT = spaces.Box(-np.inf, np.inf, (3,)), spaces.MultiDiscrete([3, 2])
OPTIONS = [
    {},
    {"tau_init": (1.2, 9.0), "tau_learnable": False, "integrator": "exponential_euler", "dt": 0.5},
    {"kappa_init": 0.0, "initial_potentials": torch.linspace(-1, 1, 5), "initial_potentials_learnable": True},
    {"activation": ["tanh", "sigmoid", "relu", "identity", "tanh"], "kappa_learnable": False, "tau_min": 0.5},
]
NEURAL = [{"kernel_size": 4, "mirrored": False, "padding": "zeros"}, {"channels": 3, "pooling_norm": 2}]
SIMPLE = [
    {"dynamics": "capacity_32_abs", "capacity_learnable": False, "activation": "tanh"},
    {"dynamics": "linear", "self_centric_init": True},
]


def fields():
    generator = torch.Generator().manual_seed(0)
    for options in [*OPTIONS, *NEURAL]:
        yield NeuralField(2, 5, 3, generator=generator, **options)
    for options in [*OPTIONS, *SIMPLE]:
        yield SimpleNeuralField(2, 3, 5, generator=generator, **options)


def policy_of(field) -> Policy:
    policy = Policy(field, OBS, ACT, visible=[2, 0], env_id="CartPole-v1")
    policy.normalizer.update(7, torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]))
    policy.made_by = {"command": "test", "seed": 3}
    return policy


@pytest.mark.parametrize("field", list(fields()), ids=repr)
def test_a_loaded_policy_is_the_saved_one_bit_by_bit(field, tmp_path) -> None:
    policy = policy_of(field)
    policy.save(tmp_path / "policy.safetensors")
    loaded = Policy.load(tmp_path / "policy.safetensors")
    assert repr(loaded) == repr(policy)
    assert (loaded.observation_space, loaded.action_space) == (OBS, ACT)
    assert (loaded.visible, loaded.env_id, loaded.made_by) == ((2, 0), "CartPole-v1", policy.made_by)
    assert loaded.field.n_parameters == policy.field.n_parameters
    for obs in np.random.default_rng(0).normal(size=(5, 4, 3)):
        np.testing.assert_array_equal(loaded.act(obs), policy.act(obs))


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1, 1, (2, 2), np.float64),
        spaces.Box(-0.1, 1 / 3, (2,), np.float64),
        spaces.Box(-np.inf, np.inf, ()),
        spaces.Box(0, 1, (2,), np.float16),
        spaces.Box(0, 255, (2,), np.uint8),
        spaces.Box(0, I64.max, (2,), np.int64),
        spaces.Box(I64.min, I64.max, (2,), np.int64),
        spaces.Box(0, np.iinfo(np.uint64).max, (2,), np.uint64),
        spaces.Discrete(3, start=-1),
        spaces.Discrete(3, dtype=np.int32),
        spaces.MultiDiscrete([2, 3], start=[1, -1]),
        spaces.MultiDiscrete([3, 3], dtype=np.int32),
        spaces.MultiDiscrete(np.array([[2, 4], [3, 2]]), start=np.array([[0, 1], [2, -3]])),
        spaces.MultiBinary([2, 2]),
        spaces.MultiBinary(3),
        spaces.MultiBinary([3]),
    ],
    ids=str,
)
def test_spaces_survive(space, tmp_path) -> None:
    for observation, action in ((space, spaces.Discrete(2)), (spaces.Box(-1, 1, (2,)), space)):
        try:
            sizes = field_sizes(observation, action)
        except UnsupportedSpaceError:  # unbounded and integer actions
            continue
        Policy(SimpleNeuralField(*sizes), observation, action).save(tmp_path / "p.safetensors")
        loaded = Policy.load(tmp_path / "p.safetensors")
        assert (loaded.observation_space, loaded.action_space) == (observation, action)
        for side in ("low", "high"):
            np.testing.assert_array_equal(getattr(loaded.observation_space, side, 0), getattr(observation, side, 0))


@pytest.fixture
def saved(tmp_path) -> Path:
    policy_of(SimpleNeuralField(2, 3)).save(tmp_path / "policy.safetensors")
    return tmp_path / "policy.safetensors"


def rewrite(path: Path, **changes) -> None:
    """Change entries of a policy file's header; None removes one."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[HEADER]) | changes
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header = {name: value for name, value in header.items() if value is not None and name != DIGEST}
    save_file(tensors, path, metadata={HEADER: json.dumps(header)})


def test_a_truncated_file_is_refused(saved) -> None:
    saved.write_bytes(saved.read_bytes()[:-20])
    with pytest.raises(PolicyFileError, match="not a whole policy file"):
        Policy.load(saved)


def test_a_pickle_is_refused_and_not_run(tmp_path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    (tmp_path / "evil.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(PolicyFileError):
        Policy.load(tmp_path / "evil.safetensors")
    assert not (tmp_path / "exploded").exists()


def test_a_foreign_safetensors_file_is_refused(tmp_path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(PolicyFileError, match="not a policy file written by nf-policies"):
        Policy.load(tmp_path / "other.safetensors")


def test_a_newer_file_is_refused_with_what_would_work(saved) -> None:
    rewrite(saved, format_version=FORMAT_VERSION + 1)
    with pytest.raises(PolicyFileError, match="upgrade"):
        Policy.load(saved)


@pytest.mark.parametrize("missing", ["field", "observation_space", "action_space", "made_by"])
def test_an_incomplete_header_is_refused(saved, missing) -> None:
    rewrite(saved, **{missing: None})
    with pytest.raises(PolicyFileError, match=f"not a whole policy file.*{missing}"):
        Policy.load(saved)


LARGE = 30_000


FIELDS = [NeuralField(2, 5, 3), SimpleNeuralField(2, 3), GRU(2, 5, 3), LSTM(2, 5, 3), Memoryless(2, 5, 3)]
SIZES = [(field, size) for field in FIELDS for size in ("input_size", "hidden_size", "output_size")]


@pytest.mark.parametrize(
    ("field", "size"),
    [*SIZES, (FIELDS[0], "channels"), (FIELDS[-1], "layers")],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_size_that_is_not_that_of_the_tensors_is_refused_at_once(field, size, tmp_path) -> None:
    path = tmp_path / "policy.safetensors"
    policy_of(field).save(path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[HEADER])
    header["field"]["options"][size] = LARGE
    rewrite(path, field=header["field"])
    began = time.perf_counter()
    with pytest.raises(PolicyFileError, match=f"{size} is {LARGE}, but the tensors are of"):
        Policy.load(path)
    assert time.perf_counter() - began < 1


def test_a_field_that_needs_far_more_memory_than_its_file_has_is_refused(saved) -> None:
    with safe_open(saved, framework="pt") as file:
        header = json.loads(file.metadata()[HEADER])
        header.pop(DIGEST)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header["field"] = {"kind": "NeuralField", "options": header["field"]["options"] | {"hidden_size": LARGE}}
    tensors["field.output_embedding.weight"] = torch.zeros(3, LARGE)
    save_file(tensors, saved, metadata={HEADER: json.dumps(header)})
    with pytest.raises(PolicyFileError, match="too large for a policy file"):
        Policy.load(saved)


def test_a_space_that_is_larger_than_the_field_is_refused_at_once(tmp_path) -> None:
    path = tmp_path / "policy.safetensors"
    Policy(SimpleNeuralField(3, 3), OBS, ACT).save(path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[HEADER])
        header.pop(DIGEST)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header["observation_space"] = {"kind": "Discrete", "n": 10**11, "start": 0}
    save_file(tensors, path, metadata={HEADER: json.dumps(header)})
    with pytest.raises(PolicyFileError, match="need a field with input_size=100000000000"):
        Policy.load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"observation_space": {"kind": "Dict"}},
        {"action_space": {"kind": "Discrete", "n": -1, "start": 0}},
        {"env_id": ["CartPole-v1"]},
        {"field": {"kind": "Sequential", "options": {"input_size": 2, "hidden_size": 3, "output_size": 3}}},
    ],
    ids=str,
)
def test_a_header_that_makes_no_sense_is_refused(saved, changes) -> None:
    rewrite(saved, **changes)
    with pytest.raises(PolicyFileError, match=r"does not hold a complete policy|is not a whole policy file"):
        Policy.load(saved)


def retensored(path: Path, **changes) -> None:
    """Change tensors of a policy file, by their names with _ for the dots."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()[HEADER])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors |= {name: changes[name.replace(".", "_")] for name in tensors if name.replace(".", "_") in changes}
    header.pop(DIGEST)
    save_file(tensors, path, metadata={HEADER: json.dumps(header)})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"field_resting_level": torch.full((5,), torch.nan)}, "field.resting_level is not finite"),
        ({"normalizer_var": -torch.ones(2)}, "normalizer.var is below 0"),
        ({"normalizer_mean": torch.zeros(2, dtype=torch.bfloat16)}, "normalizer.mean is of dtype BF16"),
        ({"normalizer_mean": torch.zeros(2, dtype=torch.int64)}, "normalizer.mean is not finite"),
    ],
)
def test_a_file_with_numbers_that_no_policy_has_is_refused(changes, reason, saved) -> None:
    retensored(saved, **changes)
    with pytest.raises(PolicyFileError, match=reason):
        Policy.load(saved)


def test_a_policy_that_could_not_be_loaded_is_not_saved_and_the_old_file_stays(saved) -> None:
    before, policy = saved.read_bytes(), Policy.load(saved)
    for change in (torch.nan, torch.inf):
        with torch.no_grad():
            policy.normalizer.var[0] = change
        with pytest.raises(ValueError, match=r"normalizer\.var is not finite"):
            policy.save(saved)
    with pytest.raises(ValueError, match=r"which is torch\.float16"):
        Policy.load(saved).half().save(saved)
    assert saved.read_bytes() == before
    assert len(list(saved.parent.iterdir())) == 1


def test_a_single_other_bit_is_noticed(saved) -> None:
    contents = bytearray(saved.read_bytes())
    contents[-1] ^= 1  # of a weight, which stays finite
    saved.write_bytes(contents)
    with pytest.raises(PolicyFileError, match="not those that were written"):
        Policy.load(saved)


def test_what_a_file_cannot_describe_is_not_saved(tmp_path) -> None:
    own = SimpleNeuralField(2, 3, input_embedding=torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh()))
    with pytest.raises(ValueError, match="input_embedding of your own"):
        policy_of(own).save(tmp_path / "p.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_save_keeps_the_old_file(saved, monkeypatch) -> None:
    before = saved.read_bytes()

    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nf_policies.tensor_files.save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        policy_of(SimpleNeuralField(2, 3)).save(saved)
    assert saved.read_bytes() == before
    assert len(list(saved.parent.iterdir())) == 1, "no temporary file is left behind"
