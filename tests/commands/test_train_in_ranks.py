"""nf-policies train in several processes: files of one, one sentence at each end, and --resume with another number."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch.distributed as dist
from safetensors.torch import load_file

from nf_policies import Policy
from nf_policies.cli import main

sys.path.append(str(Path(__file__).parents[1] / "ppo"))
from in_ranks import Started

pytestmark = pytest.mark.skipif(os.name == "nt" or not dist.is_available(), reason="forks processes that gloo connects")
SMALL = ["--num-envs", "4", "--n-steps", "32", "--batch-size", "64", "--seq-len", "16", "--n-epochs", "1"]
TRAIN = ["train", "CartPole-v1", "--max-episode-steps", "20", *SMALL]


@pytest.fixture(scope="module", autouse=True)
def imported(tmp_path_factory) -> None:
    """What a training imports and compiles, which forked processes then have."""
    main([*TRAIN, "--steps", "128", "--out", str(tmp_path_factory.mktemp("first") / "run")])


def ended(words: list[str], size: int, logs: Path) -> tuple[list[int], list[str]]:
    """The status and the messages of each rank."""
    logs.mkdir()
    statuses = Started(lambda: main(words), size, logs).results()
    return statuses, [(logs / str(number)).read_text() for number in range(size)]


def steps_of(run_dir: Path) -> list[int]:
    with (run_dir / "progress.csv").open() as file:
        return [int(row["env_steps"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_only_the_first_rank_writes_and_other_numbers_of_ranks_go_on(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    statuses, messages = ended([*TRAIN, "--steps", "256"], 2, tmp_path / "logs")
    assert statuses == [0, 0], messages
    assert "in 4 environments of 2 ranks" in messages[0]
    assert messages[1] == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", "runs"]
    (run_dir,) = (tmp_path / "runs").iterdir()
    assert steps_of(run_dir) == [128, 256]
    resumed = ["train", "--resume", str(run_dir), "--steps"]
    assert main([*resumed, "384"]) == 0
    assert ended([*resumed, "512"], 4, tmp_path / "logs4")[0] == [0] * 4
    assert ended([*resumed, "512"], 2, tmp_path / "nothing")[0] == [0, 0], "nothing is left to do"
    assert steps_of(run_dir) == [128, 256, 384, 512]
    statuses, messages = ended([*resumed, "640"], 3, tmp_path / "logs3")
    assert statuses[0] == 1
    assert "3 processes cannot share --num-envs 4 equally: use --num-envs 6." in messages[0]
    assert Policy.load(run_dir / "best.safetensors").made_by["env_steps"] <= 512


@pytest.mark.slow
def test_two_continuations_by_two_ranks_are_equal(tmp_path) -> None:
    files = []
    for name in ("one", "other"):
        out = tmp_path / name
        assert ended([*TRAIN, "--steps", "256", "--out", str(out)], 2, tmp_path / f"{name}-begun")[0] == [0, 0]
        assert ended(["train", "--resume", str(out), "--steps", "512"], 2, tmp_path / f"{name}-on")[0] == [0, 0]
        files.append(load_file(out / "policy.safetensors"))
    assert all((files[0][name] == files[1][name]).all() for name in files[0])


@pytest.mark.parametrize(
    ("which", "number"),
    [
        pytest.param(0, signal.SIGKILL, marks=pytest.mark.slow),
        (1, signal.SIGKILL),
        pytest.param(None, signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_rank_that_is_killed_or_asked_to_end_ends_all_with_a_sentence(which, number, tmp_path) -> None:
    out = tmp_path / "run"
    (tmp_path / "logs").mkdir()
    ranks = Started(lambda: main([*TRAIN, "--steps", "100000000", "--out", str(out)]), 2, tmp_path / "logs")
    while not (out / "checkpoint" / "checkpoint.safetensors").exists():
        time.sleep(0.01)
    began = time.monotonic()
    for process in ranks.processes if which is None else [ranks.processes[which]]:
        os.kill(process.pid, number)
    statuses = ranks.results()
    assert time.monotonic() - began < 20
    messages = [(tmp_path / "logs" / str(rank)).read_text() for rank in range(2)]
    assert "Traceback" not in "".join(messages)
    if which is None:
        assert statuses == [130, 130]
    else:
        assert statuses == [None if rank == which else 1 for rank in range(2)]
        assert "Another process of this training has ended, and so does this one." in messages[1 - which]
    if which != 0:
        assert re.search(f"To go on: nf-policies train --resume {out}\n", messages[0])
    done = steps_of(out)[-1]
    assert ended(["train", "--resume", str(out), "--steps", str(done + 128)], 2, tmp_path / "on")[0] == [0, 0]
    assert steps_of(out)[-1] >= done + 128


def test_what_no_rank_can_do_is_told_once(tmp_path) -> None:
    statuses, messages = ended(["train", "NoTask-v0"], 2, tmp_path / "logs")
    assert statuses == [1, 0]
    assert "NoTask" in messages[0]
    assert messages[1] == ""


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nf_policies"]


@pytest.mark.slow
def test_two_ranks_balance_the_cart_pole_without_velocities_in_the_steps_of_one(tmp_path) -> None:
    words = ["train", "CartPole-v1", "--hide-velocity", "--seed", "0", "--out", str(tmp_path / "run"), "--json"]
    ended = subprocess.run([*TORCHRUN, *words], capture_output=True, check=True, text=True)
    result = json.loads(ended.stdout)
    assert result["return_mean"] >= 495
    assert result["env_steps"] <= 103_000, "those of the preset, to the end of a rollout"


@pytest.mark.slow
def test_torchrun_ends_within_a_minute_where_a_rank_is_killed(tmp_path) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen([*TORCHRUN, *TRAIN, "--steps", "100000000", "--out", str(out)], stderr=subprocess.PIPE)
    while not (out / "checkpoint" / "checkpoint.safetensors").exists():
        time.sleep(0.1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    _, messages = process.communicate(timeout=60)
    assert process.returncode != 0
    assert f"To go on: nf-policies train --resume {out}" in messages.decode()
    assert main(["train", "--resume", str(out), "--steps", str(steps_of(out)[-1] + 128)]) == 0
