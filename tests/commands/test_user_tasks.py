"""Tasks as users have them: given by path, with arguments and wrappers, without limits, once per process, faulty."""

import json
import re
import shlex
import sys
from pathlib import Path

import gymnasium as gym
import pytest

from nf_policies import Policy
from nf_policies.cli import main
from nf_policies.rollouts.score import rollout

FILE = str(Path(__file__).parent.parent / "tasks/user_tasks.py")
TRAIN = ["--steps", "64", "--num-envs", "2", "--workers", "0", "--n-steps", "32", "--batch-size", "32"]
TRAIN += ["--n-epochs", "1", "--hidden-size", "2"]
EVOLVE = ["--generations", "1", "--population", "4", "--episodes", "1", "--workers", "0"]
SEARCH = {"train": TRAIN, "evolve": EVOLVE}


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for command in SEARCH:  # fewer episodes of the final score
        monkeypatch.setattr(f"nf_policies.commands.{command}.SCORE_EPISODES", 5)


def result(capsys):
    return json.loads(capsys.readouterr().out)


def fails(capsys, *words):
    assert main([*words]) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("command", SEARCH)
def test_a_class_in_a_file_with_arguments_and_a_wrapper_is_played_by_the_command_that_is_recommended(command, capsys):
    words = [f"{FILE}:Short", "--env-kwargs", '{"gain": 2.0}', "--wrapper", FILE + ':Tenfold {"times": 3}']
    assert main([command, *words, *SEARCH[command], "--out", "run"]) == 0
    told = capsys.readouterr().out
    assert "return 30.0 ± 0.0" in told, "five steps of 2 × 3"
    recommended = shlex.split(re.search("nf-policies (rollout .*)", told)[1])
    assert main([*recommended, "--episodes", "2", "--json"]) == 0
    assert result(capsys)["returns"] == [30.0, 30.0]
    assert main([command, "--resume", "run", "--json"]) == 0
    assert result(capsys)["return_mean"] == 30.0


def test_a_task_without_a_time_limit_is_judged_and_scored_up_to_a_cap_that_is_told(capsys) -> None:
    assert main(["train", f"{FILE}:Endless", *TRAIN, "--out", "run"]) == 0
    out, err = capsys.readouterr()
    assert "has no time limit" in err
    assert "return 1000.0 ± 0.0 over 5 episodes" in out
    assert "5 episodes met the cap of 1,000 steps" in out
    assert Policy.load("run/best.safetensors").env_spec["max_episode_steps"] is None
    assert main(["rollout", "run/best.safetensors", "--env", f"{FILE}:Endless", "--episodes", "2", "--json"]) == 0
    played = result(capsys)
    assert (played["max_episode_steps"], played["episodes_capped"]) == (1000, 2)


def test_the_time_limit_of_the_search_is_that_of_the_rollout(capsys) -> None:
    words = ["evolve", f"{FILE}:user/Limited-v0", *EVOLVE, "--max-episode-steps", "4"]
    assert main([*words, "--out", "run", "--json"]) == 0
    assert result(capsys)["return_mean"] == 4.0
    assert main(["rollout", "run/best.safetensors", "--episodes", "1", "--json"]) == 0, (
        "registered already, so no --env"
    )
    assert result(capsys)["returns"] == [4.0]
    assert main(["rollout", "run/best.safetensors", "--episodes", "1", "--max-episode-steps", "2", "--json"]) == 0
    assert result(capsys)["returns"] == [2.0]


def test_a_policy_trained_on_a_task_with_arguments_is_scored_on_that_task() -> None:
    from nf_policies.ppo import FieldPPO

    options = {"n_steps": 32, "batch_size": 32, "n_epochs": 1, "seed": 0}
    policy = FieldPPO("NeuralFieldPolicy", gym.make("Pendulum-v1", g=1.0), **options).policy_of()
    assert gym.make(gym.envs.registration.EnvSpec.from_json(json.dumps(policy.env_spec))).unwrapped.g == 1.0
    env, total, start, over = gym.make("Pendulum-v1", g=1.0), 0.0, True, False
    obs, _ = env.reset(seed=3)
    while not over:
        obs, reward, _, over, _ = env.step(policy.act(obs, episode_start=start))
        total, start = total + reward, False
    assert rollout(policy, policy.env_id, episodes=1, seed=3).returns[0] == pytest.approx(total)


@pytest.mark.parametrize(
    "wrap", [lambda env: gym.wrappers.NormalizeObservation(env), lambda env: gym.wrappers.TransformReward(env, abs)]
)
def test_a_policy_whose_task_no_file_can_describe_names_none_and_says_so(wrap) -> None:
    from nf_policies.ppo import FieldPPO

    model = FieldPPO("NeuralFieldPolicy", wrap(gym.make("Pendulum-v1")), n_steps=32, batch_size=32)
    with pytest.warns(RuntimeWarning, match="does not name its task"):
        policy = model.policy_of()
    assert (policy.env_id, policy.env_spec) == (None, None)


@pytest.mark.parametrize(
    "words",
    [["train", "--num-envs", "1", *TRAIN[:2], *TRAIN[4:]], ["evolve", *EVOLVE]],
    ids=["train", "evolve"],
)
def test_a_simulator_that_exists_once_in_a_process_is_enough(words, capsys) -> None:
    assert main([words[0], f"{FILE}:Once", *words[1:], "--out", "run", "--json"]) == 0
    assert result(capsys)["return_mean"] == 5.0
    assert main(["rollout", "run/best.safetensors", "--env", f"{FILE}:Once", "--episodes", "3", "--json"]) == 0
    assert result(capsys)["returns"] == [5.0] * 3


def test_more_of_it_are_refused_with_the_numbers_that_work(capsys) -> None:
    told = fails(capsys, "train", f"{FILE}:Once", *TRAIN)
    assert "Only 1 environments" in told
    assert "Use --num-envs 1, or a process for each with --workers 2" in told


def test_a_task_that_is_deaf_to_its_seed_is_told_and_others_are_not(capsys) -> None:
    assert main(["evolve", f"{FILE}:Deaf", *EVOLVE, "--out", "deaf"]) == 0
    assert "does not follow its seed" in capsys.readouterr().err
    assert main(["evolve", f"{FILE}:Short", *EVOLVE, "--out", "short"]) == 0
    assert "seed" not in capsys.readouterr().err


def test_an_error_of_a_task_names_it_its_line_and_the_command_that_goes_on(capsys, monkeypatch) -> None:
    monkeypatch.setattr("nf_policies.commands.task.seconds_of", lambda env: 0.0)  # which would meet it first
    monkeypatch.setattr("nf_policies.commands.task.follows_its_seed", lambda env: True)
    told = fails(capsys, "evolve", f"{FILE}:Faulty", *EVOLVE, "--out", "run").splitlines()[-1]
    line = next(i for i, text in enumerate(Path(FILE).read_text().splitlines(), 1) if '{}["motor"]' in text)
    assert "Faulty fails with KeyError: 'motor'" in told
    assert f"user_tasks.py, line {line}, in step" in told
    assert told.endswith("To go on: nf-policies evolve --resume run")
    from user_tasks import Faulty, Short

    monkeypatch.setattr(Faulty, "step", Short.step)  # mended
    assert main(["evolve", "--resume", "run", "--json"]) == 0
    assert result(capsys)["return_mean"] == 5.0


def test_an_error_of_ours_is_called_ours(capsys, monkeypatch) -> None:
    monkeypatch.setattr("nf_policies.evolution.evolution.Evolution.step", None)
    told = fails(capsys, "evolve", "CartPole-v1", *EVOLVE, "--out", "run")
    assert "TypeError: 'NoneType' object is not callable" in told
    assert "This is a fault of nf-policies, not of your task" in told


@pytest.mark.parametrize(
    ("task", "words", "message"),
    [
        ("Needs", [], "missing 1 required positional argument: 'table'"),
        ("Old", [], "step must return an observation, a reward, two flags and a dict"),
        ("TwoRewards", [], "a reward must be one number (a wrapper makes one"),
        ("Wrong", [], "an observation must be numbers of Box(-1.0, 1.0, (2,), float32), not array([0., 0., 0.]"),
        ("Nothing", [], "cannot be made"),
        ("BadClose", [], "in close"),
        ("Short", ["--env-kwargs", "g=1"], "--env-kwargs takes JSON such as"),
        ("Short", ["--env-kwargs", '{"max_episode_steps": 3}'], "use --max-episode-steps"),
        ("Short", ["--wrapper", "Tenfold"], "--wrapper takes module:Class"),
        ("Short", ["--wrapper", "gymnasium.wrappers:NoSuch"], "There is no NoSuch in gymnasium.wrappers"),
        ("Short", ["--wrapper", "gymnasium.wrappers:FrameStackObservation"], "FrameStackObservation {\"name\": value}"),
        ("Short", ["--wrapper", "gymnasium.wrappers:NormalizeObservation"], "a policy normalises"),
    ],
)  # fmt: skip
def test_a_task_that_cannot_be_used_gets_one_sentence(task, words, message, capsys) -> None:
    assert message in fails(capsys, "evolve", f"{FILE}:{task}", *EVOLVE, *words)


def test_what_the_sentences_name_works(capsys) -> None:
    words = {
        "Needs": ["--env-kwargs", '{"table": [1, 2]}'],
        "Short": ["--wrapper", 'gymnasium.wrappers:FrameStackObservation {"stack_size": 2}'],
        "OneReward": [],
    }
    for task, more in words.items():
        assert main(["evolve", f"{FILE}:{task}", *EVOLVE, *more, "--out", task]) == 0, capsys.readouterr().err


def test_rewards_of_one_number_and_infos_of_any_kind_are_trained_on(capsys) -> None:
    assert main(["train", f"{FILE}:OneReward", *TRAIN, "--out", "run", "--json"]) == 0
    assert result(capsys)["return_mean"] == 5.0


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("minigrid", ["minigrid:MiniGrid-Empty-5x5-v0", "--wrapper", "minigrid.wrappers:ImgObsWrapper"]),
        ("flappy_bird_gymnasium", ["flappy_bird_gymnasium:FlappyBird-v0", "--env-kwargs", '{"use_lidar": false}']),
        ("popgym", ["popgym.envs.repeat_first:RepeatFirstEasy"]),
    ],
)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of other packages
def test_tasks_of_other_packages_evolve_train_and_play(module, words, capsys) -> None:
    pytest.importorskip(module, reason=f"{module} is not installed: .ci/run installs it", exc_type=ImportError)
    more = ["--max-episode-steps", "9"]
    for command, options in SEARCH.items():
        assert main([command, *words, *options, *more, "--out", command]) == 0, capsys.readouterr().err
        recommended = shlex.split(re.search("nf-policies (rollout .*)", capsys.readouterr().out)[1])
        assert main([*recommended, "--episodes", "2", "--json"]) == 0
        assert result(capsys)["max_episode_steps"] == 9
