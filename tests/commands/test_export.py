"""nf-policies export and the rollout of exported files."""

import json
import shutil
from pathlib import Path

import gymnasium as gym
import pytest

from nf_policies import Policy, SimpleNeuralField
from nf_policies.cli import main


@pytest.fixture
def file(tmp_path) -> Path:
    """A policy of CartPole without velocities, and what its run found."""
    env = gym.make("CartPole-v1")
    field = SimpleNeuralField(2, 1, 1, activation="tanh")
    policy = Policy(field, env.observation_space, env.action_space, visible=[0, 2], env_id="CartPole-v1")
    policy.save(tmp_path / "best.safetensors")
    score = {"env_id": "CartPole-v1", "episodes": 9, "seed": 0, "return_mean": 42.0, "return_std": 1, "return_min": 40}
    (tmp_path / "result.json").write_text(json.dumps(score))
    return tmp_path / "best.safetensors"


def test_the_files_lie_beside_the_policy_and_hold_its_card(file, capsys) -> None:
    assert main(["export", str(file), "--to", "card", "numpy", "js"]) == 0
    names = ["best.json", "best.md", "best.py", "best.js"]
    assert capsys.readouterr().out.split() == [word for name in names for word in ("wrote", str(file.parent / name))]
    card = json.loads((file.parent / "best.json").read_text())
    assert card["rate_hz"] == 50  # of CartPole's tau
    assert card["score"]["return_mean"] == 42
    assert card["memory"] == {"size": 1, "initial": [0.0]}
    assert [entry["high"] for entry in card["observation"]["entries"]] == pytest.approx([4.8, None, 0.41887903, None])
    assert "- return: 42.0 over 9 episodes" in (file.parent / "best.md").read_text()


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_an_exported_file_scores_as_its_policy(file, capsys) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    assert main(["export", str(file), "--to", "c", "onnx", "--out", str(file.parent / "robot")]) == 0
    capsys.readouterr()
    returns = []
    for path in (file, file.parent / "robot.c", file.parent / "robot.onnx"):
        assert main(["rollout", str(path), "--episodes", "3", "--json"]) == 0
        returns.append(json.loads(capsys.readouterr().out)["returns"])
    assert returns[0] == returns[1] == returns[2]


@pytest.mark.slow
def test_a_check_prints_every_target(file, capsys) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    assert main(["export", str(file), "--check", "--steps", "50"]) == 0
    table = capsys.readouterr().out
    assert [line.split()[0] for line in table.splitlines()[1:6]] == ["c", "onnx", "torch", "numpy", "js"]
    assert "within 1.0e-06 of what the policy does" in table


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Say what to export to"),
        (["--check", "--steps", "1"], "--steps must be at least 2"),
        (["--to", "card", "--rate", "-3"], "The rate must be above 0, not -3"),
        (["--to", "card", "--facts", "none.json"], "none.json cannot be read"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_a_sentence(file, words, sentence, capsys) -> None:
    assert main(["export", str(file), *words]) == 1
    message = " ".join(capsys.readouterr().err.split())
    assert sentence in message
    assert not list(file.parent.glob("best.j*"))


def test_an_exported_file_is_only_scored(file, capsys) -> None:
    (file.parent / "best.onnx").write_bytes(b"")
    assert main(["rollout", str(file.parent / "best.onnx"), "--plot", "plot.png"]) == 1
    assert "An exported policy is scored only" in capsys.readouterr().err
