"""nf-policies train as a user meets it: files, JSON, resuming, Ctrl-C, and what bad input gets."""

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nf_policies import Policy
from nf_policies.cli import main

COMMAND = [sys.executable, "-m", "nf_policies.cli"]
LEFT = {
    "best.safetensors",
    "checkpoint",
    "config.json",
    "learning_curve.png",
    "policy.safetensors",
    "progress.csv",
    "result.json",
}
SMALL = ["--num-envs", "2", "--n-steps", "32", "--batch-size", "32", "--n-epochs", "2"]


def train(*words: str) -> int:
    return main(["train", *words])


def steps_of(run_dir: Path) -> list[int]:
    with (run_dir / "progress.csv").open() as file:
        return [int(row["env_steps"]) for row in csv.DictReader(file)]


def test_train_and_rollout_in_a_new_process_agree(tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert train("Pendulum-v1", "--hide-velocity", "--steps", "256", *SMALL, "--out", str(out), "--json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1, "one JSON object and nothing else"
    result = json.loads(lines[0])
    assert {"env_steps", "evaluations", "wall_seconds", "stop_reason", "run_dir", "policy"} <= set(result)
    assert (result["stop_reason"], result["env_steps"]) == ("steps", 256)
    assert {path.name for path in out.iterdir()} >= LEFT
    assert any(path.name.startswith("events.out.tfevents") for path in out.iterdir())
    assert steps_of(out) == [64, 128, 192, 256]
    assert Policy.load(result["policy"]).visible == (0, 1)

    words = ["rollout", result["policy"], "--json", "--seed", str(result["seed"])]
    again = subprocess.run([*COMMAND, *words], capture_output=True, check=True, text=True)
    assert json.loads(again.stdout)["returns"] == result["returns"]


@pytest.mark.parametrize("field", ["neural", "simple", "gru", "lstm", "memoryless"])
def test_every_field_trains_and_plays_from_its_file(field, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert train("test/Move-v0", "--field", field, "--steps", "128", *SMALL, "--out", str(out)) == 0
    assert main(["rollout", str(out / "best.safetensors"), "--episodes", "2", "--json"]) == 0
    played = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert played["n_parameters"] == Policy.load(out / "best.safetensors").n_parameters


def test_resuming_goes_on_exactly_where_the_checkpoint_was(tmp_path) -> None:
    words = ["CartPole-v1", *SMALL, "--seed", "3", "--learning-rate", "0.01"]
    out = tmp_path / "run"
    assert train(*words, "--steps", "128", "--out", str(out)) == 0
    before = load_file(out / "checkpoint" / "checkpoint.safetensors")
    assert train("--resume", str(out), "--steps", "128") == 0, "nothing is left to do"
    after = load_file(out / "checkpoint" / "checkpoint.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert train("--resume", str(out), "--steps", "256") == 0
    assert steps_of(out) == [64, 128, 192, 256]
    later = load_file(out / "checkpoint" / "checkpoint.safetensors")
    assert any(not torch.equal(before[name], later[name]) for name in before)


def test_two_continuations_of_the_same_checkpoint_are_equal(tmp_path) -> None:
    files = []
    for name in ("one", "other"):
        out = tmp_path / name
        assert train("CartPole-v1", *SMALL, "--steps", "128", "--out", str(out)) == 0
        assert train("--resume", str(out), "--steps", "256") == 0
        files.append((out / "policy.safetensors").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("kill", "status"), [(signal.SIGINT, 130), pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow)]
)
def test_an_interrupted_training_goes_on(kill, status, tmp_path) -> None:
    out = tmp_path / "run"
    # Short episodes, so that evaluations soon cost less than a tenth of the training.
    task = ["CartPole-v1", "--max-episode-steps", "5", "--steps", "20000"]
    command = [*COMMAND, "train", *task, "--out", str(out), *SMALL]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if ", best " in line:
            break
    process.send_signal(kill)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == status
    if kill == signal.SIGINT:
        assert f"nf-policies train --resume {out}" in messages
        assert (out / "policy.safetensors").exists()
    assert train("--resume", str(out), "--steps", "64") == 0
    done = steps_of(out)
    assert done == sorted(set(done)), "no row is told twice"


def test_a_training_stops_at_its_target(tmp_path, capsys) -> None:
    words = ["test/Constant-v0", *SMALL, "--target", "1", "--steps", "5000", "--out", str(tmp_path / "run")]
    assert train(*words, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["stop_reason"], result["return_mean"]) == ("target", 1.0)
    assert result["env_steps"] < 1000


def test_a_training_ends_after_its_minutes_and_goes_on_for_more(tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert train("test/Constant-v0", *SMALL, "--minutes", "0.01", "--out", str(out), "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["stop_reason"], first["wall_seconds"] >= 0.6) == ("minutes", True)
    with (out / "progress.csv").open() as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    assert rates == sorted(rates, reverse=True), "the learning rate falls with the time that is left"
    assert train("--resume", str(out), "--minutes", "0.02", "--json") == 0
    second = json.loads(capsys.readouterr().out)
    assert second["env_steps"] > first["env_steps"]
    assert second["wall_seconds"] >= 1.2, "the seconds before are counted"


def test_a_batched_task_is_trained_in_its_own_form(tmp_path) -> None:
    words = ["nf_envs:nf/CartPoleNoVel-v1", "--num-envs", "16", "--n-steps", "16", "--batch-size", "128"]
    assert train(*words, "--steps", "512", "--n-epochs", "1", "--out", str(tmp_path / "run")) == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Which task?"),
        (["Nope-v1"], "Nope-v1 cannot be made"),
        (["test/Words-v0"], "Text observations are not supported"),
        (["test/FreeForce-v0"], "Unbounded Box actions are not supported"),
        (["CartPole-v1", "--steps", "0"], "--steps must be at least 1, not 0"),
        (["CartPole-v1", "--minutes", "0"], "--minutes must be above 0, not 0"),
        (["CartPole-v1", "--patience", "2"], "--patience must be above 0 and at most 1, not 2"),
        (["CartPole-v1", "--n-steps", "96", "--batch-size", "64", "--seq-len", "64"], "must divide both"),
        (["CartPole-v1", "--device", "nowhere"], "There is no device 'nowhere' here: use --device cpu."),
        (["CartPole-v1", "--field-option", "no_such_option=1"], "no_such_option"),
        (["CartPole-v1", "--field", "gru", "--field-option", "no_such_option=1"], "'no_such_option'"),
        (["CartPole-v1", "--field", "lstm", "--field-option", "tau_init=2"], "'tau_init'"),
        (["CartPole-v1", "--field", "memoryless", "--field-option", "no_such_option=1"], "'no_such_option'"),
        (["CartPole-v1", "--field", "memoryless", "--field-option", "layers=x"], "layers must be 0 to 100, not 'x'"),
        (["CartPole-v1", "--field", "gru", "--field-option", "output_size=3"], "cannot set output_size"),
        (["CartPole-v1", "--hidden-size", "0"], "--hidden-size must be at least 1, not 0"),
        (["CartPole-v1", "--num-envs", "0"], "--num-envs must be at least 1"),
        (["CartPole-v1", "--hide", "0", "1", "2", "3"], "leave at least one"),
        (["CartPole-v1", "--out", "/dev/null/run"], "/dev/null/run cannot be made"),
        (["--resume", "nowhere"], "There is no run in nowhere"),
        (["test/Broken-v0", *SMALL, "--out", "run"], "finite numbers"),
        (["test/BrokenSensor-v0", *SMALL, "--out", "run"], "finite numbers"),
    ],
)
def test_bad_input_gets_one_sentence_and_a_non_zero_exit(words, sentence, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert train(*words) == 1
    out, messages = capsys.readouterr()
    assert sentence in messages
    assert len([line for line in messages.splitlines() if not line.startswith("playing")]) == 1
    assert out == ""


def test_a_training_is_neither_overwritten_nor_continued_with_other_options(tmp_path, capsys) -> None:
    out = str(tmp_path / "run")
    words = ["CartPole-v1", *SMALL, "--steps", "64", "--out", out]
    assert train(*words) == 0
    assert train(*words) == 1
    assert f"--resume {out}" in capsys.readouterr().err
    assert train("--resume", out, "--gamma", "0.5") == 1
    assert "--gamma cannot change" in capsys.readouterr().err
    (Path(out) / "checkpoint" / "checkpoint.safetensors").write_bytes(b"broken")
    assert train("--resume", out) == 1
    assert "is not a whole checkpoint" in capsys.readouterr().err


def test_a_batched_task_tells_which_of_its_observations_are_velocities(tmp_path) -> None:
    out = tmp_path / "run"
    assert train("nf/BallOnBeam-v0", "--hide-velocity", "--steps", "256", *SMALL, "--out", str(out)) == 0
    assert Policy.load(out / "policy.safetensors").visible == (0, 1)
