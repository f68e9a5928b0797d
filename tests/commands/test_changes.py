"""Where a policy does not see velocities, its field feels how what it sees changes: so says the task, no option."""

import gymnasium as gym
import numpy as np
import pytest

from nf_policies import Policy
from nf_policies.cli import main
from nf_policies.commands.evolve import Evolve
from nf_policies.commands.task import change_gains, facts_of
from nf_policies.commands.train import Train
from nf_policies.tasks.make import make_task


class Clock(gym.Env[np.ndarray, int]):
    """Shows the hand of a clock that takes 11 steps, how often it has been read, backwards, and what never changes."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.face(), {}

    def face(self) -> np.ndarray:
        return np.array([0.1 * self.t, -3.0 * self.t, 7.0])

    def step(self, action):
        self.t += 1
        return self.face(), 0.0, self.t == 10, False, {}


class Speedometer(Clock):
    """The same with names."""

    observation_names = ("distance [m]", "velocity [m/s]", "wind_velocity [m/s]")


class Choices(Clock):
    """What it shows is a choice."""

    observation_space = gym.spaces.Discrete(11)

    def face(self):
        return self.t


for task in (Clock, Speedometer, Choices):
    gym.register(f"test/{task.__name__}-v0", task, max_episode_steps=10)


@pytest.mark.parametrize(
    ("env_id", "options", "changes"),
    [
        ("InvertedPendulum-v5", {}, False),
        ("InvertedPendulum-v5", {"hide_velocity": True}, True),
        ("InvertedPendulum-v5", {"hide": (3,)}, True),
        ("InvertedPendulum-v5", {"hide": (0,)}, False),
        ("nf/DampedPendulum-v0", {}, False),
        ("nf/DampedPendulumNoVel-v0", {}, True),
        ("test/Clock-v0", {}, True),
        ("test/Speedometer-v0", {}, False),
        ("test/Speedometer-v0", {"hide": ("wind_velocity",)}, True),
        ("test/Choices-v0", {}, False),
    ],
)
@pytest.mark.parametrize("command", [Train, Evolve])
def test_a_field_feels_changes_where_a_velocity_is_hidden_or_none_is_known(command, env_id, options, changes) -> None:
    assert facts_of(command(env_id, steps=1000, **options)).changes is changes
    (said,) = [word for word in command(env_id, steps=1000, **options).resolved().field_option if "changes" in word]
    assert said == f"changes={str(changes).lower()}"


@pytest.mark.parametrize("env_id", ["CartPole-v1", "MountainCarContinuous-v0", "Pendulum-v1"])
def test_searched_settings_stay_as_they_were_found(env_id) -> None:
    assert "changes=false" in Train(env_id, hide_velocity=True).resolved().field_option
    searched = "changes=false" in Evolve(env_id, hide_velocity=True).resolved().field_option
    assert searched == (env_id != "Pendulum-v1"), "whose evolve has general settings"


def test_gains_bring_changes_to_the_scale_of_what_changes() -> None:
    hand = np.std(np.arange(11)) / 1.0
    np.testing.assert_allclose(change_gains(make_task("test/Clock-v0"), steps=11 * 20), [hand, hand, 1.0])


@pytest.mark.parametrize(
    "command", [["train", "--steps", "64", "--n-steps", "8", "--batch-size", "64"], ["evolve", "--generations", "1"]]
)
def test_the_policy_of_a_run_feels_what_it_sees(command, tmp_path) -> None:
    words = ["InvertedPendulum-v5", "--hide-velocity", "--out", str(tmp_path)]
    assert main([command[0], *words, *command[1:]]) == 0
    policy = Policy.load(tmp_path / "best.safetensors")
    gains = change_gains(make_task("InvertedPendulum-v5"))[:2]
    np.testing.assert_allclose(policy.field.change_gain, gains, rtol=1e-6)
    assert policy.field.memory_size == policy.field.hidden_size + 3
