"""nf-policies envs lists the batched tasks."""

import json

import gymnasium as gym

import nf_envs
from nf_policies.cli import main


def test_all_registered_tasks_are_listed_as_json(capsys):
    assert main(["envs", "--json"]) == 0
    tasks = json.loads(capsys.readouterr().out)["tasks"]
    assert [task["env_id"] for task in tasks] == [task.id for task in nf_envs.catalog()]
    for task, listed in zip(tasks, nf_envs.catalog(), strict=True):
        assert (task["asks"], task["reference"], task["gymnasium_id"]) == (listed.asks, listed.reference, listed.twin)
        assert (task["dt"], task["max_episode_steps"]) == (listed.dt, listed.max_episode_steps)
        assert gym.spec(task["env_id"]).max_episode_steps == task["max_episode_steps"]


def test_words_filter_by_id_text_and_reference(capsys):
    assert main(["envs", "cartpole", "velocities", "--json"]) == 0
    found = {task["env_id"] for task in json.loads(capsys.readouterr().out)["tasks"]}
    assert "nf/CartPoleNoVel-v1" in found
    assert "nf/CartPole-v1" not in found


def test_the_table_tells_id_space_limit_and_twin(capsys):
    assert main(["envs", "CartPole-v1"]) == 0
    out = capsys.readouterr().out
    for word in ("nf/CartPole-v1", "1 of 2", "500", "0.02", "= CartPole-v1", "Keep a pole upright"):
        assert word in out


def test_a_word_that_no_task_has_is_an_error(capsys):
    assert main(["envs", "unicycle"]) == 1
    assert "No task with 'unicycle'" in capsys.readouterr().err
