"""A task whose step takes long is played in processes, by train and evolve alike, without being asked."""

import json
import time

import gymnasium as gym
import numpy as np
import pytest
from small_tasks import Recall

from nf_policies.cli import main
from nf_policies.commands import task as of_task
from nf_policies.commands.evolve import Evolve
from nf_policies.commands.train import Train
from nf_policies.tasks.processes import ProcessVectorEnv
from nf_policies.tasks.side_by_side import training_envs


class Slow(Recall):
    """Recall whose steps take two milliseconds."""

    def step(self, action):
        time.sleep(2e-3)
        return super().step(action)


@pytest.fixture(scope="module", autouse=True)
def slow_task():
    gym.register("test/Slow-v0", Slow, max_episode_steps=10)


def test_workers_follow_from_the_time_of_a_step(monkeypatch) -> None:
    monkeypatch.setattr(of_task, "cores", lambda: 3)
    assert Evolve(env="test/Slow-v0").resolved().workers == 3
    assert Train(env="test/Slow-v0").resolved().workers == 8, "as many as there are environments"
    for quick in (Evolve(env="test/Recall-v0"), Train(env="CartPole-v1"), Evolve(env="nf/FurutaSwingUp-v0")):
        assert quick.resolved().workers == 0
    assert Train(env="test/Slow-v0", workers=2).resolved().workers == 2
    monkeypatch.setattr(of_task, "cores", lambda: 1)
    assert Evolve(env="test/Slow-v0").resolved().workers in (0, 1)


def test_environments_in_processes_go_on_as_those_in_one(monkeypatch) -> None:
    apart, together = training_envs("CartPole-v1", 1, workers=3), training_envs("CartPole-v1", 3)
    assert isinstance(apart, ProcessVectorEnv)
    assert apart.num_envs == 3
    first = [envs.reset(seed=5)[0] for envs in (apart, together)]
    np.testing.assert_array_equal(*first)
    for _ in range(60):  # beyond the ends of episodes
        both = [envs.step(np.array([1, 0, 1])) for envs in (apart, together)]
        for one, other in zip(*(answer[:4] for answer in both), strict=True):
            np.testing.assert_array_equal(one, other)
    apart.close()


def test_train_in_processes_ends_as_any_run(tmp_path, capsys) -> None:
    words = ["train", "test/Slow-v0", "--workers", "2", "--steps", "128", "--n-steps", "32", "--batch-size", "32"]
    assert main([*words, "--out", str(tmp_path / "run"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["env_steps"] == 128
    assert json.loads((tmp_path / "run" / "config.json").read_text())["workers"] == 2
