"""A run, with a learner that is as small as one can be: what a third learner needs, and what it gets."""

import csv
import json
import multiprocessing
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nf_policies import Policy, SimpleNeuralField
from nf_policies.runs.checkpoint import CHECKPOINT, CheckpointError, load_checkpoint, save_checkpoint
from nf_policies.runs.directory import RunError, new_run_directory
from nf_policies.runs.learner import State
from nf_policies.runs.lock import claimed
from nf_policies.runs.session import Session


def policy(weight: float = 0.0) -> Policy:
    space = Box(-1, 1, (1,))
    made = Policy(SimpleNeuralField(1, 1, 2), space, Discrete(2), env_id="test/Constant-v0")
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.fill_(weight)
    return made


class Climber:
    """Return one more in each step, which plays 10 environment steps."""

    kind = "climbing"
    columns = ("step", "env_steps", "return_now", "sigma")
    tags: ClassVar[dict[str, str]] = {"sigma": "search/sigma"}
    curves: ClassVar[dict[str, str]] = {"return_now": "now"}
    last_panel = "sigma"
    improves_until, is_judged = 10_000, True

    def __init__(self, interrupt_at: int = -1) -> None:
        self.iteration, self.env_steps, self.improved_at, self.interrupt_at = 0, 0, 0, interrupt_at
        self.used: list[float] = []

    def conclude(self) -> dict[str, float]:
        return {}

    def step(self, used: float) -> dict[str, float]:
        self.used.append(used)
        if self.iteration == self.interrupt_at:
            raise KeyboardInterrupt
        self.iteration += 1
        self.env_steps += 10
        self.improved_at = min(self.env_steps, self.improves_until)
        return {"step": self.iteration, "return_now": self.iteration, "sigma": float("nan")}

    def reached(self, target: float) -> bool:
        self.env_steps += 3  # of confirming
        return self.iteration >= target

    def count(self, steps: int) -> None:
        self.env_steps += steps

    def best(self) -> Policy:
        return policy(self.iteration)

    def last(self) -> Policy:
        return policy(-self.iteration)

    def state(self) -> State:
        return {"iteration": self.iteration, "env_steps": self.env_steps}, {"t": torch.tensor(self.iteration)}

    def load(self, state: State) -> None:
        numbers, tensors = state
        self.iteration, self.env_steps = numbers["iteration"], numbers["env_steps"]
        self.improved_at = min(self.env_steps, self.improves_until)
        if int(tensors["t"]) != self.iteration:
            raise ValueError("The two do not agree.")

    def summary(self) -> dict[str, Any]:
        return {"evaluations": self.iteration}

    def line(self) -> str:
        return f"return {self.iteration}"


@dataclass
class Score:
    """What a policy's weights are."""

    returns: np.ndarray
    steps: int = 7

    def summary(self) -> dict[str, Any]:
        return {"return_mean": float(self.returns.mean()), "return_std": float("inf")}


def session(
    folder: Path,
    learner: Climber | None = None,
    *,
    is_twin: bool = False,
    extra: dict[str, Any] | None = None,
    **budget: float,
) -> Session:
    def score(policy: Policy, purpose: str, iteration: int) -> Score:
        return Score(np.full(4, policy.field.resting_level.mean().item()))

    folder.mkdir(exist_ok=True)
    config = {"env": "test/Constant-v0", "seed": 4, **budget}
    return Session(learner or Climber(), folder, "climb", config, score, Console(quiet=True), is_twin, extra or {})


def run(folder: Path, learner: Climber | None = None, *, resume: bool = False, **options: Any) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(session(folder, learner, **options).run(resume=resume, as_json=True))
    return result


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "progress.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_all_its_files_and_its_result(tmp_path) -> None:
    result = run(tmp_path, generations=3, extra={"backend": "none"})
    assert result["stop_reason"] == "generations"
    assert (result["evaluations"], result["env_steps"], result["backend"]) == (3, 30, "none")
    names = {path.name for path in tmp_path.iterdir() if "tfevents" not in path.name}
    files = {"best.safetensors", "policy.safetensors", "checkpoint", "config.json", "progress.csv", "result.json"}
    assert names == {*files, "learning_curve.png"}
    stored = json.loads((tmp_path / "result.json").read_text())
    assert stored["return_std"] is None, "JSON knows no infinity"
    assert json.loads((tmp_path / "config.json").read_text())["command"] == "climb"
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2", "3"]
    assert rows(tmp_path)[0] == {"step": "1", "env_steps": "10", "return_now": "1", "sigma": ""}
    best = Policy.load(tmp_path / "best.safetensors")
    assert (best.made_by["command"], best.made_by["env_steps"], best.made_by["seed"]) == ("climb", 30, 4)


def test_saving_leaves_the_learners_policy_as_it_is(tmp_path) -> None:
    class Keeping(Climber):
        kept = policy()

        def best(self) -> Policy:
            return self.kept

    run(tmp_path, Keeping(), generations=2)
    assert Keeping.kept.made_by == {}
    assert Policy.load(tmp_path / "best.safetensors").made_by["iteration"] == 2


def test_steps_end_a_run_as_generations_do(tmp_path) -> None:
    result = run(tmp_path, steps=25)
    assert (result["stop_reason"], result["env_steps"]) == ("steps", 30)


def test_a_learner_is_told_how_much_of_the_budget_is_used_and_concludes_its_last_row(tmp_path) -> None:
    class Concluding(Climber):
        def conclude(self) -> dict[str, float]:
            return {"sigma": 1.0}

    learner = Concluding()
    run(tmp_path, learner, steps=40, generations=100)
    assert learner.used == [0, 0.25, 0.5, 0.75]
    assert [row["sigma"] for row in rows(tmp_path)] == ["", "", "", "1.0"]


def test_minutes_end_a_run_and_those_before_a_resume_count(tmp_path, monkeypatch) -> None:
    clock = iter(range(0, 100_000, 30))
    monkeypatch.setattr("nf_policies.runs.session.time.monotonic", lambda: next(clock))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Climber(interrupt_at=2), minutes=9.0)
    learner = Climber()
    result = run(tmp_path, learner, minutes=9.0, resume=True)
    assert result["stop_reason"] == "minutes"
    assert learner.used[0] > 0.25, "what was used before the interruption is used"
    assert sorted(learner.used) == learner.used
    assert 540 <= result["wall_seconds"] <= 720


def test_patience_ends_a_run_in_which_nothing_more_is_gained(tmp_path) -> None:
    class Reaching(Climber):
        improves_until = 20

    result = run(tmp_path / "a", Reaching(), steps=100, patience=0.5)
    assert (result["stop_reason"], result["env_steps"]) == ("patience", 70), "half of the budget after step 20"
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", Reaching(interrupt_at=4), steps=100, patience=0.5)
    assert run(tmp_path / "b", Reaching(), steps=100, patience=0.5, resume=True)["env_steps"] == 70
    assert run(tmp_path / "c", Climber(), steps=100, patience=0.5)["env_steps"] == 100, "it got better all the time"
    assert run(tmp_path / "d", Reaching(), steps=100)["env_steps"] == 100, "without patience all is spent"


def test_a_resumed_run_ends_as_one_that_was_not_interrupted(tmp_path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole, generations=6)
    with pytest.raises(KeyboardInterrupt):
        run(parts, Climber(interrupt_at=4), generations=6)
    run(parts, generations=6, resume=True)
    for name in ("best.safetensors", "policy.safetensors", str(CHECKPOINT), "progress.csv"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name


def test_a_run_that_ended_before_its_first_step_can_be_resumed(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Climber(interrupt_at=0), generations=2)
    assert run(tmp_path, generations=2, resume=True)["evaluations"] == 2


def test_what_a_target_plays_is_in_the_checkpoint_and_the_table(tmp_path) -> None:
    run(tmp_path, generations=9, target=2.0)
    assert [row["env_steps"] for row in rows(tmp_path)] == ["13", "26"]
    learner = Climber()
    again = run(tmp_path, learner, generations=9, target=2.0, resume=True)
    assert (again["stop_reason"], learner.iteration, learner.env_steps) == ("target", 2, 26)


def test_a_twin_is_confirmed_on_the_task_itself_and_all_its_steps_count(tmp_path) -> None:
    result = run(tmp_path, generations=9, target=2.0, is_twin=True)
    assert result["stop_reason"] == "target"
    assert result["env_steps"] == 2 * 13 + 7
    other = tmp_path / "other"
    assert run(other, generations=2, is_twin=True)["env_steps"] == 2 * 10 + 2 * 7


def test_rows_after_the_checkpoint_and_torn_ones_are_made_again(tmp_path) -> None:
    run(tmp_path, generations=2)
    with (tmp_path / "progress.csv").open("a") as file:
        file.write("3,30,3,\n4,4")
    run(tmp_path, generations=4, resume=True)
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2", "3", "4"]


def test_tensorboard_shows_each_step_once_after_a_resume(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Climber(interrupt_at=3), generations=5)
    run(tmp_path, generations=5, resume=True)
    board = EventAccumulator(str(tmp_path)).Reload()
    assert set(board.Tags()["scalars"]) == {"climbing/env_steps", "climbing/return_now"}
    assert [event.step for event in board.Scalars("climbing/return_now")] == [1, 2, 3, 4, 5]


def test_tensorboard_shows_a_first_step_once_that_was_killed_before_its_checkpoint(tmp_path, monkeypatch) -> None:
    for pid in (99_999, 100_000):  # within one second; the names of the first files would be sorted last
        with monkeypatch.context() as patched:
            patched.setattr("os.getpid", lambda pid=pid: pid)
            patched.setattr("nf_policies.runs.session.save_checkpoint", None)
            with pytest.raises(TypeError):
                run(tmp_path, generations=2, resume=pid == 100_000)
    monkeypatch.setattr("os.getpid", lambda: 100_001)
    run(tmp_path, generations=2, resume=True)
    assert len(list(tmp_path.glob("events.*"))) == 3
    board = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in board.Scalars("climbing/return_now")] == [1, 2]


def test_a_checkpoint_does_not_grow(tmp_path) -> None:
    run(tmp_path, generations=2)
    size = (tmp_path / CHECKPOINT).stat().st_size
    run(tmp_path, generations=9, resume=True)
    assert (tmp_path / CHECKPOINT).stat().st_size == size


def test_another_learners_a_damaged_or_an_unfitting_checkpoint_is_refused(tmp_path) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, "climbing", {"count": 1}, {"a": [1.5]}, {"x": torch.ones(2)})
    about, numbers, tensors = load_checkpoint(path, "climbing")
    assert (about, numbers, tensors["x"].tolist()) == ({"count": 1}, {"a": [1.5]}, [1, 1])
    with pytest.raises(CheckpointError, match="not of 'swimming'"):
        load_checkpoint(path, "swimming")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        load_checkpoint(path, "climbing")
    run(tmp_path / "run", generations=1)
    bad = {"iteration": 3, "env_steps": 0}
    save_checkpoint(tmp_path / "run" / CHECKPOINT, "climbing", {}, bad, {"t": torch.ones(())})
    with pytest.raises(CheckpointError, match="does not fit this run: The two do not agree"):
        run(tmp_path / "run", generations=2, resume=True)
    save_checkpoint(tmp_path / "run" / CHECKPOINT, "climbing", {}, {}, {})
    with pytest.raises(CheckpointError, match="does not fit this run: KeyError: 'iteration'"):
        run(tmp_path / "run", generations=2, resume=True)


def test_leftovers_of_a_killed_process_are_removed(tmp_path) -> None:
    run(tmp_path, generations=1)
    leftover = tmp_path / "checkpoint" / ".checkpoint-12345678.safetensors"
    leftover.touch()
    run(tmp_path, generations=2, resume=True)
    assert not leftover.exists()


def test_ctrl_c_while_files_are_written_waits_for_them(tmp_path, monkeypatch) -> None:
    class Pressing(Climber):
        def state(self) -> State:
            if self.iteration == 2:
                signal.raise_signal(signal.SIGINT)
            return super().state()

    monkeypatch.setattr("nf_policies.runs.session.CHECKPOINT_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Pressing(), generations=9)
    assert load_checkpoint(tmp_path / CHECKPOINT, "climbing")[0]["count"] == 2
    assert len(rows(tmp_path)) == 2


def make_folder(barrier: Any, found: Any, folder: str) -> None:
    os.chdir(folder)
    for number in range(20):
        barrier.wait()
        found.put(str(new_run_directory(None, f"T{number}-v0", "train")))


@pytest.mark.slow
def test_runs_that_begin_at_the_same_moment_have_folders_of_their_own(tmp_path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, found = context.Barrier(4), context.Queue()
    workers = [context.Process(target=make_folder, args=(barrier, found, str(tmp_path))) for _ in range(4)]
    for worker in workers:
        worker.start()
    folders = [found.get(timeout=60) for _ in range(80)]
    for worker in workers:
        worker.join()
    assert len(set(folders)) == 80


def test_two_processes_do_not_write_into_one_folder(tmp_path) -> None:
    with claimed(tmp_path), pytest.raises(RunError, match="Another process is writing"):
        run(tmp_path, generations=1)
    assert run(tmp_path, generations=1)["evaluations"] == 1
