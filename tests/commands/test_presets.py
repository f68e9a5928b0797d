"""nf-policies presets, and the files that --preset reads: from the command line down to the general settings."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from nf_policies.cli import main
from nf_policies.commands.evolve import Evolve
from nf_policies.commands.options import pairs
from nf_policies.commands.presets import Presets
from nf_policies.commands.train import Train
from nf_policies.runs.directory import RunError, to_json
from nf_policies.runs.presets import PRESETS


def written(folder: Path, **found: Any) -> Path:
    path = folder / "my.json"
    path.write_text(json.dumps(found))
    return path


@pytest.mark.parametrize("search", [Train, Evolve])
@pytest.mark.parametrize(
    ("env_id", "hide_velocity"),
    [
        *itertools.product(["CartPole-v1", "Pendulum-v1", "Acrobot-v1"], [False, True]),
        ("nf/DoublePoleDampingNoVel-v0", False),
    ],
)
def test_a_preset_as_it_is_shown_changes_nothing(env_id, search, hide_velocity, tmp_path) -> None:
    path = tmp_path / "my.json"
    path.write_text(Presets(env=env_id, hide_velocity=hide_velocity, json=True).run(None))
    plain = search(env=env_id, hide_velocity=hide_velocity).resolved()
    assert search(env=env_id, hide_velocity=hide_velocity, preset=path).resolved().config() == plain.config()


def test_the_command_line_is_stronger_than_the_file_and_the_file_than_the_tasks_preset(tmp_path) -> None:
    given = {"sigma": 0.5, "population": 20, "target": None, "scale": {"log_tau": 2}, "field_option": {"tau_min": 0.5}}
    path = written(tmp_path, env_id="CartPole-v1", evolve=given)
    options = Evolve(env="CartPole-v1", preset=path, population=30, scale=("input_embedding=3",)).resolved()
    assert (options.sigma, options.population, options.episodes) == (0.5, 30, 4)
    assert options.target is None, "null is a value: no target"
    assert pairs(options.scale) == {
        "log_tau": 2, "input_embedding": 3, "resting_level": 0.01, "activation_scale": 0.01
    }  # fmt: skip
    assert pairs(options.field_option)["tau_min"] == 0.5
    assert pairs(options.field_option)["tau_init"] == 5.0


@pytest.mark.parametrize(
    ("env_id", "found", "given", "budget"),
    [
        ("Acrobot-v1", {"steps": 1000}, {}, (1000, None, None)),
        ("Acrobot-v1", {"steps": 1000, "patience": 0.3}, {}, (1000, None, 0.3)),
        ("CartPole-v1", {"minutes": 2}, {}, (None, 2, None)),
        ("CartPole-v1", {"minutes": 2, "patience": 0.3}, {"patience": 0.1}, (None, 2, 0.1)),
        ("CartPole-v1", {"minutes": 2, "patience": 0.3}, {"steps": 50}, (50, None, None)),
        ("CartPole-v1", {"patience": 0.3}, {}, (100_000, None, 0.3)),
    ],
)
def test_a_budget_replaces_that_of_what_is_weaker_whole(env_id, found, given, budget, tmp_path) -> None:
    options = Train(env=env_id, preset=written(tmp_path, train=found), **given).resolved()
    assert (options.steps, options.minutes, options.patience) == budget


def test_what_suits_only_the_file_or_only_the_preset_is_not_mixed(tmp_path) -> None:
    path = written(tmp_path, train={"n_steps": 64, "field": "simple"})
    options = Train(env="Pendulum-v1", preset=path).resolved()
    assert options.seq_len is None, "the 25 steps of the task's preset would not divide 64"
    path = written(tmp_path, train={"n_steps": 64, "batch_size": 128, "seq_len": 32, "field": "neural"})
    assert Train(env="Pendulum-v1", preset=path).resolved().seq_len == 32
    assert Train(env="Pendulum-v1", preset=path).resolved().hidden_size == 16, "24 neurons were those of a simple field"
    assert Train(env="Pendulum-v1", preset=path, n_steps=50).resolved().seq_len is None
    simple = Train(env="Pendulum-v1", preset=path, field="simple").resolved()
    assert pairs(simple.field_option) == {"dynamics": "linear", "changes": False}


def test_a_resumed_run_needs_no_file_and_takes_none(tmp_path) -> None:
    path = written(tmp_path, train={"gamma": 0.5})
    begun = Train(env="CartPole-v1", preset=path).resolved()
    (tmp_path / "config.json").write_text(to_json({"command": "train", **begun.config()}))
    path.unlink()
    assert Train(resume=tmp_path).resolved().gamma == 0.5
    with pytest.raises(RunError, match="--preset cannot change"):
        Train(resume=tmp_path, preset=path).resolved()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a preset: nf-policies presets ID --json"),
        ('{"presets": {}}', "is not a preset"),
        ('{"evolve": {"sigma": 1}}', "holds settings of evolve, not of train"),
        ('{"train": {"sigma": 1}}', "'sigma' is not a setting of train, which are field, hidden_size"),
        ('{"train": {"seed": 1}}', "'seed' is not a setting"),
        ('{"train": {"gamma": "high"}}', "gamma cannot be 'high'"),
        ('{"train": {"hidden_size": 1.5}}', "hidden_size cannot be 1.5"),
        ('{"train": {"n_steps": 0}}', "n_steps cannot be 0"),
        ('{"train": {"minutes": -1}}', "minutes cannot be -1"),
        ('{"train": {"patience": 2}}', "patience cannot be 2"),
        ('{"train": {"field": "cnn"}}', "field cannot be 'cnn'"),
        ('{"train": {"field_option": ["tau_min=1"]}}', "field_option cannot be"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_a_sentence_with_its_name(text, sentence, tmp_path, capsys) -> None:
    path = tmp_path / "my.json"
    path.write_text(text)
    assert main(["train", "CartPole-v1", "--preset", str(path), "--out", str(tmp_path / "run")]) == 1
    [message] = capsys.readouterr().err.splitlines()
    assert str(path) in message
    assert sentence in message


def test_a_missing_file_is_named(tmp_path, capsys) -> None:
    assert main(["evolve", "CartPole-v1", "--preset", str(tmp_path / "none.json")]) == 1
    assert "none.json cannot be read: No such file" in capsys.readouterr().err


def test_the_table_says_where_each_setting_comes_from(capsys) -> None:
    assert main(["presets", "MountainCarContinuous-v0", "--hide-velocity"]) == 0
    rows = {tuple(line.split(maxsplit=2)) for line in map(str.strip, capsys.readouterr().out.splitlines()) if line}
    assert ("use_sde", "true", "the task's preset") in rows
    assert ("learning_rate", "0.003", "the task's preset") in rows
    assert any((name, source) == ("ent_coef", "general") for name, _, source in rows)
    assert ("field_option.tau_init", "5.0", "the task's preset") in rows
    assert ("field_option.activation", '"tanh"', "general") in rows


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["Nope-v1"], "Nope-v1 cannot be made"),
        (["test/Recall-v0", "--hide-velocity"], "test/Recall-v0 are velocities is not known"),
    ],
)
def test_settings_follow_from_the_task_so_what_cannot_be_searched_on_has_none(words, sentence, capsys) -> None:
    assert main(["presets", *words]) == 1
    out, message = capsys.readouterr()
    assert sentence in message
    assert (out, len(message.splitlines())) == ("", 1)


def test_without_a_task_all_presets_are_listed(capsys) -> None:
    assert main(["presets"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for command in PRESETS for name in PRESETS[command])
    assert main(["presets", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["presets"] == json.loads(json.dumps(PRESETS))
