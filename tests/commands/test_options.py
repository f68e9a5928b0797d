"""Options of evolve and train: presets fill them in, and a resumed run keeps them."""

import json
import re

import pytest

from nf_policies.commands.evolve import Evolve
from nf_policies.commands.options import pairs
from nf_policies.commands.train import Train
from nf_policies.runs.directory import RunError, to_json


def begin(folder, options) -> None:
    (folder / "config.json").write_text(to_json({"command": options.command, **options.config()}))


def test_what_is_not_given_comes_from_the_preset() -> None:
    options = Evolve(
        env="CartPole-v1", episodes=7, scale=("resting_level=2",), field_option=("tau_min=0.5",)
    ).resolved()
    assert (options.population, options.episodes, options.episodes_max, options.target) == (16, 7, 7, 498.0)
    sizes = [Evolve(env="Hopper-v5", population=n).resolved() for n in (None, 20)]
    assert [(o.population, o.population_max, o.episodes_max) for o in sizes] == [(16, 64, 4), (20, 20, 4)]
    assert pairs(options.scale) == {"resting_level": 2, "activation_scale": 0.01}
    of_preset = {"dynamics": "linear", "activation": "tanh", "tau_init": 5.0, "changes": False}
    assert pairs(options.field_option) == of_preset | {"tau_min": 0.5}
    assert Evolve(env="CartPole-v1", generations=3).resolved().steps is None, "one budget is enough"


def test_options_of_the_field_reach_it_by_name() -> None:
    given = Train(env="CartPole-v1", field_option=("kappa_init=0.2", "potentials_init=null", "words=a b")).resolved()
    assert pairs(given.field_option) == {"changes": False, "kappa_init": 0.2, "potentials_init": None, "words": "a b"}
    simple = Train(env="CartPole-v1", field="simple", activation="sigmoid").resolved()
    assert pairs(simple.field_option) == {"dynamics": "linear", "changes": False, "activation": "sigmoid"}
    with pytest.raises(RunError, match="'tau' is not of the form NAME=VALUE"):
        Train(env="CartPole-v1", field_option=("tau",)).resolved()


def test_another_kind_of_field_has_its_own_size() -> None:
    assert Train(env="Pendulum-v1").resolved().hidden_size == 32
    assert Train(env="Pendulum-v1", field="gru").resolved().hidden_size == 16
    assert Train(env="Pendulum-v1", field="gru").resolved().field_option == ()
    assert Evolve(env="Pendulum-v1", hide_velocity=True, field="neural").resolved().hidden_size == 16
    assert Train(env="Pendulum-v1", batch_size=64).resolved().seq_len is None, "the preset's need not divide it"


@pytest.mark.parametrize(
    "options",
    [
        Evolve(env="A-v0", hidden_size=0),
        Train(env="A-v0", hidden_size=0),
        Evolve(env="A-v0", episodes_max=0),
        Evolve(env="A-v0", population_max=0),
        Train(env="A-v0", max_episode_steps=0),
        Evolve(env="A-v0", max_episode_steps=-1),
    ],
)
def test_a_number_below_one_is_refused_and_not_replaced(options) -> None:
    with pytest.raises(RunError, match="must be at least 1"):
        options.resolved()


def test_a_resumed_run_keeps_its_options_and_takes_a_new_budget(tmp_path) -> None:
    begun = Evolve(env="CartPole-v1", generations=3, hide=(1,), scale=("log_tau=2",), tau=2.0).resolved()
    begin(tmp_path, begun)
    assert Evolve(resume=tmp_path).resolved().config() == begun.config()
    longer = Evolve(resume=tmp_path, steps=100).resolved()
    assert (longer.generations, longer.steps, longer.env) == (None, 100, "CartPole-v1")
    with pytest.raises(RunError, match="--tau, --sigma cannot change"):
        Evolve(resume=tmp_path, tau=3.0, sigma=2.0).resolved()
    with pytest.raises(RunError, match="not a run of nf-policies train, but of evolve"):
        Train(resume=tmp_path).resolved()


@pytest.mark.parametrize(
    "change",
    [
        {"episodes": "4"},
        {"episodes": True},
        {"hide": [0.5]},
        {"field": "cnn"},
        {"seed": None},
        {"unheard_of": 1},
        {"resume": "x"},
        {"sigma": [1]},
    ],
)
def test_an_edited_configuration_is_refused_in_a_sentence(change, tmp_path) -> None:
    begin(tmp_path, Evolve(env="CartPole-v1").resolved())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(RunError, match=re.escape(f"cannot be continued: {next(iter(change))} is")):
        Evolve(resume=tmp_path).resolved()


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"a": NaN'])
def test_a_damaged_configuration_is_refused_in_a_sentence(text, tmp_path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(RunError, match=r"config.json (cannot be read|is not a configuration)"):
        Train(resume=tmp_path).resolved()


@pytest.mark.parametrize("name", ["evolution", "training"])
def test_a_run_of_an_earlier_version_is_refused_in_a_sentence(name, tmp_path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / f"{name}.safetensors").touch()
    (tmp_path / "config.json").write_text('{"env": "CartPole-v1"}')
    with pytest.raises(RunError, match="begun by an earlier nf-policies"):
        Evolve(resume=tmp_path).resolved()


def test_a_run_that_nothing_would_end_is_refused(tmp_path) -> None:
    file = tmp_path / "preset.json"
    file.write_text(json.dumps({"train": {"minutes": None}}))
    with pytest.raises(RunError, match="Nothing ends this run"):
        Train(env="Acrobot-v1", preset=file).resolved()
    assert Train(env="Acrobot-v1", preset=file, steps=10).resolved().steps == 10
