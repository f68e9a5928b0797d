"""Which entries of an observation are velocities: those, and only those, that change where a simulator's speeds do."""

from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest

from nf_policies.commands.task import visible_of
from nf_policies.policies.names import entries_of
from nf_policies.tasks.make import make_task
from nf_policies.tasks.names import names_of
from nf_policies.tasks.side_by_side import training_envs
from nf_policies.tasks.visible import velocities_of

MUJOCO = (
    "Ant",
    "HalfCheetah",
    "Hopper",
    "Humanoid",
    "HumanoidStandup",
    "InvertedDoublePendulum",
    "InvertedPendulum",
    "Pusher",
    "Reacher",
    "Swimmer",
    "Walker2d",
)


def hidden(env_id, env) -> list[int]:
    """What --hide-velocity hides."""
    left = visible_of(env, env_id, hide_velocity=True)
    return sorted(set(range(env.observation_space.shape[0])) - set(left))


@pytest.mark.parametrize("name", MUJOCO)
def test_other_joint_speeds_change_the_hidden_entries_of_a_mujoco_task_and_no_others(name) -> None:
    mujoco = pytest.importorskip("mujoco")
    env_id = f"{name}-v5"
    with closing(make_task(env_id)) as env:
        env.reset(seed=0)
        for _ in range(3):
            env.step(env.action_space.sample() * 0.1)
        bare = env.unwrapped

        def observed(speeds):
            bare.data.qvel[:] = speeds
            mujoco.mj_fwdPosition(bare.model, bare.data)
            mujoco.mj_fwdVelocity(bare.model, bare.data)  # moves the bodies' velocities along, and no force
            return bare._get_obs().copy()

        at_rest, moving = observed(0.0), observed(np.linspace(0.5, 1.0, bare.model.nv))
        changed = np.flatnonzero(at_rest != moving)
        hides = hidden(env_id, env)
        never = [i for i in hides if at_rest[i] == moving[i]]
        assert set(changed) <= set(hides)
        assert not at_rest[never].any(), "only what is always zero may stay"
        assert len(never) <= len(hides) // 10


@pytest.mark.parametrize("env_id", ["LunarLander-v3", "BipedalWalker-v3", "BipedalWalkerHardcore-v3"])
def test_other_speeds_change_the_hidden_entries_of_a_box2d_task_and_no_others(env_id) -> None:
    pytest.importorskip("Box2D")
    with closing(make_task(env_id)) as env:
        env.reset(seed=0)
        bare = env.unwrapped
        world = bare.world
        # A world in which no time passes, so that the next observation shows the speeds that are set here.
        bare.world = SimpleNamespace(Step=lambda *_: None, RayCast=world.RayCast, DestroyBody=world.DestroyBody)
        bodies = [getattr(bare, "hull", None) or bare.lander, *bare.legs]

        def observed(speed):
            for i, body in enumerate(bodies):
                body.linearVelocity, body.angularVelocity = (speed, 2 * speed), (i + 1) ** 2 * speed
            return env.step(0 if env_id.startswith("Lunar") else np.zeros(4, np.float32))[0]

        at_rest, moving = observed(0.0), observed(0.1)
        bare.world = world
        assert np.flatnonzero(at_rest != moving).tolist() == hidden(env_id, env)
        entries = entries_of(env.observation_space, names_of(env).observation)
        units = {e.name.removeprefix("hull_"): float(e.unit.split()[0]) for e in entries if e.unit.endswith("/s")}
        names = [entry.name.removeprefix("hull_") for entry in entries]
        for name, speed in (("x_velocity", 0.1), ("y_velocity", 0.2), ("angular_velocity", 0.1)):  # of the first body
            seen = moving[names.index(name)] - at_rest[names.index(name)]
            assert seen * units[name] == pytest.approx(speed, rel=1e-3), name


def test_velocities_are_found_behind_training_environments() -> None:
    pytest.importorskip("mujoco")
    with closing(training_envs("Hopper-v5", 2)) as envs:
        assert velocities_of(envs) == (5, 6, 7, 8, 9, 10)
