"""Whatever is in a file: one sentence of one kind of error, or it works; no code, little memory, little time."""

import functools
import json
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hostile import Report, read_all
from mutations import mutations, of_bytes, of_json, of_json_file, of_tensor_file
from rich.console import Console

from nf_policies import NeuralField, Policy, PolicyFileError, SimpleNeuralField
from nf_policies.commands.evolve import Evolve
from nf_policies.evolution.evolution import Evolution
from nf_policies.export.needs import ExportError
from nf_policies.export.play import play
from nf_policies.export.write import Request, write
from nf_policies.policies.cells import LSTM, Memoryless
from nf_policies.policies.files import HEADER
from nf_policies.policies.numbers import ACTION_PROBLEM
from nf_policies.ppo import FieldPPO
from nf_policies.ppo.saving import KIND as MODEL_KIND
from nf_policies.ppo.saving import ModelFileError
from nf_policies.ppo.training import Training
from nf_policies.runs.checkpoint import CHECKPOINT, CheckpointError
from nf_policies.runs.checkpoint import KIND as CHECKPOINT_KIND
from nf_policies.runs.directory import CONFIG, RunError, write_json
from nf_policies.runs.progress import Progress, _points, read_table
from nf_policies.runs.session import Session
from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.side_by_side import make_envs, training_envs

MANY = pytest.mark.slow
CHECKPOINTS = int(os.environ.get("NF_POLICIES_CHECKPOINTS", "1000"))
"""Changed checkpoints of each learner in the long form, a tenth of a second each."""
MODEL_FILES = int(os.environ.get("NF_POLICIES_MODELS", "300"))
"""Changed models of each kind in the long form."""
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


MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "neural": ("Acrobot-v1", {"normalize_rewards": True, "policy_kwargs": {"hidden_size": 4}}),
    "simple": (
        "Pendulum-v1",
        {
            "use_sde": True,
            "policy_kwargs": {"field": "simple", "hidden_size": 3, "critic": "shared", "visible": [0, 1]},
        },
    ),
    "memoryless": (
        "CartPole-v1",
        {"policy_kwargs": {"field": "memoryless", "hidden_size": 4, "field_kwargs": {"layers": 2}}},
    ),
}


def predict(path: Path) -> str:
    """Load a model and let it act in the space that its file says."""
    model = FieldPPO.load(path, device="cpu")
    state, obs = None, np.zeros(model.observation_space.shape, model.observation_space.dtype)
    for _ in range(3):
        try:
            action, state = model.predict(obs, state, deterministic=True)
        except ValueError as error:
            if str(error) != ACTION_PROBLEM:
                raise AssertionError(f"it loads, and then: {error}") from error
            return "loads, refuses to act"
        assert model.action_space.contains(action), f"{action} is not in {model.action_space}"
    model.save(path.with_name("again.safetensors"))
    return "loads and acts"


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("count", [50, pytest.param(MODEL_FILES, marks=MANY)])
def test_models(kind, count, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NF_POLICIES_FUSED", "0")  # a field of another shape would be compiled
    env, own = MODELS[kind]
    options = {**own, "n_steps": 16, "batch_size": 16, "n_epochs": 1, "seed": 0, "device": "cpu"}
    FieldPPO("NeuralFieldPolicy", env, **options).learn(32).save("good.safetensors")
    shutil.copyfile("good.safetensors", "model.safetensors")
    change = functools.partial(of_tensor_file, Path("good.safetensors"), MODEL_KIND.key)
    report = read_all(mutations(change, count), Path("model.safetensors"), predict, (ModelFileError,))
    print(f"models, {kind}: {report}")
    assert not report.failures, str(report)
    assert report.verdicts["refused"] > count / 3
    assert report.verdicts["loads and acts"] > count / 20
    assert not Path("executed").exists()


def evolution() -> Evolution:
    envs = make_envs("test/Constant-v0", 4)
    spaces_of_task = envs.single_observation_space, envs.single_action_space
    field = SimpleNeuralField(1, 1, 2, generator=torch.Generator().manual_seed(0))
    return Evolution(Policy(field, *spaces_of_task), envs, episodes=1, pop_size=4, seed=1, restarts="bipop")


def training() -> Training:
    options = {"n_steps": 16, "batch_size": 16, "n_epochs": 1, "seed": 0, "device": "cpu"}
    envs = training_envs("test/Recall-v0", 2)
    model = FieldPPO("NeuralFieldPolicy", envs, policy_kwargs={"hidden_size": 4}, **options)
    return Training(model, make_envs("test/Recall-v0", 4), 0, episodes=4, share=1.0)


def resumed_session(folder: Path, learner: Any) -> Session:
    config = {"env": "test/Constant-v0", "seed": 1, "steps": 1000}
    return Session(learner, folder, "evolve", config, lambda *_: None, Console(quiet=True))


def checkpoints(make: Callable[[], Any], count: int, folder: Path) -> Report:
    """Checkpoints of a learner; one that is taken is continued for a step, and its policy is saved."""
    first, path = make(), folder / CHECKPOINT
    for used in (0.1, 0.2):
        first.step(used)
    first.conclude()
    resumed_session(folder, first)._save(2, "")
    good = shutil.copyfile(path, folder / "good.safetensors")
    fresh = [make()]

    def go_on(file: Path) -> str:
        learner = fresh[0] if make is training else make()
        resumed_session(folder, learner)._resumed()
        fresh[0] = make()  # of one whose state is taken, parts may stay
        try:
            learner.step(0.5)
            learner.best().save(folder / "best.safetensors")
        except ValueError:
            return "is taken, then refused"
        return "goes on"

    change = functools.partial(of_tensor_file, good, CHECKPOINT_KIND.key)
    return read_all(mutations(change, count), path, go_on, (CheckpointError,))


@pytest.mark.parametrize("make", [evolution, training], ids=["evolve", "train"])
@pytest.mark.parametrize("count", [60, pytest.param(CHECKPOINTS, marks=MANY)])
def test_checkpoints(make, count, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = checkpoints(make, count, Path())
    print(f"checkpoints, {make.__name__}: {report}")
    assert not report.failures, str(report)
    assert report.verdicts["refused"] > count / 3
    assert report.verdicts["goes on"] > count / 50
    assert not (tmp_path / "executed").exists()


def options_of(folder: Path, good: dict[str, Any]) -> str:
    """The options that a run would be continued with: those it began with, but for those that may change."""
    begun = vars(Evolve(resume=folder).resolved())
    changed = [name for name, value in begun.items() if value != good[name] and name not in Evolve.changeable]
    assert not changed, f"it would go on with another {changed[0]}"
    return "goes on"


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=MANY)])
def test_configurations(count, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("run")
    folder.mkdir()
    options = Evolve("test/Constant-v0", population=4, episodes=1, generations=3, hidden_size=2).resolved()
    write_json(folder / CONFIG, {"command": "evolve", **options.config()})
    session = Session(evolution(), folder, "evolve", options.config(), lambda *_: None, Console(quiet=True))
    session._began = 0.0
    session._save(1, "")
    good = Path(shutil.copyfile(folder / CONFIG, "good.json"))
    use = functools.partial(options_of, folder, vars(Evolve(resume=folder).resolved()))
    change = functools.partial(of_json_file, good)
    report = read_all(mutations(change, count), folder / CONFIG, lambda _: use(), (RunError, CheckpointError))
    print(f"configurations: {report}")
    assert not report.failures, str(report)
    assert report.verdicts["refused"] > count / 3
    assert not Path("executed").exists()


def rows_of(path: Path) -> str:
    """The rows of a table, all of them numbers that can be drawn."""
    rows = read_table(path, Evolution.columns)
    for column in (*Evolution.curves, Evolution.last_panel):
        steps, values = _points(rows, column)
        assert np.isfinite(steps).all()
        assert np.isfinite(values).all()
    return f"{min(len(rows), 3)} rows or more" if len(rows) >= 3 else "fewer rows"


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=MANY)])
def test_tables(count, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    learner = evolution()
    with closing(Progress(Path(), learner)) as progress:
        for _ in range(4):
            progress.write({**learner.step(), "env_steps": learner.env_steps})
    good = Path(shutil.copyfile("progress.csv", "good.csv"))
    contents = good.read_bytes()
    assert rows_of(good) == "3 rows or more"
    changed = mutations(lambda rng: of_bytes(contents, rng), count)
    report = read_all(changed, Path("progress.csv"), rows_of, ())
    print(f"tables: {report}")
    assert not report.failures, str(report)
    assert report.verdicts["3 rows or more"] > count / 3


def onnx_with(good: Path, rng: np.random.Generator) -> bytes:
    """An ONNX file, changed in its bytes or in its card."""
    import onnx

    if rng.integers(2):
        return of_bytes(good.read_bytes(), rng)
    model = onnx.load(good)
    card = model.metadata_props[0]
    card.value = json.dumps(of_json(json.loads(card.value), rng)).encode("utf-8", "replace").decode()
    return model.SerializeToString()


def played(path: Path) -> str:
    """Play an exported policy for three steps of its task."""
    score = play(path, episodes=1, seed=0, max_episode_steps=3)
    return "plays" if score.returns[0] == 3 else "plays with other rewards"


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=MANY)])
def test_exported_files(count, tmp_path, monkeypatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    task = gym.make("CartPole-v1")
    policy = Policy(SimpleNeuralField(4, 1, 2), task.observation_space, task.action_space, env_id="CartPole-v1")
    good = write(policy, "onnx", Path("good"), Request())[0]
    shutil.copyfile(good, "policy.onnx")
    change = functools.partial(onnx_with, good)
    report = read_all(mutations(change, count), Path("policy.onnx"), played, (ExportError, TaskError))
    print(f"exported files: {report}")
    assert not report.failures, str(report)
    assert report.verdicts["refused"] > count / 3
    assert report.verdicts["plays"] > count / 20
    assert not Path("executed").exists()
