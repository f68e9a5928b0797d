"""Every kind of space in every use: searched briefly, saved, loaded in a new process, played, and equal."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from every_space import ACTIONS, OBSERVATIONS

from nf_policies.cli import main

SEARCHES = {
    "train": ["--steps", "64", "--num-envs", "2", "--n-steps", "16", "--batch-size", "32", "--n-epochs", "1"],
    "evolve": ["--generations", "2", "--population", "4", "--episodes", "1"],
}
BACKENDS = {
    "environments": ["--workers", "0"],
    "processes": ["--workers", "2"],
    "batched": [],
}


class Cell(NamedTuple):
    """One search on one task."""

    use: str
    backend: str
    task: str


SHOWS = [f"space_tasks:spaces/Shows-{name}-v0" for name in OBSERVATIONS]
TAKES = [f"space_tasks:spaces/Takes-{name}-v0" for name in ACTIONS]
IN_PROCESSES = [f"space_tasks:spaces/Shows-{name}-v0" for name in ("image", "wide_integers", "dict", "tuple", "nested")]
IN_PROCESSES += [f"space_tasks:spaces/Takes-{name}-v0" for name in ("discrete", "multi_binary_matrix", "integers")]
IN_BATCHES = ["nf/CartPole-v1", "nf/MountainCar-v0", "nf/Pendulum-v1", "nf/BallBalancer-v0", "nf/TMaze-v0"]
TASKS = {"environments": SHOWS + TAKES, "processes": IN_PROCESSES, "batched": IN_BATCHES}
FEW = [
    Cell("train", "environments", "space_tasks:spaces/Shows-nested-v0"),
    Cell("evolve", "processes", "space_tasks:spaces/Shows-image-v0"),
    Cell("evolve", "environments", "space_tasks:spaces/Takes-integers-v0"),
]

REPLAY = """
import sys
from nf_policies.cli import main
for line in sys.stdin:
    words = line.split()
    assert main(["rollout", *words, "--json"]) == 0
"""


def assert_files_act_as_what_was_searched(cells: list[Cell], folder: Path, capsys: pytest.CaptureFixture) -> None:
    """Search in this process, then play all files in one other process, on the episodes of their scores."""
    results, calls = [], []
    for i, cell in enumerate(cells):
        words = [*SEARCHES[cell.use], *BACKENDS[cell.backend], "--hidden-size", "2", "--out", str(folder / str(i))]
        assert main([cell.use, cell.task, *words, "--json"]) == 0, cell
        result = json.loads(capsys.readouterr().out)
        results.append(result)
        how = "batched" if cell.backend == "batched" else "gymnasium"
        calls.append(f"{result['policy']} --env {cell.task} --backend {how} --seed {result['seed']}")
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    told = {"input": "\n".join(calls), "text": True, "capture_output": True, "env": os.environ | {"PYTHONPATH": paths}}
    replay = subprocess.run([sys.executable, "-W", "ignore", "-c", REPLAY], check=False, **told)
    assert replay.returncode == 0, replay.stderr
    for cell, result, line in zip(cells, results, replay.stdout.splitlines(), strict=True):
        assert json.loads(line)["returns"] == result["returns"], cell


def test_a_file_of_some_spaces_acts_in_a_new_process_as_what_was_searched(tmp_path, capsys) -> None:
    assert_files_act_as_what_was_searched(FEW, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("use", SEARCHES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_of_every_space_acts_in_a_new_process_as_what_was_searched(use, backend, tmp_path, capsys) -> None:
    cells = [Cell(use, backend, task) for task in TASKS[backend]]
    assert_files_act_as_what_was_searched(cells, tmp_path, capsys)
