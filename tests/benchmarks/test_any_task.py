"""The benchmark of any task: what it plans and repeats, and a page that says what its rows say and no more."""

import dataclasses
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").exists(), reason="there are no benchmarks in a package")


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("any_task")


@pytest.fixture
def plan(benchmark):
    return importlib.import_module("suite.plan")


def row(run, mean=1.0, **more):
    """What a run that went well leaves."""
    figures = {"returns": [mean] * 2, "return_mean": mean, "n_parameters": 50, "env_steps": 1000, "judging_steps": 100}
    rest = {"wall_seconds": 10.0, "stop_reason": "steps", "threads": 1, "commit": "abc"}
    return {"protocol": 1, **run._asdict(), **figures, **rest, **more}


def test_the_page_in_docs_is_what_the_results_say(benchmark, plan) -> None:
    rows = plan.finished(importlib.import_module("suite.rows").read(benchmark.RESULTS))
    assert benchmark.PAGE.read_text(encoding="utf-8") == benchmark.page(rows)


def test_every_run_is_planned_once_one_seed_for_all_before_the_next(plan) -> None:
    runs = list(plan.plan(tuple(plan.METHODS), (0, 1)))
    assert len(set(runs)) == len(runs)
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    assert {run.task for run in runs if run.part == "own"} == {f"nf/{entry.id}" for entry in plan.ENTRIES}
    minutes = [plan.METHODS[run.part][run.method] for run in runs if run.seed == 0]
    assert minutes == sorted(minutes), "the quick ones first"


def test_a_row_counts_once_and_only_with_the_protocol_of_today(plan) -> None:
    run = plan.Run("train", "Hopper-v5", "all", "ppo", 0)
    rows = [row(run, 1.0, protocol=0), row(run, 2.0), row(run, 3.0), row(run, 4.0, protocol="smoke 10")]
    assert [r["return_mean"] for r in plan.finished(rows)] == [2.0]


def test_what_has_a_row_is_not_run_again_and_a_peer_of_evolution_waits_for_our_steps(benchmark, plan) -> None:
    ours = plan.Run("evolve", "Hopper-v5", "all", "evolve", 0)
    peer = ours._replace(method="ars_linear")
    assert benchmark.next_run([peer, ours], [], set()) == ours
    assert benchmark.next_run([peer, ours], [], {ours}) is None
    assert benchmark.next_run([peer, ours], [row(ours)], set()) == peer
    failed = {**ours._asdict(), "error": "exit 1"}
    assert benchmark.next_run([peer, ours], [failed], set()) is None, "nobody knows how many steps"


def test_a_process_that_fails_leaves_a_row_with_its_last_words(benchmark, plan) -> None:
    sideways = plan.Run("train", "Hopper-v5", "sideways", "ppo", 0)
    left = benchmark.execute(sideways, benchmark.Budget(10), None, benchmark.Processes(1))
    assert left["error"].startswith("exit 2: ")
    assert "sideways" in left["error"]
    assert left["protocol"] == "smoke 10"
    assert "failed: exit 1" in benchmark.page([{**left, "view": "hidden", "error": "exit 1"}])


def test_work_adds_a_line_for_each_missing_run_and_repeats_none(benchmark, plan, tmp_path, monkeypatch) -> None:
    asked = []

    def execute(run, budget, steps_of_ours, processes):
        asked.append((run.method, steps_of_ours))
        return {"error": "lost"} | run._asdict() | {"protocol": 1} if run.seed else row(run)

    monkeypatch.setattr(benchmark, "execute", execute)
    results = tmp_path / "deep" / "rows.jsonl"
    options = benchmark.Options(parts=("evolve",), tasks=("Hopper-v5",), seeds=(0, 1), results=results, workers=2)
    benchmark.work(dataclasses.replace(options, minutes=0.0))
    assert not asked
    benchmark.work(options)
    benchmark.work(options)
    assert [name for name, _ in asked].count("evolve") == 2
    assert {steps for name, steps in asked if name != "evolve"} == {1000}
    methods = len(plan.METHODS["evolve"])
    assert len(results.read_text().splitlines()) == len(asked) == methods + 1, "peers of a lost run do not start"


@pytest.mark.parametrize(
    ("task", "best", "asks"),
    [
        ("nf/CartPoleNoVel-v1", 10.0, 475.0),  # solved, as Gymnasium says
        ("nf/BallOnBeamNoVel-v0", 200.0, 189.0),  # nine tenths of the best, which the blind policy had: 210
        ("nf/PendulumNoVel-v1", -100.0, -110.0),
        ("nf/PendulumNoVel-v1", -400.0, -167.09),  # of what others reached
        ("nf/RepeatFirst-v0", 0.5, 0.9),  # of the 1 that the right memory earns
    ],
)
def test_a_task_of_ours_asks_for_what_its_source_calls_solved_or_a_share_of_the_best(plan, task, best, asks) -> None:
    whole = task.replace("NoVel", "")
    rows = [row(plan.Run("own", whole, "all", "train", seed), best - seed) for seed in (0, 1)]
    if task != whole:
        rows.append(row(plan.Run("own", task, "all", "evolve", 0), best + (10 if best > 0 else -10)))
    assert plan.threshold(task, rows) == pytest.approx(asks)


def test_nothing_is_asked_for_before_anything_is_known(plan) -> None:
    assert plan.threshold("nf/BallOnBeamNoVel-v0", []) is None


def state_of(benchmark, rows, words: str) -> str:
    """The state of the aim with these words."""
    (line,) = (line for line in benchmark.page(rows).splitlines() if line.startswith("|") and words in line)
    return line.strip("| ").split(" | ")[-1]


@pytest.mark.parametrize(
    ("better", "seeds", "state"),
    [(6, 3, "met"), (5, 3, "**not met**"), (6, 2, "met, 2 of 3 seeds"), (0, 0, "not run yet")],
)
def test_three_quarters_of_the_tasks_decide(benchmark, plan, better, seeds, state) -> None:
    rows = []
    for i, task in enumerate(plan.TRAINED):
        for seed in range(seeds):
            run = plan.Run("train", task, "all", "train", seed)
            rows += [row(run, 2.0 if i < better else 1.0), row(run._replace(method="ppo"), 1.5)]
    assert state_of(benchmark, rows, "at least PPO's median") == state


def test_an_aim_stays_open_while_it_can_still_be_met(benchmark, plan) -> None:
    runs = [plan.Run("train", "Hopper-v5", "all", method, seed) for method in ("train", "ppo") for seed in range(3)]
    rows = [row(run) for run in runs]
    assert state_of(benchmark, rows, "at least PPO's median") == "open"
    assert state_of(benchmark, rows, "actor parameters") == "open"
    assert state_of(benchmark, [{**r, "n_parameters": 2001} for r in rows], "actor parameters") == "**not met**"


@pytest.mark.parametrize(("peer", "found"), [(2.0, "0 of 1, 10 open"), (0.5, "not run yet")])
def test_what_is_lost_to_one_peer_is_lost_before_the_other_was_run(benchmark, plan, peer, found) -> None:
    ours = plan.Run("train", "Hopper-v5", "hidden", "train", 0)
    page = benchmark.page([row(ours, 1.0), row(ours._replace(method="ppo"), peer)])
    (line,) = (line for line in page.splitlines() if "above RecurrentPPO's" in line)
    assert found in line


def test_a_goal_is_missed_only_when_both_methods_were_run(benchmark, plan) -> None:
    first = row(plan.Run("own", "nf/Acrobot-v1", "all", "train", 0), -200.0)
    second = row(plan.Run("own", "nf/Acrobot-v1", "all", "evolve", 0), -150.0)
    assert state_of(benchmark, [first], "| nf/Acrobot-v1 | -100.0 | train") == "open, 1 of 3 seeds"
    assert state_of(benchmark, [first, second], "| nf/Acrobot-v1 | -100.0 | evolve") == "**not met**, 1 of 3 seeds"
    second["return_mean"] = -99.0
    assert state_of(benchmark, [second], "| nf/Acrobot-v1 | -100.0 | evolve") == "met, 1 of 3 seeds"


def test_a_run_with_less_time_counts_if_it_reaches_the_goal_and_is_else_repeated(benchmark, plan) -> None:
    run = plan.Run("own", "nf/Acrobot-v1", "all", "train", 0)
    other = run._replace(method="evolve")
    slow, quick = row(run, -200.0, minutes=1.0), row(run, -90.0, minutes=1.0)
    assert benchmark.next_run([run], [slow], set(), 10.0) == run
    assert benchmark.next_run([run], [slow], set(), 1.0) is None
    assert benchmark.next_run([run], [quick], set(), 10.0) is None
    rows = [slow, row(other, -150.0, minutes=10.0)]
    assert state_of(benchmark, rows, "| nf/Acrobot-v1 | -100.0 | evolve") == "open, 1 of 3 seeds"
    longer = row(run, -140.0, minutes=10.0)
    assert plan.finished([slow, longer]) == plan.finished([longer, slow]) == [longer]
    rows = plan.finished([*rows, longer])
    assert state_of(benchmark, rows, "| nf/Acrobot-v1 | -100.0 | train") == "**not met**, 1 of 3 seeds"


def test_medians_worst_seeds_and_speed_are_in_the_tables(benchmark, plan) -> None:
    run = plan.Run("train", "Hopper-v5", "hidden", "train", 0)
    rows = [row(run._replace(seed=seed), mean, last=[mean / 2]) for seed, mean in enumerate((10.0, 30.0, 20.0))]
    rows += [row(run._replace(method="recurrent_ppo"), 5.0, wall_seconds=70.0)]
    text = benchmark.page(rows)
    assert "| Hopper-v5 without velocities | train | 3 | 20.0 | 10.0 | 10.0 | 50 | 10 | 1,000 | 100 |" in text
    assert "| Hopper-v5 without velocities | 20.0 | not run yet | 5.000 | 7.0 |" in text


def test_an_empty_page_has_no_figures_but_those_that_are_asked_for(benchmark) -> None:
    body = benchmark.page([]).partition("Nothing has been run yet.")[2]
    tables = [line for line in body.splitlines() if line.startswith("| nf/")]
    assert tables
    assert all("not run yet" in line for line in tables)
    assert not re.search(r"seconds \|", body), "no table of runs"


def test_peers_see_what_our_policies_see(benchmark) -> None:
    make_view = importlib.import_module("peers.environments").make_view
    whole, blind = make_view("Pendulum-v1", "all"), make_view("Pendulum-v1", "hidden")
    np.testing.assert_array_equal(blind.reset(seed=3)[0], whole.reset(seed=3)[0][:2])
    action = np.ones(1, np.float32)
    np.testing.assert_array_equal(blind.step(action)[0], whole.step(action)[0][:2])
    assert blind.observation_space.contains(blind.step(action)[0])
    assert make_view("FrozenLake-v1", "all").reset(seed=0)[0].tolist() == [1.0] + [0.0] * 15, "one-hot"
