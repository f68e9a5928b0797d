"""Evolution on a real cluster of three nodes: the bytes of one machine, whoever plays, dies, hangs or raises."""

import json
import platform
import random
import shutil
import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the extra ray")
from local_nodes import command, finished, nodes
from safetensors.torch import save

from nf_policies.runs.checkpoint import CHECKPOINT, load_checkpoint

TASK = ("evolve", "troubled_task:Troubled-v0", "--population", "8", "--episodes", "2", "--generations", "6")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With the task, and a run of one machine in `here`."""
    place = tmp_path_factory.mktemp("ray")
    shutil.copy(Path(__file__).with_name("troubled_task.py"), place)
    status, said = finished(command(place, *TASK, "--workers", "0", "--out", "here"))
    assert status == 0, said
    return place


@pytest.fixture(scope="module")
def cluster(folder):
    with nodes(3, folder) as running:
        yield running


def same_bytes(folder: Path, run: str) -> bool:
    """Of the policies, and of the checkpoint but for the options, --workers among them, that it names."""
    mine, single = folder / run, folder / "here"
    same = all((mine / f).read_bytes() == (single / f).read_bytes() for f in ("best.safetensors", "policy.safetensors"))
    (_, numbers, tensors), (_, expected, others) = (
        load_checkpoint(f / CHECKPOINT, "evolution") for f in (mine, single)
    )
    return same and numbers == expected and save(tensors) == save(others)


@pytest.mark.parametrize("workers", [1, 6])
def test_any_number_of_workers_leaves_the_bytes_of_one_machine(folder, cluster, workers) -> None:
    run = f"workers-{workers}"
    status, said = finished(command(folder, *TASK, "--ray", cluster[0].head, "--workers", str(workers), "--out", run))
    assert status == 0, said
    assert same_bytes(folder, run)


def test_killed_workers_and_a_killed_node_cost_nothing_but_time(folder, cluster) -> None:
    running = command(folder, *TASK, "--ray", cluster[0].head, "--workers", "4", "--out", "killed")
    chance, killed = random.Random(0), 0
    until = time.monotonic() + 100
    while running.poll() is None and killed < 10 and time.monotonic() < until:
        time.sleep(chance.uniform(0.5, 2.0))
        players = [player for node in cluster for player in node.players()]
        if players and (folder / "killed" / "progress.csv").exists():
            if killed == 4:
                cluster[2].kill()
            else:
                chance.choice(players).kill()
            killed += 1
    status, said = finished(running)
    assert status == 0, said
    assert killed >= 5, "the node too"
    assert "A worker of troubled_task:Troubled-v0 died; others play its" in said
    assert same_bytes(folder, "killed")


def in_trouble(folder: Path, kind: str, running, run: str) -> tuple[int, str]:
    """Make trouble in the task once the workers play it; how the command ended, and what it said."""
    until = time.monotonic() + 60
    while not (folder / run / "progress.csv").exists() and running.poll() is None and time.monotonic() < until:
        time.sleep(0.1)
    (folder / kind).touch()
    try:
        return finished(running)
    finally:
        (folder / kind).unlink(missing_ok=True)


def test_a_step_that_hangs_is_given_up_and_told(folder, cluster) -> None:
    words = ("--ray", cluster[0].head, "--workers", "2", "--step-timeout", "3", "--out", "hung-run")
    status, said = in_trouble(folder, "hang", command(folder, *TASK, *words), "hung-run")
    assert status == 0, said
    assert "has taken no step for 3 seconds (the step timeout)" in said
    assert same_bytes(folder, "hung-run")


def test_a_task_that_raises_on_the_workers_is_told_in_one_sentence(folder, cluster) -> None:
    words = ("--ray", cluster[0].head, "--workers", "2", "--out", "raised")
    status, said = in_trouble(folder, "raise", command(folder, *TASK, *words), "raised")
    assert status == 1, said
    assert "RuntimeError: the motor is not there" in said
    assert "Traceback" not in said


def test_a_task_that_kills_its_worker_each_time_is_given_up(folder, cluster) -> None:
    words = ("--ray", cluster[0].head, "--workers", "2", "--out", "dies")
    status, said = in_trouble(folder, "die", command(folder, *TASK, *words), "dies")
    assert status == 1, said
    assert "cannot be played on the Ray cluster: 5 times a worker died." in said


def test_a_node_without_what_the_task_needs_is_told_and_left_out(folder, tmp_path_factory) -> None:
    with nodes(2, tmp_path_factory.mktemp("poor"), WITHOUT_MOTORS="1") as (head, _):
        status, said = finished(command(folder, *TASK, "--ray", head.head, "--workers", "4", "--out", "half"))
        assert status == 0, said
        assert f"cannot be made on the node {platform.node()}" in said
        assert "No module named 'motors'" in said
        assert same_bytes(folder, "half")


def test_a_sweep_brings_home_what_its_runs_leave(folder, cluster) -> None:
    words = ("evolve", "nf/CartPole-v1", "--generations", "2", "--population", "4")
    on = ("--seeds", "0:2", "--workers", "2", "--ray", cluster[0].head, "--out", "swept")
    status, said = finished(command(folder, "sweep", *on, "--", *words))
    assert status == 0, said
    for seed in (0, 1):
        result = json.loads((folder / "swept" / f"seed-{seed}" / "result.json").read_text())
        assert (folder / result["policy"]).exists()


def test_of_two_clusters_the_one_plays_whose_address_is_given(folder, cluster, tmp_path_factory) -> None:
    with nodes(1, tmp_path_factory.mktemp("two")) as others:  # whose sockets need a short path
        assert others[0].head != cluster[0].head
        running = {
            name: command(folder, *TASK, "--ray", head, "--workers", "1", "--out", name)
            for name, head in (("first", cluster[0].head), ("second", others[0].head))
        }
        until, seen = time.monotonic() + 100, set()
        while any(process.poll() is None for process in running.values()) and time.monotonic() < until:
            seen |= {name for name, node in (("first", cluster[0]), ("second", others[0])) if node.players()}
            time.sleep(0.2)
        for name, process in running.items():
            status, said = finished(process)
            assert status == 0, said
            assert same_bytes(folder, name)
    assert "second" in seen


def test_after_the_death_of_the_head_resume_goes_on_to_the_same_bytes(folder, cluster) -> None:
    running = command(folder, *TASK, "--ray", cluster[0].head, "--workers", "2", "--out", "headless")
    until = time.monotonic() + 60
    while not (folder / "headless" / CHECKPOINT).exists() and time.monotonic() < until:
        time.sleep(0.2)
    cluster[0].kill()
    status, said = finished(running)
    assert status != 0, said
    status, said = finished(command(folder, "evolve", "--resume", "headless"))
    assert status == 0, said
    assert same_bytes(folder, "headless")
