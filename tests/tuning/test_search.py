"""A search of settings whose best value is known: trials, seeds, early stops, and what a kill leaves."""

import dataclasses
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from small_learner import Climbing

from nf_policies.runs.directory import RunError
from nf_policies.runs.presets import preset_of
from nf_policies.tuning.space import Range, settings_of, start_of
from nf_policies.tuning.trial import Outcome, Report, play
from nf_policies.tuning.workers import Failure, Workers

pytest.importorskip("optuna")
from nf_policies.tuning.report import draw, result_of, text_of, write_preset
from nf_policies.tuning.search import FRESH, Plan, Search, compare
from nf_policies.tuning.study import Study

SPACE = {"sigma": Range(0.01, 20, log=True), "self_excitation": Range(0, 1.5)}
START = preset_of("evolve", "") | {"sigma": 15.0, "steps": 100}


def plan(**changes: Any) -> Plan:
    start = changes.pop("start", START)
    numbers = {"steps": 100, "trials": 11, "seconds": 600.0, "seeds": 3, "seed": 0, **changes}
    return Plan(SPACE, start, Climbing, **numbers)


@pytest.fixture(scope="module")
def workers():
    with Workers(1) as workers:
        yield workers


def search(folder: Path, planned: Plan, workers: Workers, said: list[str] | None = None) -> list[Any]:
    """Search, and give the trials: state, proposal and value of each."""
    study = Study.open(folder, planned.seed)
    study.begin_with(start_of(planned.space, planned.start))
    Search(study, planned, ([] if said is None else said).append).run(workers)
    return [(trial.state.name, trial.params, trial.value) for trial in study.trials()]


def test_a_run_reports_each_tenth_and_counts_all_that_it_plays() -> None:
    reports: list[Report] = []
    outcome = play(Climbing({"sigma": 1.0}), 100, lambda report: bool(reports.append(report)))
    assert outcome == Outcome(100.0, 100 + 10 + 7)
    assert [(report.tenth, report.value) for report in reports] == [(n, 10.0 * n) for n in range(1, 10)]
    assert play(Climbing({"sigma": 1.0}), 100, lambda report: report.tenth == 4) == Outcome(40, 44, stopped=True)


def test_the_search_finds_what_is_better_stops_what_is_poor_and_takes_its_time_for_what_promises(
    tmp_path, workers
) -> None:
    said: list[str] = []
    found = search(tmp_path, plan(trials=18), workers, said)
    assert len(found) == len(said) == 18
    state, params, value = found[0]
    assert (state, params["sigma"]) == ("COMPLETE", 15.0), "trial 0 has the settings without options"
    assert value == pytest.approx(100 - 10 * 2.70805 + (0 + 1 + 2) / 3), "the mean of three seeds"
    assert "mean of 3 seeds" in said[0]
    assert "settings without options" in said[0]
    assert "PRUNED" in {state for state, _, _ in found}
    study = Study.open(tmp_path)
    assert study.best.value > value
    assert study.best.user_attrs["promises"]
    assert [len(t.user_attrs["values"]) for t in study.trials("COMPLETE")].count(1) > 0
    importances = study.importances()
    assert list(importances) == ["sigma", "self_excitation"]
    stopped = next(trial for trial in study.trials("PRUNED"))
    assert stopped.user_attrs["env_steps"] == 11 * stopped.last_step, "evaluations count"


def test_a_resumed_search_ends_as_one_that_was_not_interrupted(tmp_path, workers) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = search(tmp_path / "whole", plan(), workers)
    search(tmp_path / "parts", plan(trials=9), workers)
    assert search(tmp_path / "parts", plan(), workers) == whole


KILLED = """
import pathlib, sys
sys.path[:0] = [sys.argv[2]]
from small_learner import Climbing
from nf_policies.runs.presets import preset_of
from nf_policies.tuning.search import Plan, Search
from nf_policies.tuning.space import Range, start_of
from nf_policies.tuning.study import Study
from nf_policies.tuning.workers import Workers

if __name__ == "__main__":
    space, start = {"sigma": Range(0.01, 20, log=True)}, preset_of("evolve", "")
    slow = lambda settings, seed: Climbing(settings, seed, pause=60.0 if settings != start else 0.0)
    plan = Plan(space, start, slow, steps=100, trials=3, seconds=600, seeds=1, seed=0)
    study = Study.open(pathlib.Path(sys.argv[1]))
    with Workers(1) as workers:
        study.begin_with(start_of(space, start))
        print("worker", workers._idle[0][0].pid, flush=True)
        Search(study, plan, lambda line: print(line, flush=True)).run(workers)
"""


def test_a_killed_search_loses_the_running_trial_only_and_tries_it_again(tmp_path, workers) -> None:
    (tmp_path / "killed.py").write_text(KILLED)
    words = [sys.executable, str(tmp_path / "killed.py"), str(tmp_path), str(Path(__file__).parents[1])]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        worker = Path("/proc") / process.stdout.readline().split()[1]
        assert process.stdout.readline().startswith("trial 0: 100")
        deadline = time.monotonic() + 30
        while not (lost := running(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    while worker.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not worker.exists(), "no process is left behind"
    with (tmp_path / "study.journal").open("a") as journal:  # as if it had been killed while it wrote
        journal.write('{"op_code":4,"wor')
    lock = tmp_path / "study.journal.lock"
    lock.unlink(missing_ok=True)  # it may really have been killed while it wrote
    lock.symlink_to(tmp_path / "study.journal")
    study = Study.open(tmp_path)
    assert [trial.state.name for trial in study.trials()] == ["COMPLETE", "WAITING"]
    planned = Plan({"sigma": SPACE["sigma"]}, preset_of("evolve", ""), Climbing, 100, 3, 600, 1, 0)
    found = search(tmp_path, planned, workers)
    assert [state for state, _, _ in found] == ["COMPLETE"] * 3
    assert found[1][1] == lost[0]


def running(folder: Path) -> list[dict[str, float]]:
    """Proposals of the trials that are running. A reader does not disturb the search."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = optuna.storages.journal.JournalFileBackend(str(folder / "study.journal"))
    study = optuna.load_study(study_name="tune", storage=optuna.storages.JournalStorage(file))
    return [trial.params for trial in study.trials if trial.state.name == "RUNNING" and trial.params]


def test_no_trial_begins_after_the_minutes_and_those_before_a_resume_count(tmp_path, workers) -> None:
    study = Study.open(tmp_path)
    study.begin_with(start_of(SPACE, START))
    assert Search(study, plan(seconds=0.0), print).run(workers) == "minutes"
    study.note("seconds", 50.0)
    assert Search(study, plan(seconds=40.0), print).run(workers) == "minutes"
    assert Search(study, plan(trials=1), print).run(workers) == "trials"
    assert study.notes["seconds"] > 50


def test_a_trial_may_fail_but_the_settings_to_begin_with_may_not(tmp_path, workers) -> None:
    class Brittle(Study):
        def ask(self) -> Any:
            if len(self.trials()) == 1:
                self._study.enqueue_trial({"sigma": -1.0})
            return super().ask()

    planned = Plan({"sigma": Range(-2, 20)}, START, Climbing, 100, 3, 600, 1, 0)
    study = Brittle.open(tmp_path)
    study.begin_with(start_of(planned.space, START))
    Search(study, planned, print).run(workers)
    assert [trial.state.name for trial in study.trials()].count("FAIL") == 1
    assert study.trials("FAIL")[0].user_attrs["reason"] == "sigma must be positive."
    (tmp_path / "other").mkdir()
    with pytest.raises(RunError, match="sigma must be positive"):
        search(tmp_path / "other", dataclasses.replace(planned, start=START | {"sigma": -1.0}), workers)


def test_a_process_that_dies_fails_its_run_and_is_replaced() -> None:
    with Workers(1) as workers:
        workers.begin("dies", Climbing({"sigma": 1000.0}), 100)
        [(key, message)] = workers.messages()
        assert (key, message) == ("dies", Failure("The process of this run ended with exit code 3."))
        workers.begin("lives", Climbing({"sigma": 1.0}), 10)
        assert list(workers.messages()) == [("lives", Outcome(10.0, 18))]


def test_the_best_and_the_first_settings_meet_on_fresh_seeds_once(tmp_path, workers) -> None:
    planned = plan(trials=10, seeds=2)
    search(tmp_path, planned, workers)
    study = Study.open(tmp_path)
    compared = compare(study, planned, workers)
    assert [run["seed"] for run in compared["best"]] == [FRESH, FRESH + 1]
    assert compared["first"][0]["return_mean"] == pytest.approx(100 - 27.0805 + FRESH, abs=1e-3)
    notes = study.notes
    assert compare(study, planned, workers) == compared
    assert study.notes == notes, "nothing is played again"

    result = result_of(study, planned, compared)
    best = 100 - 10 * abs(math.log(result["settings"]["sigma"]))
    assert result["gain"] == pytest.approx(best - (100 - 27.0805), abs=1e-3)
    assert result["comparison_steps"] == 4 * 117
    assert result["env_steps"] == result["search_steps"] + 4 * 117
    draw(tmp_path, study, "title")
    write_preset(tmp_path, study, planned, "evolve", "Task-v0")
    text = text_of(result | {"wall_seconds": 1.0, "preset": "p.json"}, planned, "nf-policies evolve Task-v0")
    assert (tmp_path / "importance.png").stat().st_size > 10_000
    written = json.loads((tmp_path / "preset.json").read_text())
    assert written["evolve"] == settings_of({"sigma": result["settings"]["sigma"]} | rest(result), START)
    assert "the best settings return" in text
    assert "changed: sigma" in text or "changed: self_excitation" in text


def rest(result: dict[str, Any]) -> dict[str, Any]:
    return {"self_excitation": result["settings"]["self_excitation"]}
