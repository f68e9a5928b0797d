"""Processes of environments may die, hang and fail: nothing is lost, no process is left, and it is told."""

import functools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

sys.path.insert(0, str(Path(__file__).parent))
from troubled_task import TROUBLES, Troubled

from nf_policies import Policy, SimpleNeuralField, worker_process
from nf_policies.rollouts.play import evaluate
from nf_policies.tasks.make import TaskError
from nf_policies.tasks.processes import ProcessVectorEnv
from nf_policies.tasks.side_by_side import PausingSyncVectorEnv

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and sends POSIX signals")
TOLD = {
    "killed": "was killed by SIGKILL",
    "stopped": "has not answered for 0.8 seconds",
    "hanging": "has not answered for 0.8 seconds",
    "raising": r"failed with ValueError: .*12 volts.*troubled_task.py, line \d+, in <lambda>",
    "exiting": "ended with exit code 3",
    "leaving": "ended with exit code 4",
}


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def processes_of(folder: Path) -> list[int]:
    return [int(file.name.partition("-")[2]) for file in folder.glob("process-*")]


def wait_for(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def envs_of(folder: Path, trouble: str = "", mode=AutoresetMode.DISABLED, **options) -> ProcessVectorEnv:
    make = functools.partial(Troubled, trouble, str(folder), **options)
    return ProcessVectorEnv(make, 2, mode=mode, name="Troubled-v0", timeout=0.8)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_lost_workers_episode_is_played_again_and_nothing_else_changes(trouble, tmp_path) -> None:
    env = Troubled()
    policy = Policy(SimpleNeuralField(2, 1), env.observation_space, env.action_space)
    seeds = range(10, 15)
    expected, calm = evaluate(PausingSyncVectorEnv([Troubled(), Troubled()]), policy, None, seeds)
    told = pytest.warns(RuntimeWarning, match=f"A worker of Troubled-v0.*{TOLD[trouble]}.*plays its episode again")
    with closing(envs_of(tmp_path, trouble)) as envs, told:
        returns, played = evaluate(envs, policy, None, seeds)
    np.testing.assert_array_equal(returns, expected)
    assert played.lengths.tolist() == calm.lengths.tolist() == [9] * 5
    for one, other in zip(played.moments, calm.moments, strict=True):
        assert np.all(np.asarray(one) == np.asarray(other))
    assert not any(map(alive, processes_of(tmp_path)))


@pytest.mark.parametrize("trouble", ["killed", "hanging", "raising"])
def test_an_episode_that_is_lost_three_times_ends_the_task_in_one_sentence(trouble, tmp_path) -> None:
    with closing(envs_of(tmp_path, trouble, always=True)) as envs:
        envs.reset(seed=[12, 13])
        for _ in range(4):
            envs.step(np.array([0, 1]))
        with pytest.warns(RuntimeWarning), pytest.raises(TaskError, match=f"lost 3 times.*{TOLD[trouble]}"):
            envs.step(np.array([0, 1]))
    assert not any(map(alive, processes_of(tmp_path)))


def test_in_training_a_lost_episode_is_cut_off_and_another_one_begins(tmp_path) -> None:
    with closing(envs_of(tmp_path, "killed", AutoresetMode.SAME_STEP)) as envs:
        before, _ = envs.reset(seed=[12, 13])
        for _ in range(4):
            before, *_ = envs.step(np.array([0, 1]))
        with pytest.warns(RuntimeWarning, match="begins another episode"):
            obs, rewards, terminated, truncated, infos = envs.step(np.array([0, 1]))
        assert truncated.tolist() == [True, False]
        assert not terminated.any()
        assert rewards[0] == 0
        np.testing.assert_array_equal(infos["final_obs"][0], before[0])
        assert not np.array_equal(obs[0], before[0])
        for _ in range(4):
            *_, terminated, _, _ = envs.step(np.array([0, 1]))
        assert terminated.tolist() == [False, True]
        for _ in range(5):
            *_, terminated, _, _ = envs.step(np.array([0, 1]))
        assert terminated.tolist() == [True, False]


def test_training_and_whole_episodes_take_the_same_processes(tmp_path) -> None:
    with closing(envs_of(tmp_path, mode=AutoresetMode.SAME_STEP)) as envs:
        whole = envs.for_episodes()
        for one in (envs, whole, envs):
            one.reset(seed=3)
            *_, terminated, _, _ = [one.step(np.array([0, 1])) for _ in range(9)][-1]
            assert terminated.all()
            *_, terminated, _, _ = one.step(np.array([0, 1]))
            assert terminated.all() == (one is whole), "left alone at their end, or in the next episode"
        del whole
        envs.step(np.array([0, 1]))
        assert len(processes_of(tmp_path)) == 2


def test_an_answer_that_nobody_has_awaited_is_not_taken_for_the_next_one(tmp_path) -> None:
    with closing(envs_of(tmp_path)) as envs:
        first, _ = envs.reset(seed=[1, 2])
        first = first.copy()
        envs.step(np.array([0, 1]))
        for worker in envs.workers:
            worker.ask(worker.begun._replace(seed=7))  # as if Ctrl-C had come between the request and its answer
        np.testing.assert_array_equal(envs.reset(seed=[1, 2])[0], first)


def test_what_cannot_be_made_is_said_by_the_task_itself() -> None:
    def make() -> None:
        raise TaskError("This task needs a licence.")

    with pytest.raises(TaskError, match=r"^This task needs a licence\.$"):
        ProcessVectorEnv(make, 2, mode=AutoresetMode.DISABLED)
    with pytest.raises(TaskError, match="A worker of the task ended with exit code 5 while it started"):
        ProcessVectorEnv(lambda: os._exit(5), 2, mode=AutoresetMode.DISABLED)


@pytest.mark.parametrize(
    ("platform", "chosen", "method"),
    [("linux", None, "fork"), ("darwin", None, "spawn"), ("win32", None, "spawn"), ("linux", "spawn", "spawn")],
)
def test_processes_are_forked_on_linux_alone_or_as_the_caller_says(platform, chosen, method, monkeypatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda allow_none: chosen)
    assert worker_process.start_method() == method


MAIN = """
import functools, multiprocessing, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from gymnasium.vector import AutoresetMode
from troubled_task import Troubled
from nf_policies.tasks.processes import ProcessVectorEnv
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[3])
    make = functools.partial(Troubled, "hanging", sys.argv[2])
    envs = ProcessVectorEnv(make, 3, mode=AutoresetMode.DISABLED)
    envs.reset(seed=[1, 12, 2])
    print("begun", flush=True)
    while True:
        envs.step(np.zeros(3, int))
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.slow
def test_no_process_is_left_when_the_main_one_is_killed(end, method, tmp_path) -> None:
    script = tmp_path / "script.py"
    script.write_text(MAIN)
    words = [sys.executable, str(script), str(Path(__file__).parent), str(tmp_path), method]
    main = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path()})
    try:
        assert main.stdout.readline() == "begun\n"
        assert wait_for((tmp_path / "happened").exists, 20)
        pids = processes_of(tmp_path)
        assert len(pids) == 3
        os.kill(min(pids), signal.SIGSTOP)
        main.send_signal(end)
        main.wait(5)
        assert wait_for(lambda: not any(map(alive, pids)), 5)
    finally:
        main.kill()
        main.communicate()


def path() -> str:
    root = Path(__file__).parents[2]
    return os.pathsep.join([str(root), str(root / "envs"), os.environ.get("PYTHONPATH", "")])


NOTEBOOK = """
import multiprocessing, sys
import gymnasium as gym
import numpy as np

multiprocessing.set_start_method("spawn")

class Mine(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}
    def step(self, action):
        return np.full(2, 0.5, np.float32), float(action), False, False, {}

gym.register("Mine-v0", Mine, max_episode_steps=9)

from nf_policies.cli import main
workers = ["--workers", "2", "--json"]
small = ["--n-steps", "32", "--batch-size", "32", "--n-epochs", "1", "--steps", "64"]
assert main(["evolve", "Mine-v0", "--population", "4", "--generations", "1", "--out", "evolved", *workers]) == 0
assert main(["train", "Mine-v0", "--out", "trained", *small, *workers]) == 0
for folder in ("evolved", "trained"):
    assert main(["rollout", folder + "/best.safetensors", "--episodes", "5", *workers]) == 0
"""


@pytest.mark.slow
def test_a_task_of_a_notebook_is_evolved_trained_and_played_in_spawned_processes(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", NOTEBOOK],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path()},
    )
    assert done.returncode == 0, done.stderr
    evolved, trained, *played = map(json.loads, done.stdout.splitlines())
    for one, again in zip((evolved, trained), played, strict=True):
        assert len(one["returns"]) == 100
        assert again["episodes"] == 5


REGISTER = """
import gymnasium as gym
import sys
sys.path.insert(0, {folder!r})
gym.register("Troubled-v0", "troubled_task:Troubled", max_episode_steps=9, kwargs={kwargs})
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evolve", "train"])
def test_a_run_whose_worker_is_killed_goes_on_and_ends_cleanly_at_sigterm(command, tmp_path) -> None:
    here, kwargs = str(Path(__file__).parent), {"folder": str(tmp_path), "pause": 0.01}
    (tmp_path / "registers_troubled.py").write_text(REGISTER.format(folder=here, kwargs=kwargs))
    words = ["-m", "nf_policies", command, "registers_troubled:Troubled-v0", "--workers", "2", "--out", "run"]
    how = {"stderr": subprocess.PIPE, "text": True, "cwd": tmp_path, "env": os.environ | {"PYTHONPATH": path()}}
    main = subprocess.Popen([sys.executable, *words], **how)

    def workers() -> list[int]:
        return [pid for pid in processes_of(tmp_path) if pid != main.pid and alive(pid)]

    def rows() -> int:
        file = tmp_path / "run" / "progress.csv"
        return len(file.read_text().splitlines()) if file.exists() else 0

    try:
        assert wait_for(lambda: rows() >= 2, 60)
        assert len(workers()) == 2
        os.kill(max(workers()), signal.SIGKILL)  # the last one: it ended no run, and hung it
        before = rows()
        assert wait_for(lambda: rows() >= before + 2, 60), "the run goes on"
        os.kill(min(workers()), signal.SIGKILL)
        main.send_signal(signal.SIGTERM)
        _, messages = main.communicate(timeout=25)
        assert main.returncode in (143, -signal.SIGTERM)
        assert "was killed by SIGKILL" in messages
        assert "Traceback" not in messages
        assert wait_for(lambda: not any(map(alive, processes_of(tmp_path))), 5)
    finally:
        main.kill()
        main.communicate()
