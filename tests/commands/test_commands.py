"""The command line as a user meets it: files, JSON, resuming, Ctrl-C, and what bad input gets."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nf_policies import Policy, SimpleNeuralField
from nf_policies.cli import main
from nf_policies.tasks.batched import make_batched

COMMAND = [sys.executable, "-m", "nf_policies.cli"]
EVOLVED = ["best.safetensors", "checkpoint", "config.json", "learning_curve.png", "policy.safetensors", "progress.csv"]
EVOLVED += ["result.json"]
KEYS = {"env_id", "episodes", "seed", "return_mean", "return_std", "return_median", "return_min", "returns"} | {
    "n_parameters",
    "steps",
    "steps_per_second",
    "max_episode_steps",
}


def evolve(*words: str) -> int:
    return main(["evolve", *words])


def rows(run_dir: Path) -> list[dict[str, str]]:
    """progress.csv without the clock."""
    with (run_dir / "progress.csv").open() as file:
        return [{k: v for k, v in row.items() if "second" not in k} for row in csv.DictReader(file)]


def test_evolve_and_rollout_in_a_new_process_agree(tmp_path, capsys) -> None:
    out = tmp_path / "run"
    words = ["CartPole-v1", "--hide-velocity", "--generations", "4", "--population", "6", "--episodes", "2"]
    assert evolve(*words, "--out", str(out), "--json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1, "one JSON object and nothing else"
    result = json.loads(lines[0])
    more = {"env_steps", "evaluations", "wall_seconds", "stop_reason", "run_dir", "policy"}
    assert set(result) >= KEYS | more
    played = int(rows(out)[-1]["evaluations"]) + 2  # of the best and the mean on the task itself
    assert played >= 4 * (6 + 1) + 2, "the mean of the search plays along"
    assert (result["stop_reason"], result["evaluations"], result["n_parameters"]) == ("generations", played, 15)
    assert set(EVOLVED) <= {path.name for path in out.iterdir()}
    assert any(path.name.startswith("events.out.tfevents") for path in out.iterdir())
    again = subprocess.run(
        [*COMMAND, "rollout", result["policy"], "--json", "--seed", str(result["seed"])],
        capture_output=True,
        check=True,
        text=True,
    )
    played = json.loads(again.stdout)
    assert set(played) == KEYS
    assert played["returns"] == result["returns"]


def test_resuming_is_exact_and_takes_a_new_budget(tmp_path) -> None:
    words = ["test/Recall-v0", "--population", "6", "--episodes", "2", "--seed", "5"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert evolve(*words, "--generations", "8", "--out", str(whole)) == 0
    assert evolve(*words, "--generations", "4", "--out", str(parts)) == 0
    assert evolve("--resume", str(parts), "--generations", "8") == 0
    for name in ("best.safetensors", "policy.safetensors", "checkpoint/checkpoint.safetensors"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name
    assert rows(whole) == rows(parts)


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
@pytest.mark.parametrize(
    ("kill", "status"), [(signal.SIGINT, 130), pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_loses_nothing_and_goes_on(kill, status, tmp_path) -> None:
    out = tmp_path / "run"
    command = [*COMMAND, "evolve", "Pendulum-v1", "--out", str(out), "--population", "4", "--engine", "eager"]
    process = subprocess.Popen([*command, "--episodes", "1"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("generation 5"):
            break
    process.send_signal(kill)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == status
    if kill == signal.SIGINT:
        assert f"nf-policies evolve --resume {out}" in messages
        assert (out / "best.safetensors").exists()
    generations = len(rows(out))
    assert generations >= 5
    assert evolve("--resume", str(out), "--generations", str(generations + 2)) == 0
    assert [int(row["generation"]) for row in rows(out)] == list(range(1, generations + 3))


def test_a_run_stops_at_its_target(tmp_path, capsys) -> None:
    assert evolve("test/Constant-v0", "--target", "1", "--out", str(tmp_path / "run"), "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["stop_reason"], result["return_mean"]) == ("target", 1.0)
    assert len(rows(tmp_path / "run")) == 1, "one generation was enough"


def test_a_run_that_gains_nothing_ends_by_patience_and_goes_on_with_more_of_it(tmp_path, capsys) -> None:
    words = ["test/Constant-v0", "--population", "4", "--episodes", "1", "--out", str(tmp_path / "run")]
    assert evolve(*words, "--generations", "20", "--patience", "0.25") == 0
    assert "nothing was gained with the last 25% of the budget: 6 iterations" in capsys.readouterr().out
    resumed = ["--resume", str(tmp_path / "run"), "--json"]
    # The first generation found a policy that returns 1, as all do.
    for more, reason, generations in (
        ([], "patience", 6),
        (["--patience", "0.5"], "patience", 11),
        (["--generations", "15"], "generations", 15),
        (["--generations", "40", "--patience", "0.5"], "patience", 21),
    ):
        assert evolve(*resumed, *more) == 0
        assert json.loads(capsys.readouterr().out)["stop_reason"] == reason
        assert len(rows(tmp_path / "run")) == generations


def test_returns_that_are_not_finite_are_counted_and_reported(tmp_path, capsys) -> None:
    assert evolve("test/Broken-v0", "--generations", "3", "--out", str(tmp_path / "run"), "--json") == 0
    out, messages = capsys.readouterr()
    assert json.loads(out)["not_finite"] > 0
    assert "Some returns were not finite: A reward is nan" in messages


@pytest.mark.parametrize("options", [["--field", "neural"], ["--dynamics", "capacity_21", "--restarts", "bipop"]])
def test_other_fields_and_searches_work(options, tmp_path) -> None:
    words = ["MountainCar-v0", "--max-episode-steps", "20", "--generations", "2", "--episodes", "1"]
    assert evolve(*words, *options, "--out", str(tmp_path / "run")) == 0


def test_a_users_own_module_is_found(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "my_tasks.py").write_text(
        "import gymnasium as gym\n"
        "from gymnasium.envs.classic_control import PendulumEnv\n"
        "gym.register('MyTask-v0', PendulumEnv, max_episode_steps=10)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert evolve("my_tasks:MyTask-v0", "--generations", "1", "--json") == 0
    run_dir = Path(json.loads(capsys.readouterr().out)["run_dir"])
    assert run_dir == Path("runs/my_tasks-MyTask-v0-evolve-001")
    assert evolve("my_tasks:MyTask-v0", "--generations", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["run_dir"].endswith("-002"), "a run is never overwritten"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["evolve"], "Which task?"),
        (["evolve", "Nope-v1"], "Nope-v1 cannot be made"),
        (["evolve", "test/Words-v0"], "Text observations are not supported"),
        (["evolve", "test/FreeForce-v0"], "Unbounded Box actions are not supported"),
        (["evolve", "CartPole-v1", "--episodes", "0"], "--episodes must be at least 1, not 0"),
        (["evolve", "CartPole-v1", "--hidden-size", "0"], "--hidden-size must be at least 1, not 0"),
        (["evolve", "CartPole-v1", "--objective", "luck"], "mean, worst:K or cvar:SHARE"),
        (["evolve", "CartPole-v1", "--field-option", "no_such_option=1"], "no_such_option"),
        (["evolve", "CartPole-v1", "--field-option", "self_excitation=1"], "'self_excitation'"),
        (["evolve", "CartPole-v1", "--field-option", "tau_min=null"], "tau_min must be numbers, not None"),
        (["evolve", "CartPole-v1", "--field-option", "hidden_size=3"], "cannot set hidden_size"),
        (["evolve", "CartPole-v1", "--field", "neural", "--dynamics", "linear"], "dynamics"),
        (["evolve", "CartPole-v1", "--device", "nowhere"], "There is no device 'nowhere' here"),
        (["evolve", "CartPole-v1", "--generations", "0"], "--generations must be at least 1"),
        (["evolve", "CartPole-v1", "--minutes", "-1"], "--minutes must be above 0, not -1"),
        (["evolve", "CartPole-v1", "--patience", "0"], "--patience must be above 0 and at most 1, not 0"),
        (["evolve", "CartPole-v1", "--population", "2"], "population of at least 3"),
        (["evolve", "CartPole-v1", "--sigma", "nan"], "--sigma must be a number, not nan"),
        (["train", "CartPole-v1", "--ent-coef", "nan"], "--ent-coef must be a number, not nan"),
        (["train", "CartPole-v1", "--horizon-growth", "inf"], "--horizon-growth must be finite, not inf"),
        (["evolve", "CartPole-v1", "--hide", "0", "1", "2", "3"], "leave at least one"),
        (["evolve", "CartPole-v1", "--tau", "0"], "tau_init must be greater"),
        (["evolve", "CartPole-v1", "--out", "/dev/null/run"], "/dev/null/run cannot be made"),
        (["evolve", "--resume", "nowhere"], "There is no run in nowhere"),
        (["rollout", "nothing.safetensors"], "There is no policy file at nothing.safetensors"),
    ],
)
def test_bad_input_gets_one_sentence_and_a_non_zero_exit(words, sentence, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    out, messages = capsys.readouterr()
    assert sentence in messages
    assert len(messages.splitlines()) == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_a_run_is_neither_overwritten_nor_continued_with_other_options(tmp_path, capsys) -> None:
    out = str(tmp_path / "run")
    words = ["test/Constant-v0", "--generations", "1", "--out", out]
    assert evolve(*words) == 0
    before = {path: path.read_bytes() for path in Path(out).rglob("*") if path.is_file()}
    assert evolve(*words) == 1
    assert f"--resume {out}" in capsys.readouterr().err
    assert evolve("--resume", out, "--sigma", "2") == 1
    assert "--sigma cannot change" in capsys.readouterr().err
    assert main(["train", "--resume", out]) == 1
    assert "is not a run of nf-policies train, but of evolve" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path(out).rglob("*") if path.is_file()} == before


def test_a_policy_is_played_with_the_time_limit_of_its_run(tmp_path, capsys) -> None:
    words = ["CartPole-v1", "--max-episode-steps", "6", "--generations", "1", "--population", "4", "--episodes", "1"]
    assert evolve(*words, "--out", str(tmp_path / "run")) == 0
    capsys.readouterr()
    for more, longest in (([], 6), (["--max-episode-steps", "4"], 4)):
        assert main(["rollout", str(tmp_path / "run" / "best.safetensors"), "--episodes", "3", "--json", *more]) == 0
        assert json.loads(capsys.readouterr().out)["returns"] == [longest] * 3


ONE_ROBOT = """
import gymnasium as gym
import numpy as np

class Robot(gym.Env):
    observation_space, action_space = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2)
    connected = 0
    def __init__(self):
        if Robot.connected:
            raise RuntimeError("the simulator runs already in this process")
        Robot.connected += 1
    def close(self):
        Robot.connected -= 1
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}
    def step(self, action):
        return np.zeros(2, np.float32), 1.0, True, False, {}

gym.register("Robot-v0", Robot, max_episode_steps=9)
"""


def test_a_task_that_exists_once_in_a_process_can_be_evolved_by_a_worker(tmp_path, monkeypatch) -> None:
    (tmp_path / "one_robot.py").write_text(ONE_ROBOT)
    monkeypatch.chdir(tmp_path)
    words = ["evolve", "one_robot:Robot-v0", "--workers", "1", "--generations", "1", "--population", "4"]
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_options_of_field_and_search_reach_them(tmp_path) -> None:
    words = ["test/Constant-v0", "--generations", "1", "--out", str(tmp_path / "run")]
    words += ["--field-option", "dt=0.5", "--field-option", "tau_min=2", "--tau", "3"]
    assert evolve(*words, "--scale", "log_tau=3", "--objective", "worst:2", "--no-normalise") == 0
    policy = Policy.load(tmp_path / "run" / "policy.safetensors")
    assert (policy.field.describe()["tau_min"], policy.field.describe()["dt"]) == (2, 0.5)
    assert policy.normalizer.count == 0


def test_an_unwritable_file_of_a_rollout_is_told_and_the_policy_stays(tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert evolve("test/Constant-v0", "--generations", "1", "--out", str(out)) == 0
    policy = out / "best.safetensors"
    assert main(["rollout", str(policy), "--record", "/dev/null/r.npz"]) == 1
    assert "/dev/null" in capsys.readouterr().err
    assert policy.exists()


def test_rollout_plays_the_batched_twin_where_it_is_told_to(tmp_path, capsys) -> None:
    envs = make_batched("nf/CartPole-v1")
    spaces = envs.single_observation_space, envs.single_action_space
    generator = torch.Generator().manual_seed(0)
    path = tmp_path / "policy.safetensors"
    Policy(SimpleNeuralField(4, 1, 2, generator=generator), *spaces, env_id="CartPole-v1").save(path)
    returns = {}
    for backend in ("gymnasium", "batched"):
        assert main(["rollout", str(path), "--backend", backend, "--episodes", "400", "--json"]) == 0
        returns[backend] = np.array(json.loads(capsys.readouterr().out)["returns"])
    means, errors = ([f(r) for r in returns.values()] for f in (np.mean, lambda r: r.std() / len(r) ** 0.5))
    assert abs(means[0] - means[1]) < 4 * np.hypot(*errors), "both are the same task"
    assert main(["rollout", str(path), "--backend", "batched", "--env", "LunarLander-v3"]) != 0
    assert "no batched task" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("backend", "where"), [("gymnasium", "in 10 environments"), ("batched", "all episodes at once")]
)
def test_a_batched_task_is_played_where_the_backend_says(backend, where, tmp_path, capsys) -> None:
    words = ["evolve", "nf/TMaze-v0", "--population", "4", "--episodes", "2", "--generations", "1"]
    assert main([*words, "--backend", backend, "--out", str(tmp_path / backend)]) == 0
    assert f"playing nf/TMaze-v0: {where}" in capsys.readouterr().err
