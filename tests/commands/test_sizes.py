"""A run takes no more environments than were asked for, says its sizes, and refuses those that cannot work."""

import gymnasium as gym
import numpy as np
import pytest
from small_tasks import Recall

from nf_policies.cli import main
from nf_policies.commands import sizes
from nf_policies.commands.evolve import Evolve, new_evolution, new_policy
from nf_policies.commands.sizes import bytes_in_words
from nf_policies.commands.task import shown
from nf_policies.commands.train import Train
from nf_policies.evolution.strategy import PARAMETERS_MAX, Strategy
from nf_policies.tasks.side_by_side import make_envs


class Robot(Recall):
    """A simulator of which there are only a few at a time."""

    living = most = 0

    def __init__(self) -> None:
        super().__init__()
        Robot.living += 1
        Robot.most = max(Robot.most, Robot.living)

    def close(self) -> None:
        Robot.living -= 1


@pytest.fixture(autouse=True)
def robots():
    gym.register("test/Robot-v0", Robot, max_episode_steps=9)
    Robot.living = Robot.most = 0
    yield
    del gym.registry["test/Robot-v0"]


SMALL = ["--steps", "128", "--n-steps", "32", "--batch-size", "32", "--n-epochs", "1"]


@pytest.mark.parametrize("num_envs", [1, 2])
def test_training_judges_and_scores_in_the_environments_that_were_asked_for(num_envs, tmp_path, capsys) -> None:
    words = ["train", "test/Robot-v0", *SMALL, "--num-envs", str(num_envs), "--evaluation-share", "1"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert (Robot.most, Robot.living) == (num_envs, 0)
    told = capsys.readouterr().err
    environments = "1 environment," if num_envs == 1 else "2 environments,"
    assert f"playing test/Robot-v0: in {environments} a policy of" in told
    assert "10 episodes or more to evaluate and 100 for the score" in told


def test_with_a_worker_this_process_has_one_environment_at_a_time_too(tmp_path) -> None:
    out = ["--workers", "1", "--out"]
    words = ["evolve", "test/Robot-v0", "--population", "4", "--episodes", "1", "--generations", "1"]
    assert main([*words, *out, str(tmp_path / "evolved")]) == 0
    assert main(["train", "test/Robot-v0", *SMALL, *out, str(tmp_path / "trained")]) == 0
    file = str(tmp_path / "evolved" / "best.safetensors")
    assert main(["rollout", file, "--episodes", "3", "--workers", "1"]) == 0
    assert (Robot.most, Robot.living) == (1, 0)


def test_environments_of_their_own_judge_where_none_were_asked_for() -> None:
    assert Train(env="test/Robot-v0").resolved().evaluation_envs == 64
    assert Train(env="test/Robot-v0", num_envs=2).resolved().evaluation_envs == 0
    assert Train(env="test/Robot-v0", num_envs=2, evaluation_envs=5).resolved().evaluation_envs == 5
    assert Train(env="test/Robot-v0", workers=2).resolved().evaluation_envs == 0
    assert Train(env="test/Robot-v0", workers=0).resolved().evaluation_envs == 64


def test_a_rollout_that_does_not_fit_into_memory_is_refused_in_a_sentence(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sizes, "memory", lambda: 10_000)
    assert main(["train", "test/Robot-v0", *SMALL]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "environments × 32 steps of 1 features needs" in told[0]
    assert "there are 10 kB: lower --num-envs or --n-steps" in told[0]
    assert Robot.most == 1, "nothing was begun"


def test_memory_is_that_of_the_machine_or_the_container(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sizes, "CGROUP_LIMIT", tmp_path / "memory.max")
    whole = sizes.memory()
    assert whole is None or whole > 1e8
    (tmp_path / "memory.max").write_text("max\n")
    assert sizes.memory() == whole
    (tmp_path / "memory.max").write_text("12345\n")
    assert sizes.memory() == 12345


def test_bytes_are_told_with_their_unit() -> None:
    words = [bytes_in_words(n) for n in (7, 1234, 5.6e6, 2e9, 3e15)]
    assert words == ["7 bytes", "1.23 kB", "5.6 MB", "2 GB", "3e+03 TB"]


def test_too_many_parameters_to_evolve_are_refused_before_their_covariance_is_made() -> None:
    n = PARAMETERS_MAX + 1
    with pytest.raises(ValueError, match="10,001 parameters are too many for CMA-ES"):
        Strategy(np.zeros(n), np.ones(n))


def test_a_time_limit_of_steps_needs_workers(capsys) -> None:
    assert main(["train", "test/Robot-v0", "--step-timeout", "5"]) == 1
    assert "--step-timeout needs --workers" in capsys.readouterr().err
    assert main(["evolve", "test/Robot-v0", "--step-timeout", "0", "--workers", "1"]) == 1
    assert "--step-timeout must be above 0, not 0.0" in capsys.readouterr().err


@pytest.mark.parametrize(("neurons", "sizes"), [(3, [3, 3, 6, 6, 6]), (8, [8] * 5)])
def test_a_policy_grows_to_at_most_a_hundred_parameters_and_keeps_its_size_where_it_has_more(neurons, sizes) -> None:
    options = Evolve(env="Acrobot-v1", hidden_size=neurons).resolved()
    task = shown(options)
    evolution = new_evolution(options, new_policy(options, task), make_envs("Acrobot-v1", 1), task)
    assert [evolution.grow(stage).field.hidden_size for stage in range(5)] == sizes
    of_weights = sizes[2] * (6 + sizes[2] + 2)  # from what is seen, to each other, to two outputs
    assert evolution.grow(2).n_parameters == of_weights + 2 * sizes[2] + 1, "resting levels, scales, a time constant"
