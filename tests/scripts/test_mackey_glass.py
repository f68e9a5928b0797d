"""The sequence example does what it says, for both fields."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "mackey_glass.py"


def test_the_series_solves_its_delay_equation() -> None:
    x = runpy.run_path(str(SCRIPT))["mackey_glass"](400)
    assert x[:16] == pytest.approx(1.2 * np.exp(-0.1 * np.arange(1, 17)), rel=1e-5), "without a past it decays"
    # Between samples, x' = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x, here by central differences.
    slope = (x[2:] - x[:-2]) / 2
    delayed = x[: -17 - 1]
    rate = 0.2 * delayed / (1 + delayed**10) - 0.1 * x[17:-1]
    assert np.abs(slope[16:] - rate)[50:].max() < 0.01
    assert 0.2 < x[100:].min() < 0.6 < 1.2 < x[100:].max() < 1.4, "the known range of the attractor"


@pytest.mark.parametrize("field", ["neural", "simple"])
@pytest.mark.slow
def test_a_field_beats_the_last_value_and_runs_freely(field, tmp_path) -> None:
    picture = tmp_path / "new" / "picture.png"
    command = [sys.executable, SCRIPT, "--field", field, "--updates", "100", "--plot", picture]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "predicting the last value" in done.stdout
    assert picture.stat().st_size > 10_000
