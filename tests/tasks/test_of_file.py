"""A policy file says which task it is, and its word imports nothing."""

import json
import sys

import gymnasium as gym
import pytest
from gymnasium.envs.registration import EnvSpec

from nf_policies.tasks.description import Task, described, wrappers_of
from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.make import make_task
from nf_policies.tasks.of_file import task_of_file

SPEC = {"id": "Pendulum-v1", "entry_point": "evil:Task", "kwargs": {"g": 1.0}, "max_episode_steps": 9}


def spec(**changes):
    return {**SPEC, "additional_wrappers": [], **changes}


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module that a file must not have imported."""
    (tmp_path / "evil.py").write_text("raise AssertionError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_the_registered_task_is_made_with_the_files_values_and_not_from_its_entry_point(evil) -> None:
    env = make_task(task_of_file("Pendulum-v1", spec()))
    assert (env.unwrapped.g, env.spec.max_episode_steps) == (1.0, 9)


@pytest.mark.parametrize(
    ("env_id", "env_spec", "to_add"),
    [
        ("evil:Task-v0", None, "add --env evil:Task-v0"),
        ("evil:Task-v0", spec(id="Task-v0"), "add --env evil:Task-v0"),
        (None, spec(id="Task-v0"), "does not say which task"),
        ("evil.py:Task-v0", None, "add --env evil.py:Task-v0"),
        ("$(rm):Task-v0", None, r"add --env '\$\(rm\):Task-v0'"),
        (
            "Pendulum-v1",
            spec(additional_wrappers=[{"name": "W", "entry_point": "evil:W", "kwargs": {"a": 1}}]),
            r"""add --wrapper 'evil:W \{"a": 1\}'""",
        ),
        (
            "Pendulum-v1",
            spec(additional_wrappers=[{"name": "system", "entry_point": "os:system", "kwargs": {"command": "ls"}}]),
            "add --wrapper 'os:system",
        ),
        (
            "Pendulum-v1",
            spec(additional_wrappers=[{"name": "R", "entry_point": "gymnasium.wrappers:RecordVideo", "kwargs": {}}]),
            "add --wrapper gymnasium.wrappers:RecordVideo",
        ),
        ("Pendulum-v1", {"id": "Pendulum-v1"}, "cannot be used"),
        ("Pendulum-v1", spec(kwargs=[1]), "cannot be used"),
        ("Pendulum-v1", spec(max_episode_steps=-1), "cannot be used"),
    ],
)
def test_a_files_word_imports_nothing_and_the_sentence_says_what_to_add(env_id, env_spec, to_add, evil) -> None:
    with pytest.raises(TaskError, match=to_add):
        task_of_file(env_id, env_spec)
    assert "evil" not in sys.modules


def test_a_file_cannot_put_a_module_in_the_place_of_a_registered_one(evil) -> None:
    task = task_of_file("nf/CartPole-v1", spec(id="nf/CartPole-v1", kwargs={"task": "evil:Task"}))
    assert task.kwargs == {}


def test_the_command_lines_words_replace_the_files() -> None:
    known = [{"name": "TimeAwareObservation", "entry_point": "gymnasium.wrappers:TimeAwareObservation", "kwargs": {}}]
    in_file = ("Pendulum-v1", spec(additional_wrappers=known))
    assert [wrapper.name for wrapper in task_of_file(*in_file).wrappers] == ["TimeAwareObservation"]
    words = {"env_kwargs": '{"g": 2.0}', "wrapper": ("gymnasium.wrappers:FlattenObservation",), "max_episode_steps": 5}
    assert task_of_file(*in_file, **words) == Task(
        "Pendulum-v1", {"g": 2.0}, wrappers_of(["gymnasium.wrappers:FlattenObservation"]), 5
    )
    assert task_of_file(*in_file, env="CartPole-v1") == Task("CartPole-v1"), "of which the file says nothing"


def test_a_description_is_gymnasiums_and_makes_the_same_task_again() -> None:
    task = Task(
        "Pendulum-v1", {"g": 3.0}, wrappers_of(['gymnasium.wrappers:FrameStackObservation {"stack_size": 2}']), 7
    )
    env = make_task(task)
    told = described(env.spec, task)
    again = gym.make(EnvSpec.from_json(json.dumps(told)))
    assert (again.unwrapped.g, again.spec.max_episode_steps) == (3.0, 7)
    assert again.observation_space == env.observation_space == make_task(task_of_file("x", told)).observation_space
