"""A terminal that cannot show something, or is gone, ends no run."""

import io
import os
import subprocess
import sys

import pytest
import tyro

from nf_policies.commands.evolve import Evolve
from nf_policies.commands.train import Train
from nf_policies.terminal import Tolerant, show


class Gone(io.StringIO):
    """A terminal that has been closed."""

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")

    def flush(self) -> None:
        raise OSError(5, "Input/output error")


def test_messages_to_a_terminal_that_is_gone_or_knows_ascii_only_are_dropped() -> None:
    Tolerant(Gone()).write("±")
    Tolerant(Gone()).flush()
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream = Tolerant(ascii_only)
    assert [stream.write(text) for text in ("±", "fine")] == [1, 4]
    stream.flush()
    assert ascii_only.buffer.getvalue() == b"fine"
    assert stream.encoding == "ascii"


@pytest.mark.parametrize("redirected", [">&-", "2>&-", "2>/dev/full", ">&- 2>&- <&-"])
def test_a_closed_or_full_stream_ends_no_command(redirected) -> None:
    command = f"{sys.executable} -m nf_policies envs CartPole {redirected}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_output_that_cannot_be_written_is_said_in_a_sentence(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdout", Gone())
    monkeypatch.setattr(os, "dup2", lambda *numbers: None)
    assert show("±") == "The output cannot be written: Input/output error."


@pytest.mark.parametrize(
    ("words", "value"), [([], None), (["--normalize-rewards"], True), (["--no-normalize-rewards"], False)]
)
def test_boolean_options_are_flags_whose_absence_means_the_preset(words, value) -> None:
    assert tyro.cli(Train, args=["CartPole-v1", *words]).normalize_rewards is value
    words = [word.replace("normalize-rewards", "normalise") for word in words]
    assert tyro.cli(Evolve, args=["CartPole-v1", *words]).normalise is value
