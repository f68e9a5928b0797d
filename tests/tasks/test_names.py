"""Names and units of what tasks show and take, where they are known, and only there."""

from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv

import nf_envs
from nf_envs.sensing import LogUniform
from nf_policies.policies.names import Entry, entries_of
from nf_policies.tasks.faults import TaskError
from nf_policies.tasks.make import make_task
from nf_policies.tasks.names import names_of
from nf_policies.tasks.registry import register_installed
from nf_policies.tasks.visible import is_named, visible_entries

register_installed()
NEEDS = {"phys2d": "jax", "tabular": "jax", "box2d": "Box2D", "mujoco": "mujoco"}
UNKNOWN = ("Humanoid-v4", "HumanoidStandup-v4", "CarRacing-v3")
"""Tasks of Gymnasium of whose observations nothing is known, or that show pictures."""


def gymnasiums() -> list[str]:
    return [spec.id for spec in gym.registry.values() if str(spec.entry_point).startswith("gymnasium.")]


@pytest.mark.parametrize("family", ["classic_control", "toy_text", "box2d", "mujoco"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # of old versions of tasks
def test_every_number_that_gymnasiums_tasks_show_and_take_has_a_name_and_a_unit(family) -> None:
    if family in NEEDS:
        pytest.importorskip(NEEDS[family])
    ids = [i for i in gymnasiums() if f".{family}" in str(gym.spec(i).entry_point) and i != "Pusher-v4"]  # mujoco < 3
    for env_id in ids:
        with closing(make_task(env_id, max_episode_steps=9)) as env:
            names = names_of(env)
            assert names.action, env_id
            entries_of(env.action_space, names.action, "action")
            if env_id not in UNKNOWN:
                seen = entries_of(env.observation_space, names.observation)
                assert len({entry.name for entry in seen}) == len(seen), env_id
                assert all(entry.unit for entry in seen), env_id


@pytest.mark.parametrize("listed", nf_envs.catalog(), ids=lambda listed: listed.id)
def test_every_number_of_a_batched_task_has_a_name_and_a_unit(listed) -> None:
    with closing(make_task(listed.id)) as env:
        names = names_of(env)
        seen = entries_of(env.observation_space, names.observation)
        assert all(entry.unit for entry in seen)
        assert [i for i, entry in enumerate(seen) if is_named("velocity", entry.name)] == [*_task(env).velocities]
        assert len(entries_of(env.action_space, names.action, "action")) == len(names.action)


def _task(env: Any) -> Any:
    return env.unwrapped.func_env


@pytest.mark.parametrize("env_id", [listed.twin for listed in nf_envs.catalog() if listed.twin])
def test_a_twin_has_the_names_of_its_task(env_id) -> None:
    with closing(make_task(env_id)) as theirs, closing(make_task(f"nf/{env_id}")) as ours:
        assert names_of(ours).observation == names_of(theirs).observation
        parts = zip(names_of(ours).action, names_of(theirs).action, strict=True)
        assert all(a.replace("[1 N m]", "[N m]") == b for a, b in parts)


def test_units_follow_the_constants_of_a_task() -> None:
    strong = gym.make("nf/CartPole-v1", constants={"force": 25.0})
    assert names_of(strong).action == ("push_left [25 N]", "push_right [25 N]")
    random = gym.make("nf/CartPole-v1", constants={"force": LogUniform(5, 20)})
    assert names_of(random).action == ("push_left", "push_right"), "each episode has its own"


class Arm(gym.Env):
    """A task that names what it shows and takes."""

    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Box(-1, 1, (1,))
    observation_names = ("elbow_angle [rad]", "elbow_velocity [rad/s]")
    action_names = ("torque [0.5 N m]",)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        return np.zeros(2, np.float32), {}


def test_a_task_of_your_own_gives_names_and_units_by_attributes() -> None:
    entries = entries_of(Arm.observation_space, names_of(Arm()).observation)
    assert entries == (Entry("elbow_angle", "rad", -1, 1), Entry("elbow_velocity", "rad/s", -1, 1))
    with pytest.raises(ValueError, match="There are 2 observation_names, but 3 numbers"):
        entries_of(gym.spaces.Box(-1, 1, (3,)), names_of(Arm()).observation)


class Renaming(gym.Wrapper):
    """Says itself what it shows."""

    observation_names = ("one", "two")


class Meddling(gym.Wrapper):
    """May do anything to a step."""

    def step(self, action: Any) -> Any:
        return super().step(action)


def test_names_hold_behind_wrappers_that_pass_on_what_they_name() -> None:
    known = names_of(Arm())
    for env in (gym.wrappers.TimeLimit(Arm(), 9), gym.wrappers.RecordEpisodeStatistics(Arm())):
        assert names_of(env) == known
    actions = gym.wrappers.RescaleAction(Arm(), np.float32(-2), np.float32(2))
    assert names_of(actions) == (known.observation, ())
    moved = gym.wrappers.TransformObservation(Arm(), lambda obs: obs[::-1], Arm.observation_space)
    assert names_of(moved) == ((), known.action)
    assert names_of(gym.wrappers.FlattenObservation(Arm())).observation == ()
    assert names_of(Renaming(Arm())) == (("one", "two"), known.action)
    assert names_of(Meddling(Arm())) == ((), ())


class OwnCartPole(CartPoleEnv):
    """Not Gymnasium's."""


def test_what_is_known_of_a_task_is_not_known_of_another_of_its_name() -> None:
    CartPole = type("CartPoleEnv", (Arm,), {"observation_names": ()})  # noqa: N806
    assert names_of(CartPole()).observation == ()
    assert names_of(OwnCartPole()).observation == ()
    gym.register("lab/CartPole-v1", CartPole, max_episode_steps=9)
    assert names_of(make_task("lab/CartPole-v1")).observation == ()


def test_generic_names_tell_the_keys_and_the_place() -> None:
    space = gym.spaces.Dict(
        {
            "arm": gym.spaces.Dict({"angles": gym.spaces.Box(-1, 1, (2,))}),
            "gear": gym.spaces.Discrete(2, start=3),
            "wheels": gym.spaces.Tuple([gym.spaces.MultiBinary(1), gym.spaces.MultiDiscrete([1, 2])]),
        }
    )
    names = ["arm.angles[0]", "arm.angles[1]", "gear=3", "gear=4", "wheels.0[0]", "wheels.1[0]=0", "wheels.1[1]=0"]
    assert [entry.name for entry in entries_of(space)] == [*names, "wheels.1[1]=1"]
    assert [e.name for e in entries_of(gym.spaces.Discrete(2, start=-1), what="action")] == ["action=-1", "action=0"]
    given = ["left [rad]", "right [rad]", "gear", "lamp", "one", "two"]
    assert [e.name for e in entries_of(space, given)][2:] == ["gear=3", "gear=4", "lamp", "one=0", "two=0", "two=1"]


NAMES = ("hip_angle", "hip_angular_velocity", "speed_velocity", "gear=1", "gear=2", "eye.left[0, 1]", "eye.left[1, 1]")


@pytest.mark.parametrize(
    ("hide", "left"),
    [
        (["hip_angle"], [1, 2, 3, 4, 5, 6]),
        (["angular_velocity"], [0, 2, 3, 4, 5, 6]),
        (["velocity"], [0, 3, 4, 5, 6]),
        (["gear"], [0, 1, 2, 5, 6]),
        (["gear=2"], [0, 1, 2, 3, 5, 6]),
        (["eye"], [0, 1, 2, 3, 4]),
        (["left"], [0, 1, 2, 3, 4]),
        (["eye.left[1, 1]", 0], [1, 2, 3, 4, 5]),
    ],
)
def test_entries_are_hidden_by_their_names(hide, left) -> None:
    assert visible_entries("Task-v0", NAMES, False, hide) == left


def test_velocities_are_those_that_are_named_so_or_that_the_task_tells() -> None:
    assert visible_entries("Task-v0", NAMES, True) == [0, 3, 4, 5, 6]
    assert visible_entries("Task-v0", NAMES, True, velocities=[0, 1]) == [2, 3, 4, 5, 6]
    assert visible_entries("Task-v0", NAMES, False) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((NAMES[:1], True), "name their indices with --hide"),
        ((NAMES, False, ["ankle"]), "shows nothing that is named ankle, but hip_angle, hip_angular_velocity"),
        ((NAMES, False, [7]), r"entries 0 to 6, so \[7\]"),
        ((NAMES[1:3], True), "leave at least one"),
    ],
)
def test_what_cannot_be_hidden_is_told_in_a_sentence(arguments, message) -> None:
    with pytest.raises(TaskError, match=message):
        visible_entries("Task-v0", *arguments)
