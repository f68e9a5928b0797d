"""A user's own MJCF model as a task: its reward, its constants, and what is said where something does not fit."""

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import pytest
import torch

import nf_envs
from nf_envs.base import NonNegative
from nf_envs.sensing import Uniform
from tests.envs.all_tasks import vector

mujoco = pytest.importorskip("mujoco", reason="needs the extra mujoco")
pytest.importorskip("mjbatch", reason="needs the extra mujoco")
from nf_envs.mujoco import Factors, MujocoTask, with_entry  # noqa: E402

PENDULUM = """
<mujoco>
  <option timestep="0.01" integrator="RK4"/>
  <worldbody>
    <body name="rod" pos="0 0 1">
      <joint name="hinge" axis="0 1 0"/>
      <geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.02" mass="1"/>
    </body>
  </worldbody>
  <actuator><motor joint="hinge" ctrlrange="-1 1"/></actuator>
  <sensor><accelerometer site="tip"/></sensor>
</mujoco>
""".replace('mass="1"/>', 'mass="1"/><site name="tip" pos="0 0 -0.5"/>')


class Pendulum(MujocoTask):
    """A rod on a hinge."""

    model = PENDULUM
    frame_skip = 2
    reads = ("sensordata",)

    def reward(self, state, action, next_state, rng=(), params=None):
        return next_state.qpos[:, 0].cos()

    def terminal(self, state, rng=(), params=None):
        return state.qvel[:, 0].abs() > 20


@dataclass(frozen=True)
class Hinge(Factors):
    """With the damping of the hinge in Nm s."""

    hinge_damping: NonNegative = 0.0


class DampedPendulum(Pendulum):
    """With constants of its own."""

    constants = Hinge

    def model_fields(self, params):
        fields = super().model_fields(params)
        fields["dof_damping"] = with_entry(self.mj.dof_damping, 0, params.hinge_damping)
        return fields


def test_a_model_of_ones_own_swings_as_mujoco_says() -> None:
    env = nf_envs.TensorVectorEnv(2, Pendulum)
    obs, _ = env.reset(seed=0, options={"state": (torch.tensor([0.3, 1.0]), 0.0)})
    model = mujoco.MjModel.from_xml_string(PENDULUM)
    data = mujoco.MjData(model)
    data.qpos[0] = 1.0
    for _ in range(50):
        obs, reward, _, _, _ = env.step(torch.full((2, 1), 0.1))
        data.ctrl[0] = np.float32(0.1)
        mujoco.mj_step(model, data, 2)
    np.testing.assert_allclose(obs[1], [data.qpos[0], data.qvel[0]], atol=1e-9)
    np.testing.assert_allclose(reward[1], np.cos(data.qpos[0]), atol=1e-9)
    np.testing.assert_allclose(env.lanes.state.sensordata[1], data.sensordata, atol=1e-6)
    assert env.single_observation_space == gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    assert env.func_env.velocities == (1,)
    assert env.func_env.dt == pytest.approx(0.02)


def test_constants_of_ones_own_differ_between_lanes() -> None:
    env = nf_envs.TensorVectorEnv(3, DampedPendulum, constants={"hinge_damping": Uniform(0.0, 0.5)})
    _, info = env.reset(seed=0, options={"state": (1.5, 0.0)})
    for _ in range(200):
        obs, *_ = env.step(torch.zeros(3, 1))
    energy = 0.5 * (0.25 / 3) * obs[:, 1] ** 2 - 9.81 * 0.25 * obs[:, 0].cos()
    assert energy.argsort().tolist() == info["constants"]["hinge_damping"].argsort(descending=True).tolist()


def test_a_field_of_the_model_takes_a_constant_for_one_of_its_things() -> None:
    masses = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(with_entry(masses, 1, 5.0), [1, 5, 3])
    np.testing.assert_array_equal(with_entry(masses, 2, torch.tensor([7.0, 8.0])), [[1, 2, 7], [1, 2, 8]])
    both = with_entry(with_entry(masses, 2, torch.tensor([7.0, 8.0])), 0, 0.5)
    np.testing.assert_array_equal(both, [[0.5, 2, 7], [0.5, 2, 8]])
    np.testing.assert_array_equal(masses, [1, 2, 3])


@pytest.fixture
def registered():
    nf_envs.register("mine/Pendulum-v0", Pendulum, 50, asks="Stand.")
    yield "mine/Pendulum-v0"
    del gym.registry["mine/Pendulum-v0"]


def test_a_registered_model_has_both_views(registered) -> None:
    obs, _ = vector(registered, 2).reset(seed=0)
    one, _ = gym.make(registered).reset(seed=0)
    torch.testing.assert_close(obs[0], torch.as_tensor(one))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("no_such_file.xml", r"cannot read this model.*no_such_file\.xml"),
        ("<mujoco><nonsense/></mujoco>", "cannot read this model.*nonsense"),
        (PENDULUM.replace(' ctrlrange="-1 1"', ""), "actuator 0 has no ctrlrange, so Broken has no actions"),
        ("<mujoco><worldbody/></mujoco>", "The model has no actuators"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(model, words) -> None:
    broken = type("Broken", (Pendulum,), {"model": model, "reads": ()})
    with pytest.raises(ValueError, match=words):
        broken()


def test_a_task_without_a_reward_says_so() -> None:
    env = nf_envs.TensorVectorEnv(1, type("Idle", (MujocoTask,), {"model": PENDULUM}))
    env.reset(seed=0)
    with pytest.raises(NotImplementedError, match="Idle has no reward"):
        env.step(torch.zeros(1, 1))
