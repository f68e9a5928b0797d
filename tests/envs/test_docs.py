"""The pages on tasks name every task and every sensor and show every picture."""

import re
from pathlib import Path

import pytest

import nf_envs
from nf_envs import sensing
from tests.envs.all_tasks import IDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/tasks.md").read_text() + (ROOT / "docs/mujoco.md").read_text()


@pytest.mark.parametrize("env_id", IDS)
def test_every_task_is_there(env_id):
    assert f"`{env_id}`" in PAGE


@pytest.mark.parametrize("task", [task for task in nf_envs.catalog() if "NoVel" not in task.id], ids=lambda t: t.id)
def test_rows_say_what_the_catalogue_says_and_have_a_picture(task):
    (row,) = (line for line in PAGE.splitlines() if f"`{task.id}`" in line)
    assert task.asks in row
    assert f"| {task.max_episode_steps:,} |" in row
    assert (task.twin or task.reference) in row
    (picture,) = re.findall(r"\((pictures/\w+\.png)\)", row)
    assert (ROOT / "docs" / picture).read_bytes().startswith(b"\x89PNG")


def test_every_sensor_actuator_and_distribution_is_there():
    for name in sensing.__all__:
        assert name == "Randomised" or f"{name}(" in PAGE
