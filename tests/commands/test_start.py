"""--start: evolve goes on from what was trained, train from what was evolved, and nothing else is taken for a start."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nf_policies import Policy, SimpleNeuralField
from nf_policies.cli import main
from nf_policies.commands.evolve import Evolve
from nf_policies.commands.train import Train
from nf_policies.policies import field_sizes
from nf_policies.policies.cells import GRU
from nf_policies.tasks.make import make_task

TRAIN = ("train", "--num-envs", "2", "--n-steps", "32", "--batch-size", "32", "--n-epochs", "2", "--steps", "64")
EVOLVE = ("evolve", "--population", "6", "--episodes", "2")


@pytest.fixture(autouse=True)
def no_curves(monkeypatch) -> None:
    """Other tests look at the learning curves of runs, and most of the time of such short ones is drawing."""
    monkeypatch.setattr("nf_policies.runs.session.plot_progress", lambda *_: None)


def run(capsys: Any, command: tuple[str, ...], env_id: str, out: Path, *words: str) -> dict[str, Any]:
    assert main([command[0], env_id, *command[1:], *words, "--out", str(out), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "progress.csv").open() as file:
        return list(csv.DictReader(file))


def written(path: Path, env_id: str = "CartPole-v1", cell: type | None = None, **options: Any) -> str:
    env = make_task(env_id)
    spaces = env.observation_space, env.action_space
    n_inputs, n_outputs = field_sizes(*spaces, options.get("visible"))
    generator = torch.Generator().manual_seed(0)
    field = cell(n_inputs, 3, n_outputs) if cell else SimpleNeuralField(n_inputs, n_outputs, 3, generator=generator)
    Policy(field, *spaces, env_id=env_id, **options).save(path)
    return str(path)


def test_evolution_from_a_trained_policy_is_at_once_as_good(tmp_path, capsys) -> None:
    trained = run(capsys, TRAIN, "test/Move-v0", tmp_path / "trained", "--field", "neural")
    words = ("--start", trained["policy"], "--generations", "1")
    evolved = run(capsys, EVOLVE, "test/Move-v0", tmp_path / "evolved", *words)
    (row,) = rows(tmp_path / "evolved")
    assert float(row["return_of_mean"]) == pytest.approx(trained["return_mean"], abs=1e-4), "Move has no luck"
    assert evolved["n_parameters"] == trained["n_parameters"]
    assert evolved["return_mean"] >= trained["return_mean"] - 1e-4


@pytest.mark.parametrize("normalise", ["--normalise", "--no-normalise"])
def test_training_from_an_evolved_policy_never_ends_below_it(normalise, tmp_path, capsys) -> None:
    words = ("--generations", "12", normalise)
    evolved = run(capsys, EVOLVE, "test/Move-v0", tmp_path / "evolved", *words)
    start = ("--start", evolved["policy"])
    kept = run(capsys, TRAIN, "test/Move-v0", tmp_path / "kept", *start, "--learning-rate", "1e-9")
    last = Policy.load(tmp_path / "kept" / "policy.safetensors")
    assert float(rows(tmp_path / "kept")[-1]["return_evaluated"]) == pytest.approx(evolved["return_mean"], abs=1e-4)
    assert (last.normalizer.count > 0) == (normalise == "--normalise"), "statistics go on only where there are some"
    spoilt = run(capsys, TRAIN, "test/Move-v0", tmp_path / "spoilt", *start, "--learning-rate", "1")
    assert float(rows(tmp_path / "spoilt")[-1]["return_evaluated"]) < evolved["return_mean"] - 0.01
    for result in (kept, spoilt):
        assert result["return_mean"] >= evolved["return_mean"] - 1e-4
        assert result["n_parameters"] == evolved["n_parameters"]


def test_a_start_sees_what_it_saw(tmp_path, capsys) -> None:
    start = ("--start", written(tmp_path / "start.safetensors", visible=[0, 2]), "--max-episode-steps", "20")
    run(capsys, TRAIN, "CartPole-v1", tmp_path / "trained", *start)
    run(capsys, EVOLVE, "CartPole-v1", tmp_path / "evolved", *start, "--generations", "1")
    for name in ("trained", "evolved"):
        policy = Policy.load(tmp_path / name / "policy.safetensors")
        assert (policy.visible, policy.field.hidden_size) == ((0, 2), 3)


@pytest.mark.parametrize("search", [EVOLVE, TRAIN])
def test_a_run_is_resumed_without_the_file_it_began_with(search, tmp_path, capsys) -> None:
    start, whole, parts = Path(written(tmp_path / "start.safetensors")), tmp_path / "whole", tmp_path / "parts"
    shorter, longer = (("--generations", n) if search is EVOLVE else ("--steps", 64 * int(n)) for n in "24")
    for out, (option, n) in ((whole, longer), (parts, shorter)):
        words = ("--start", str(start), "--max-episode-steps", "20", option, str(n))
        run(capsys, search, "CartPole-v1", out, *words)
    start.unlink()
    assert main([search[0], "--resume", str(parts), longer[0], str(longer[1])]) == 0
    assert len(rows(parts)) == len(rows(whole)) == 4
    if search is EVOLVE:  # a resumed training begins new episodes
        for name in ("best.safetensors", "policy.safetensors", "checkpoint/checkpoint.safetensors"):
            assert (whole / name).read_bytes() == (parts / name).read_bytes(), name
    capsys.readouterr()
    assert main([search[0], "--resume", str(parts), "--start", "other.safetensors"]) == 1
    assert "--start cannot change" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--hidden-size", "4"], "leave out --hidden-size"),
        (["--field", "neural", "--tau", "3"], "leave out --field, --tau"),
        (["--hide-velocity"], "leave out --hide-velocity"),
        (["--hide", "1"], "leave out --hide"),
        (["--field-option", "tau_min=1"], "leave out --field-option"),
    ],
)
@pytest.mark.parametrize("search", ["train", "evolve"])
def test_what_the_file_decides_is_no_option_beside_it(search, words, sentence, tmp_path, capsys) -> None:
    refused([search, "CartPole-v1", "--start", written(tmp_path / "a.safetensors"), *words], sentence, tmp_path, capsys)


def test_the_start_of_a_search_is_not_quietened(tmp_path, capsys) -> None:
    words = ["evolve", "CartPole-v1", "--start", written(tmp_path / "a.safetensors"), "--self-excitation", "0.5"]
    refused(words, "leave out --self-excitation", tmp_path, capsys)


@pytest.mark.parametrize("search", ["train", "evolve"])
def test_a_file_that_is_no_start_is_refused_in_a_sentence_and_nothing_is_left_behind(search, tmp_path, capsys) -> None:
    gru = written(tmp_path / "gru.safetensors", cell=GRU)
    other = written(tmp_path / "other.safetensors", "Pendulum-v1")
    (tmp_path / "text.safetensors").write_text("no policy")
    for path, sentence in (
        (gru, "needs a neural field"),
        (other, f"{other} is no start for CartPole-v1"),
        (str(tmp_path / "text.safetensors"), "text.safetensors"),
        (str(tmp_path / "none.safetensors"), "There is no policy file"),
    ):
        refused([search, "CartPole-v1", "--start", path], sentence, tmp_path, capsys)


def refused(words: list[str], sentence: str, tmp_path: Path, capsys: Any) -> None:
    assert main([*words, "--out", str(tmp_path / "run")]) == 1
    out, message = capsys.readouterr()
    assert sentence in message
    assert (out, len(message.splitlines())) == ("", 1)
    assert not (tmp_path / "run").exists()


def test_a_preset_file_beside_a_start_sets_the_search_but_not_the_field(tmp_path) -> None:
    start, file = written(tmp_path / "start.safetensors"), tmp_path / "preset.json"
    settings = {"evolve": {"sigma": 0.5, "hidden_size": 7}, "train": {"log_std_init": -0.3, "field": "gru"}}
    file.write_text(json.dumps(settings))
    given: Any = {"env": "CartPole-v1", "start": start}
    assert Evolve(**given).resolved().sigma == 0.1, "near the start"
    assert Evolve(**given, preset=file).resolved().sigma == 0.5, "unless the file says otherwise"
    assert Evolve(**given, preset=file, sigma=2.0).resolved().sigma == 2.0
    assert Train(**given, preset=file).resolved().log_std_init == -0.3
    assert Train(**given, preset=file).resolved().field != "gru", "the field is that of the start"
