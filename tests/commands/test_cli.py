"""The command line itself: light, interruptible, and clear about whose error it was."""

import os
import re
import subprocess
import sys
import textwrap

import pytest

from nf_policies.cli import main
from nf_policies.commands.envs import Envs


def python(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    "command", ["", "evolve", "train", "tune", "rollout", "export", "playground", "presets", "envs"]
)
def test_help_imports_nothing_heavy(command) -> None:
    done = python(
        """
        import sys
        from nf_policies.cli import main
        try:
            main(sys.argv[1:])
        except SystemExit as end:
            heavy = {"torch", "gymnasium", "stable_baselines3", "matplotlib", "cma", "numpy", "optuna"}
            heavy &= set(sys.modules)
            sys.exit(f"imported {heavy}" if heavy else end.code)
        """,
        *filter(None, (command, "--help")),
    )
    assert done.returncode == 0, done.stderr
    assert "usage: nf-policies" in done.stdout
    text = " ".join(done.stdout.replace("│", " ").split())
    unexplained = r"--[a-z-]+(?: [{[][^ ]*| [A-Z]+)? \((?:default|repeatable|required)"
    assert re.findall(unexplained, text) == [], "every option is explained"


def test_the_package_imports_its_names_when_they_are_used() -> None:
    done = python("import sys, nf_policies; assert 'torch' not in sys.modules; print(nf_policies.Policy.__name__)")
    assert done.stdout == "Policy\n", done.stderr
    with pytest.raises(ImportError, match="Nothing"):
        exec("from nf_policies import Nothing")


def test_python_m_nf_policies_is_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "nf_policies", "--help"], capture_output=True, text=True, check=True)
    assert "evolve" in done.stdout


@pytest.mark.parametrize("module", ["rich", "tyro", "nf_policies.commands.evolve", "numpy"])
def test_ctrl_c_during_imports_ends_without_a_traceback(module) -> None:
    done = python(
        """
        import sys
        class Pressed:
            def find_spec(self, name, path=None, target=None):
                if name == sys.argv[1]:
                    raise KeyboardInterrupt
        sys.meta_path.insert(0, Pressed())
        from nf_policies.cli import main
        sys.exit(main(["envs"]))
        """,
        module,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_what_torchrun_starts_many_times_is_a_training(monkeypatch, capsys) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["presets"]) == 1
    assert "only nf-policies train uses: leave it out" in " ".join(capsys.readouterr().err.split())


def test_a_broken_pipe_of_a_worker_is_an_error_and_of_stdout_is_not(monkeypatch, capsys) -> None:
    def broken(self: Envs, messages: object) -> str:
        raise BrokenPipeError("a worker died")

    monkeypatch.setattr(Envs, "run", broken)
    assert main(["envs"]) == 1
    assert "a worker died" in capsys.readouterr().err
    command = f"{sys.executable} -m nf_policies envs --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_knows_ascii_only_gets_the_table() -> None:
    words = [sys.executable, "-m", "nf_policies", "envs", "CartPole-v1"]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=ascii_only)
    assert done.returncode == 0, done.stderr
    assert "nf/CartPole-v1" in done.stdout


FAULTY = """
import gymnasium as gym
import numpy as np

class Faulty(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}
    def step(self, action):
        int("12 volts")

gym.register("Faulty-v0", Faulty, max_episode_steps=9)
"""


def test_an_error_of_the_users_task_names_its_file_and_line(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "faulty_task.py").write_text(FAULTY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["evolve", "faulty_task:Faulty-v0", "--population", "4", "--episodes", "1"]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert "12 volts" in message
    assert "faulty_task.py, line 12, in step" in message
