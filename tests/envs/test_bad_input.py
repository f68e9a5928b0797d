"""Whatever a user gets wrong is answered by one clear sentence."""

import re

import gymnasium as gym
import numpy as np
import pytest
import torch

from nf_envs import TensorVectorEnv, build
from nf_envs.sensing import (
    ActionDelay,
    ActionNoise,
    ActionRepeat,
    FilterVelocities,
    FrameDropout,
    HideVelocities,
    LogUniform,
    Mask,
    Normal,
    ObservationDelay,
    ObservationNoise,
    Observe,
    OnlyVelocities,
    Uniform,
)
from tests.envs.all_tasks import vector


def refused(words, call, *args, kind=ValueError, **kwargs):
    with pytest.raises(kind, match=re.escape(words)) as error:
        call(*args, **kwargs)
    assert "\n" not in str(error.value)


CART = "nf/CartPole-v1"


@pytest.mark.parametrize("make", [gym.make, vector])
@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("Unknown option 'masses' of a task: known are constants, sensing", {"masses": 1}),
        ("CartPole has no constant 'mass'; it has gravity, cart_mass", {"constants": {"mass": 1.0}}),
        ("The constant pole_mass of CartPole must be positive, not -1.0", {"constants": {"pole_mass": -1.0}}),
        ("The constant pole_mass of CartPole must be positive, not 0", {"constants": {"pole_mass": 0}}),
        ("gravity of CartPole must be finite, not nan", {"constants": {"gravity": float("nan")}}),
        ("gravity of CartPole must be finite, not inf", {"constants": {"gravity": float("inf")}}),
        ("gravity of CartPole must be a number, not 'heavy'", {"constants": {"gravity": "heavy"}}),
        ("The constant pole_mass of CartPole must be positive", {"constants": {"pole_mass": Uniform(-1.0, 1.0)}}),
        ("sensing lists sensors and actuators of nf_envs.sensing, not 3", {"sensing": [3]}),
        ("sensing is a list of sensors and actuators, not HideVelocities()", {"sensing": HideVelocities()}),
        ("There is no render mode 'ascii'", {"render_mode": "ascii"}),
    ],
)
@pytest.mark.filterwarnings("ignore:.*render_mode='ascii'")
def test_wrong_options_are_named(make, words, options):
    refused(words, make, CART, **options)


def test_wrong_constants_of_the_memory_tasks_and_ranges_are_named():
    for env_id, constants, words in (
        ("nf/CountParity-v0", {"length": 1}, "length of CountParity must be a whole number above 1, not 1"),
        ("nf/RepeatPrevious-v0", {"length": 4}, "must be a whole number above 4, not 4"),
        ("nf/RepeatFirst-v0", {"least_delay": 2.5}, "must be a whole number above 0, not 2.5"),
        (
            "nf/RepeatFirst-v0",
            {"least_delay": 50},
            "least_delay of RepeatFirst must not be greater than greatest_delay",
        ),
        ("nf/RepeatFirst-v0", {"least_delay": Uniform(1, 9)}, "cannot be drawn at random"),
        ("nf/MountainCar-v0", {"start_low": 0.0}, "start_low of MountainCar must not be greater than start_high"),
        ("nf/BallBalancer-v0", {"dead_x_low": 1.0}, "dead_x_low of BallBalancer must not be greater than dead_x_high"),
    ):
        refused(words, gym.make, env_id, constants=constants)


def test_an_unknown_id_is_named_by_gymnasium_with_a_suggestion():
    refused("Did you mean: `CartPole`?", gym.make, "nf/CartPol-v1", kind=gym.error.NameNotFound)


@pytest.mark.parametrize("task", ["nf_envs.classic:CartPol", "no_such_module:Task", "CartPole"])
def test_an_unknown_task_is_named(task):
    refused(f"There is no task {task!r}: name it as 'module:Class'.", TensorVectorEnv, 2, task)


def test_what_is_no_task_is_named():
    refused("A task is a Task, its class, or a path", build, None)
    refused("A task is a Task, its class, or a path", build, dict)
    refused(
        "Give constants to the task itself",
        build,
        build("nf_envs.classic:CartPole", hide_velocities=True),
        constants={"force": 5.0},
    )


def test_a_device_that_is_not_there_is_named():
    if not torch.cuda.is_available():
        refused("There is no device 'cuda' here: use 'cpu'.", vector, CART, device="cuda")
    refused("There is no device 'abacus' here: use 'cpu'.", vector, CART, device="abacus")


def test_wrong_views_are_named():
    refused("num_envs must be at least 1, not 0.", TensorVectorEnv, 0, "nf_envs.classic:CartPole")
    refused("There is no autoreset mode 'Never': known are NextStep", vector, CART, autoreset_mode="Never")


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (2, "The action is 2, outside Discrete(2)."),
        (-1, "outside Discrete(2)"),
        (0.5, "outside Discrete(2)"),
        (float("nan"), "outside Discrete(2)"),
        (None, "outside Discrete(2)"),
        ("left", "outside Discrete(2)"),
        (np.array([0, 1]), "outside Discrete(2)"),
    ],
)
def test_one_environment_refuses_discrete_actions_outside_its_space(action, words):
    env = gym.make(CART, disable_env_checker=True)
    env.reset()
    refused(words, env.step, action)


@pytest.mark.parametrize("action", [[2.1], [float("nan")], [float("inf")], [0.0, 0.0], 0.0, None, "left", [1j]])
def test_one_environment_refuses_continuous_actions_outside_its_space(action):
    env = gym.make("nf/Pendulum-v1", disable_env_checker=True)
    env.reset()
    refused("outside Box(-2.0, 2.0, (1,), float32)", env.step, action)


@pytest.mark.parametrize(
    ("env_id", "actions", "words"),
    [
        (CART, [0, 2], "The action of environment 1 is 2, outside Discrete(2)."),
        (CART, [-1, 0], "The action of environment 0 is -1"),
        (CART, [0.0, 1.0], "Actions must be integers from 0 to 1, not torch.float32."),
        (CART, [0, 1, 1], "Actions must have shape [2], not [3]."),
        ("nf/Pendulum-v1", [[0.0], [2.5]], "The action of environment 1 is [2.5], outside Box"),
        ("nf/Pendulum-v1", [[float("nan")], [0.0]], "The action of environment 0 is [nan], outside Box"),
        ("nf/Pendulum-v1", [[0.0], [float("-inf")]], "The action of environment 1 is [-inf]"),
        ("nf/Pendulum-v1", [0.0, 0.0], "Actions must have shape [2, 1], not [2]."),
    ],
)
def test_many_environments_name_the_one_whose_action_is_wrong(env_id, actions, words):
    env = vector(env_id, 2)
    env.reset(seed=0)
    refused(words, env.step, torch.tensor(actions))


def test_steps_before_the_first_reset_are_refused():
    refused("Reset the environments before the first step.", vector(CART).step, torch.zeros(4, dtype=torch.int64))
    refused("Reset the environment before the first step.", gym.make(CART).unwrapped.step, 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"colour": 1}, "Unknown reset option 'colour': known are"),
        ({"state": (1.0, 2.0)}, "The state must have 4 entries: x, v, theta, omega."),
        ({"state": (1.0, 2.0, float("nan"), 0.0)}, "The entry theta of a state must be"),
        ({"constants": {"mass": 2.0}}, "CartPole has no constant 'mass'"),
        ({"constants": {"gravity": -2.0}}, "gravity of CartPole must be positive"),
        ({"constants": {"gravity": Uniform(9.0, 10.0)}}, "gravity cannot become random at a reset"),
    ],
)
def test_wrong_reset_options_are_named(options, words):
    refused(words, gym.make(CART).reset, options=options)
    refused(words, vector(CART).reset, options=options)


def test_wrong_masks_seeds_and_shapes_are_named():
    env = vector(CART)
    refused("reset_mask needs running environments", env.reset, options={"reset_mask": [True] * 4})
    refused("every environment needs a seed, or none", env.reset, seed=[1, None, 2, 3])
    env.reset(seed=0)
    refused("reset_mask must be 4 booleans", env.reset, options={"reset_mask": [1, 0, 1, 0]})
    refused("reset_mask must be 4 booleans", env.reset, options={"reset_mask": [True]})
    refused("4 environments need 4 seeds, not 2.", env.reset, seed=[1, 2])
    refused("gravity must be one number or 4", env.reset, options={"constants": {"gravity": [1.0, 2.0]}})
    refused("cannot start from a given state", vector("nf/RepeatPrevious-v0").reset, options={"state": (1, 2)})
    refused("cannot start from a given state", gym.make("nf/RepeatPrevious-v0").reset, options={"state": (1, 2)})


@pytest.mark.parametrize(
    ("device", "words"),
    [
        (Observe([4]), "Entries to observe are some of 0 to 3, not [4]."),
        (Observe([]), "Entries to observe are some of 0 to 3, not []."),
        (Mask([7]), "Entries to mask are some of 0 to 3, not [7]."),
        (ObservationNoise(-1.0), "Observation noise is one finite deviation >= 0 or 4 of them, not -1.0."),
        (ObservationNoise([1.0, 2.0]), "or 4 of them"),
        (ObservationNoise(float("nan")), "one finite deviation"),
        (ActionNoise(0.1), "Action noise needs continuous actions, and the task takes Discrete(2)."),
        (FrameDropout(1.5), "from 0 to 1, not 1.5."),
        (FilterVelocities(0.0), "above 0 rad/s, not 0.0."),
        (ObservationDelay(-1), "An observation delay is 0 steps or more"),
        (ActionDelay(3, 1), "An action delay is 0 steps or more, and its greatest not less: not 3 to 1."),
        (ActionRepeat(0), "An action is repeated at least 1 time, not 0."),
    ],
)
def test_sensors_and_actuators_that_do_not_fit_are_named(device, words):
    refused(words, gym.make, CART, sensing=[device])


def test_velocities_that_are_not_there_cannot_be_hidden_or_shown():
    for device in (HideVelocities(), OnlyVelocities(), FilterVelocities()):
        refused("TMaze shows no velocities.", gym.make, "nf/TMaze-v0", sensing=[device])
    refused("SinglePole shows no velocities.", gym.make, "nf/SinglePoleNoVel-v0", sensing=[HideVelocities()])


def test_action_noise_cannot_be_negative():
    refused("finite and 0 or more, not -1", gym.make, "nf/Pendulum-v1", sensing=[ActionNoise(-1.0)])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Uniform(2.0, 1.0), "low below high"),
        (lambda: Uniform(0.0, float("inf")), "finite"),
        (lambda: LogUniform(0.0, 1.0), "begins above 0, not at 0.0"),
        (lambda: Normal(0.0, 0.0, -1.0, 1.0), "above 0, not 0.0"),
    ],
)
def test_impossible_distributions_are_named(make, words):
    refused(words, make)
