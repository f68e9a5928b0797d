"""One command over seeds and options: which runs there are, what they say, and that a sweep goes on."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from rich.console import Console

from nf_policies.commands.evolve import Evolve
from nf_policies.commands.sweep import Sweep
from nf_policies.runs.directory import RunError
from nf_policies.sweeps.execute import Ended, Processes, reason_in
from nf_policies.sweeps.figures import figures_of, interquartile_mean
from nf_policies.sweeps.grid import Cell, cells_of, seeds_of
from nf_policies.sweeps.report import by_setting, draw, text_of, write_table

assert Evolve.command == "evolve", "imported, as the command line does, so that a sweep finds it"


def test_seeds_are_a_range_or_a_list() -> None:
    assert seeds_of("0:4") == [0, 1, 2, 3]
    assert seeds_of(":2") == [0, 1]
    assert seeds_of("7,3") == [7, 3]


@pytest.mark.parametrize("text", ["", "3:3", "a:b", "1,1", "-1:2", "1;2"])
def test_other_words_for_seeds_are_refused(text) -> None:
    with pytest.raises(RunError, match="--seeds must be FIRST:END"):
        seeds_of(text)


def test_a_grid_is_every_combination_with_every_seed() -> None:
    cells = cells_of("0:2", ["hidden_size=1,2", "sigma=0.5"])
    assert [cell.label for cell in cells] == ["hidden_size 1, sigma 0.5"] * 2 + ["hidden_size 2, sigma 0.5"] * 2
    assert cells[3].words(["evolve", "X-v0"]) == [
        "evolve", "X-v0", "--hidden-size", "2", "--sigma", "0.5", "--seed", "1",
    ]  # fmt: skip
    assert len({cell.folder for cell in cells}) == 4


@pytest.mark.parametrize("text", ["hidden_size", "hidden_size=", "hidden_size=1,1", "a b=1", "seed=1,2"])
def test_a_grid_of_another_form_is_refused(text) -> None:
    with pytest.raises(RunError, match="--grid"):
        cells_of("0:1", [text])


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end() -> None:
    assert interquartile_mean(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0])) == 3.5
    assert interquartile_mean(np.array([1.0, 2.0, 9.0])) == 4.0, "three runs have no whole quarter"


def test_the_interval_of_a_bootstrap_covers_what_it_should() -> None:
    """Of normal scores, 95 % intervals of few runs cover the truth somewhat less often, as is known of percentiles."""
    rng = np.random.default_rng(0)
    intervals = [figures_of(rng.normal(size=20).tolist(), seed) for seed in range(100)]
    covered = np.mean([f.low <= 0 <= f.high for f in intervals])
    assert 0.85 <= covered <= 1.0
    one = figures_of([3.0])
    assert (one.median, one.iqm, one.low, one.high) == (3.0, 3.0, 3.0, 3.0)


def test_runs_that_failed_are_told_and_the_others_compared(tmp_path) -> None:
    cells = cells_of("0:3", ["hidden_size=1,2"])
    ended = [Ended(cell, {"return_mean": float(10 * cell.seed), "env_steps": 5}) for cell in cells[:5]]
    settings = by_setting(ended)
    text = text_of(settings, [Ended(cells[5], None, "no luck")], tmp_path)
    assert "hidden_size 1      3" in text
    assert "failed: hidden_size 2, seed 2: no luck" in text
    write_table(tmp_path, settings)
    draw(tmp_path, settings, "evolve X-v0")
    assert (tmp_path / "table.csv").read_text().splitlines()[1] == "1,0,0.0,5,,"
    assert (tmp_path / "sweep.png").stat().st_size > 1000


def test_the_reason_of_a_failure_is_the_last_thing_a_process_said() -> None:
    assert reason_in(1, "playing\nnf-policies: There is no such task.\n\n") == "There is no such task."
    assert reason_in(-9, "") == "exit status -9"


@pytest.mark.parametrize(
    ("words", "grid", "said"),
    [
        ((), (), "Sweep what"),
        (("tune", "CartPole-v1"), (), "Sweep what"),
        (("evolve", "CartPole-v1", "--seed", "3"), (), "--seed belongs to the sweep"),
        (("evolve", "CartPole-v1"), ("neurons=1,2",), "evolve has no option neurons"),
    ],
)
def test_what_cannot_be_swept_is_told(words, grid, said) -> None:
    with pytest.raises(RunError, match=said):
        Sweep(words=words, grid=grid).run(Console(stderr=True))


def test_a_sweep_plays_only_what_has_no_result_yet(tmp_path, monkeypatch) -> None:
    played = []

    def play(self, cell: Cell) -> Ended:
        played.append(cell.seed)
        if cell.seed == 2 and len(played) < 4:
            return Ended(cell, None, "out of luck")
        folder = tmp_path / cell.folder
        folder.mkdir(parents=True)
        result = {"return_mean": 1.0 + cell.seed, "env_steps": 7}
        (folder / "result.json").write_text(json.dumps(result))
        return Ended(cell, result)

    monkeypatch.setattr(Processes, "_play", play)
    words = ("evolve", "CartPole-v1")
    first = json.loads(Sweep(words=words, seeds="0:3", out=tmp_path, workers=1, json=True).run(Console(stderr=True)))
    assert first["failed"] == [{"settings": {}, "seed": 2, "reason": "out of luck"}]
    again = json.loads(Sweep(resume=tmp_path, workers=1, json=True).run(Console(stderr=True)))
    assert played == [0, 1, 2, 2]
    assert again["settings"][0]["returns"] == [1.0, 2.0, 3.0]
    assert again["settings"][0]["median"] == 2.0


@pytest.mark.slow
def test_a_sweep_of_real_runs_goes_on_where_it_was_stopped(tmp_path) -> None:
    words = ("evolve", "nf/CartPole-v1", "--generations", "2", "--population", "4")
    out = tmp_path / "sweep"
    sweep = Sweep(words=words, seeds="0:2", grid=("hidden_size=1,2",), out=out, workers=2, json=True)
    result = json.loads(sweep.run(Console(stderr=True)))
    assert [row["seeds"] for row in result["settings"]] == [[0, 1], [0, 1]]
    lost = out / "hidden_size-2" / "seed-1" / "result.json"
    before = json.loads(lost.read_text())["returns"]
    lost.unlink()
    json.loads(Sweep(resume=out, workers=1, json=True).run(Console(stderr=True)))
    assert json.loads(lost.read_text())["returns"] == before


def test_threads_end_with_the_processes(tmp_path) -> None:
    processes = Processes(("evolve", "CartPole-v1"), tmp_path, 2)
    processes.close()
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(processes._play, Cell((), 0)).result().reason == "stopped"
