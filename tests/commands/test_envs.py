"""nf-policies envs lists the batched tasks, and the entries of any task, which --hide takes by name."""

import json

import gymnasium as gym
import pytest

import nf_envs
from nf_policies import Policy
from nf_policies.cli import main
from nf_policies.policies.names import Entry, entries_of


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


def test_the_id_of_a_task_lists_its_entries_with_names_units_and_bounds(capsys):
    assert main(["envs", "Pendulum-v1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["observation"][2] == {"name": "angular_velocity", "unit": "rad/s", "low": -8, "high": 8}
    assert told["action"] == [{"name": "torque", "unit": "N m", "low": -2, "high": 2}]
    assert main(["envs", "Taxi-v4"]) == 0, "a task that is not batched"
    out = capsys.readouterr().out
    for word in ("observation of Taxi-v4", "state=499", "action of Taxi-v4", "pick_up"):
        assert word in out


@pytest.mark.parametrize(
    "search",
    [
        ["evolve", "--generations", "1", "--population", "4", "--episodes", "1", "--backend", "gymnasium"],
        ["train", "--steps", "32", "--num-envs", "2", "--n-steps", "16", "--batch-size", "32", "--n-epochs", "1"],
    ],
    ids=lambda words: words[0],
)
def test_entries_are_hidden_by_name_and_named_in_the_file(search, tmp_path, capsys):
    command, *words = search
    words += ["--hide", "angular_velocity", "--max-episode-steps", "5", "--out", str(tmp_path / "run")]
    assert main([command, "Pendulum-v1", *words]) == 0
    policy = Policy.load(tmp_path / "run" / "best.safetensors")
    assert policy.visible == (0, 1)
    entries = entries_of(policy.observation_space, policy.names["observation"])
    assert [entries[i] for i in policy.visible] == [Entry("angle_cosine", "1", -1, 1), Entry("angle_sine", "1", -1, 1)]
    assert entries_of(policy.action_space, policy.names["action"], "action") == (Entry("torque", "N m", -2, 2),)


def test_an_entry_that_is_not_there_is_told_with_those_that_are(capsys):
    assert main(["evolve", "Pendulum-v1", "--hide", "speed"]) == 1
    assert "named speed, but angle_cosine, angle_sine, angular_velocity" in capsys.readouterr().err
