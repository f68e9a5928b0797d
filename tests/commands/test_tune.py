"""nf-policies tune as a user meets it: what it leaves, Ctrl-C, resuming, and errors."""

import json
import sys
from dataclasses import replace

import pytest

from nf_policies.cli import main
from nf_policies.commands.evolve import Evolve
from nf_policies.commands.train import Train
from nf_policies.commands.tune import Tune

pytest.importorskip("optuna")


def test_a_search_leaves_a_preset_that_the_learner_reads(tmp_path, capsys) -> None:
    out = tmp_path / "search"
    words = ["CartPole-v1", "--learner", "evolve", "--hide-velocity", "--steps", "300", "--only", "sigma"]
    assert main(["tune", *words, "--trials", "2", "--seeds", "1", "--workers", "1", "--out", str(out), "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["trials"] == {"complete": 2, "pruned": 0, "fail": 0}
    assert result["env_steps"] == result["search_steps"] + result["comparison_steps"] > 4 * 300
    assert "(settings without options)" in captured.err
    names = {path.name for path in out.iterdir()}
    assert names == {"config.json", "study.journal", "preset.json", "importance.png", "result.json"}

    tuned = Evolve(env="CartPole-v1", hide_velocity=True, preset=out / "preset.json").resolved()
    plain = Evolve(env="CartPole-v1", hide_velocity=True).resolved()
    assert tuned == replace(plain, sigma=result["settings"]["sigma"], steps=300)

    assert main(["tune", "--resume", str(out)]) == 0
    text = capsys.readouterr().out
    assert "median of 1 fresh seeds" in text
    assert f"use it with: nf-policies evolve CartPole-v1 --hide-velocity --preset {out}" in text
    assert main(["tune", "--resume", str(out), "--seeds", "2"]) == 1
    assert "--seeds cannot change" in capsys.readouterr().err


@pytest.mark.parametrize("learner", [Train, Evolve])
def test_runs_differ_from_those_without_options_by_what_is_searched_only(learner) -> None:
    plan = Tune(env="Pendulum-v1", learner=learner.command, steps=500, hide_velocity=True).plan()
    plain = learner(env="Pendulum-v1", hide_velocity=True, steps=500).resolved()
    assert plan.with_settings(plan.start, 7) == replace(plain, seed=7, target=None)
    assert "use_sde" in Tune(env="Pendulum-v1").plan().space
    assert "use_sde" not in Tune(env="CartPole-v1").plan().space


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        ({"env": "Acrobot-v1"}, 300_000),
        ({"env": "nf/Acrobot-v1"}, 100 * 512 * 64),
        ({"env": "nf/Acrobot-v1", "learner": "evolve"}, 100 * 64 * 8 * 50),
        ({"env": "nf/Acrobot-v1", "steps": 7}, 7),
        ({"env": "CartPole-v1"}, 100_000),
    ],
    ids=["at least", "updates", "generations", "asked for", "the preset's"],
)
def test_a_run_has_a_hundred_updates_or_generations_where_nothing_else_is_said(words, steps) -> None:
    plan = Tune(**words).plan()
    assert plan.steps == plan.start["steps"] == steps


def test_ctrl_c_says_how_to_go_on_and_what_begun_is_tried_again(tmp_path, monkeypatch, capsys) -> None:
    from nf_policies.tuning import search
    from nf_policies.tuning.study import Study

    def pressed(self: object, seconds: float | None = None) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "search"
    with monkeypatch.context() as patch:
        patch.setattr(search.Workers, "messages", pressed)
        assert main(["tune", "CartPole-v1", "--workers", "1", "--out", str(out)]) == 130
    assert capsys.readouterr().err == f"Stopped. To go on: nf-policies tune --resume {out}\n"
    study = Study.open(out)
    assert [trial.state.name for trial in study.trials()] == ["WAITING"]
    assert study.first.number == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Which task?"),
        (["Nowhere-v0"], "Nowhere"),
        (["CartPole-v1", "--only", "gamma"], "'gamma' is not searched with train on this task"),
        (["CartPole-v1", "--trials", "0"], "--trials must be at least 1"),
        (["CartPole-v1", "--minutes", "0"], "--minutes must be above 0"),
        (["CartPole-v1", "--workers", "-1"], "--workers must be at least 1"),
        (["CartPole-v1", "--seed", "-1"], "--seed must be 0 or more"),
        (["--resume", "nowhere"], "There is no run in nowhere"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(words, sentence, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["tune", *words]) == 1
    [message] = capsys.readouterr().err.splitlines()
    assert sentence in message
    assert not (tmp_path / "runs").exists()


def test_without_optuna_the_command_says_what_to_install(tmp_path, monkeypatch, capsys) -> None:
    for name in [name for name in sys.modules if name.startswith("nf_policies.tuning.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["tune", "CartPole-v1", "--out", str(tmp_path)]) == 1
    assert "needs Optuna: pip install 'nf-policies[tune]'" in capsys.readouterr().err
