"""MuJoCo tasks: equal to Gymnasium's, lanes independent of each other, physics that differs between them."""

import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from nf_envs import TensorVectorEnv, busy_lanes, lanes, sensing
from nf_envs.randomness import lane_keys
from nf_envs.sensing import HideVelocities, Normal, Uniform
from tests.envs.all_tasks import EVERYTHING, actions, play, vector

mujoco = pytest.importorskip("mujoco", reason="needs the extra mujoco")
pytest.importorskip("mjbatch", reason="needs the extra mujoco")
from nf_envs import mujoco as tasks  # noqa: E402
from nf_envs.mujoco.simulator import threads  # noqa: E402

TWINS = {
    task.twin: task
    for task in (
        tasks.InvertedPendulum,
        tasks.InvertedDoublePendulum,
        tasks.Reacher,
        tasks.Pusher,
        tasks.Hopper,
        tasks.Walker2d,
        tasks.HalfCheetah,
        tasks.Swimmer,
    )
}
SAME_STARTS = ("InvertedPendulum-v5", "Hopper-v5", "Walker2d-v5", "Swimmer-v5")
"""Tasks whose first states are uniform; normal ones, and goals, are drawn in another way than Gymnasium's."""


def placed(env_id, envs):
    """Gymnasium's environments at the starts of the lanes, with the observations of these."""
    start = envs.func_env.physical(envs.lanes.state)
    for i in range(envs.num_envs):
        env = gym.make(env_id, disable_env_checker=True)
        env.reset(seed=0)
        inner = env.unwrapped
        numbers = np.array([float(entry[i]) for entry in start])
        inner.set_state(numbers[: inner.model.nq], numbers[inner.model.nq :])
        yield env, inner._get_obs()


def largest_difference(env_id, envs, steps, change=lambda model: None):
    """Of observations and rewards from equal states; infinite where `terminated` differs. `change` edits the model."""
    first, _ = envs.reset(seed=3)
    theirs = list(placed(env_id, envs))
    for env, _ in theirs:
        change(env.unwrapped.model)
    worst = max(np.abs(obs - first[i].numpy()).max() for i, (_, obs) in enumerate(theirs))
    random, over = np.random.default_rng(1), np.zeros(len(theirs), dtype=bool)
    low, high = envs.single_action_space.low, envs.single_action_space.high
    for _ in range(steps):
        chosen = random.uniform(
            low, high, (len(theirs), len(low))
        )  # float32 would blur Gymnasium's own cost of actions
        obs, rewards, terminated, _, _ = envs.step(torch.as_tensor(chosen))
        for i, (env, _) in enumerate(theirs):
            if over[i]:
                continue
            expected, reward, ended, cut, _ = env.step(chosen[i])
            worst = max(worst, np.abs(expected - obs[i].numpy()).max(), abs(reward - rewards[i].item()))
            if bool(terminated[i]) != ended:
                return np.inf
            over[i] = ended or cut
    return worst


@pytest.mark.parametrize("env_id", TWINS)
def test_a_twin_equals_gymnasiums_task_step_by_step(env_id):
    envs = vector(f"nf/{env_id}", 3, autoreset_mode="Disabled")
    assert largest_difference(env_id, envs, 120) < 1e-9


@pytest.mark.parametrize("env_id", TWINS)
def test_spaces_limits_and_times_are_gymnasiums(env_id):
    ours, theirs = gym.make(f"nf/{env_id}", disable_env_checker=True), gym.make(env_id)
    assert (ours.observation_space, ours.action_space) == (theirs.observation_space, theirs.action_space)
    assert ours.spec.max_episode_steps == theirs.spec.max_episode_steps
    assert ours.unwrapped.func_env.dt == pytest.approx(theirs.unwrapped.dt)
    assert ours.metadata["render_fps"] == theirs.metadata["render_fps"]


@pytest.mark.parametrize("env_id", SAME_STARTS)
def test_the_same_seed_starts_gymnasiums_episode(env_id):
    ours, theirs = gym.make(f"nf/{env_id}"), gym.make(env_id)
    for seed in (7, None):
        np.testing.assert_allclose(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0], atol=1e-12)


@pytest.mark.parametrize("env_id", [i for i in TWINS if i not in SAME_STARTS])
def test_other_starts_have_gymnasiums_distribution(env_id):
    obs = vector(f"nf/{env_id}", 400).reset(seed=0)[0].numpy()
    env = gym.make(env_id)
    theirs = np.stack([env.reset(seed=i)[0] for i in range(400)])
    spread = np.sqrt(obs.var(0) + theirs.var(0)) / 20
    assert (np.abs(obs.mean(0) - theirs.mean(0)) <= 5 * spread + 1e-9).all()
    np.testing.assert_allclose(obs.std(0), theirs.std(0), rtol=0.25, atol=1e-9)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep", "Disabled"])
@pytest.mark.parametrize("name", ["InvertedDoublePendulum-v5", "Hopper-v5"])
def test_a_lane_plays_the_same_episodes_whatever_its_neighbours(name, mode):
    options = {"max_episode_steps": 25, "constants": {"mass": Uniform(0.7, 1.3)}, "autoreset_mode": mode}
    many = play(vector(f"nf/{name}", 3, **options), 60, seed=[5, 6, 7], action_seed=11)
    one = play(vector(f"nf/{name}", 1, **options), 60, seed=[6], action_seed=12)
    for step, alone in zip(many, one, strict=True):
        for all_lanes, lane in zip(step, alone, strict=True):
            torch.testing.assert_close(all_lanes[1:2], lane, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["step_same", "step_next", "step_paused"])
def test_lanes_that_are_stepped_alone_come_to_the_same_as_all_together(name):
    task = tasks.InvertedDoublePendulum()
    params, random = task.default_params, torch.Generator().manual_seed(0)
    state, _ = lanes.start(task, lane_keys(range(4), torch.device("cpu")), torch.zeros(4).int(), params, torch.float64)
    ours = theirs = state
    for _ in range(30):
        action = actions(task.action_space, 4, random)
        mine = getattr(busy_lanes, name)(task, ours, action, params, 20, torch.float64)
        yours = getattr(lanes, name)(task, theirs, action, params, 20, torch.float64)
        ours, theirs = mine.lanes, yours.lanes
        for key in ("obs", "reward", "terminated", "truncated"):
            torch.testing.assert_close(getattr(mine, key), getattr(yours, key), rtol=0, atol=0)
        torch.testing.assert_close(ours.state.row, theirs.state.row, rtol=0, atol=0)


def test_a_finished_lane_costs_no_physics(monkeypatch):
    env = vector("nf/Hopper-v5", 3, autoreset_mode="Disabled", max_episode_steps=5)
    env.reset(seed=0)
    simulator, counts = env.func_env.simulator, []
    step = simulator.step
    monkeypatch.setattr(simulator, "step", lambda rows, *rest: counts.append(len(rows)) or step(rows, *rest))
    still = torch.zeros(3, 3)
    for _ in range(5):
        env.step(still)
    _, rewards, _, truncated, _ = env.step(still)
    assert truncated.all()
    assert not rewards.any()
    obs, _ = env.reset(seed=[None, 9, None], options={"reset_mask": [False, True, False]})
    env.step(still)
    assert counts == [3, 3, 3, 3, 3, 1]
    torch.testing.assert_close(obs[1], vector("nf/Hopper-v5", 1).reset(seed=9)[0][0], rtol=0, atol=0)


def test_an_episode_starts_from_a_given_state():
    env = vector("nf/InvertedDoublePendulum-v5", 2)
    obs, _ = env.reset(seed=0, options={"state": (0.1, torch.tensor([0.0, 0.2]), 0.0, 0.0, 0.5, 0.0)})
    np.testing.assert_allclose(obs[:, 0], 0.1)
    np.testing.assert_allclose(obs[:, 1], np.sin([0.0, 0.2]))
    np.testing.assert_allclose(obs[:, 6], 0.5)
    single, _ = gym.make("nf/InvertedDoublePendulum-v5").reset(options={"state": (0.1, 0.2, 0.0, 0.0, 0.5, 0.0)})
    np.testing.assert_allclose(obs[1], single)


def heavier(model):
    """A model with other physics, changed as MuJoCo's manual says."""
    for field, factor in (("body_mass", 1.3), ("body_inertia", 1.3), ("geom_friction", 0.6), ("dof_damping", 1.5)):
        getattr(model, field)[:] *= factor
    model.opt.gravity[:] *= 0.8
    model.actuator_gainprm[:, 0] *= 0.9
    mujoco.mj_setConst(model, mujoco.MjData(model))


def test_factors_change_the_physics_as_an_edited_model_does():
    given = {"mass": 1.3, "friction": 0.6, "damping": 1.5, "gravity": 0.8, "strength": 0.9}
    envs = vector("nf/HalfCheetah-v5", 2, constants=given, autoreset_mode="Disabled")
    assert largest_difference("HalfCheetah-v5", envs, 60, heavier) < 1e-9
    plain = vector("nf/HalfCheetah-v5", 2, autoreset_mode="Disabled")
    assert largest_difference("HalfCheetah-v5", plain, 60, heavier) > 0.1


def test_each_lane_has_its_own_masses_and_tells_them():
    random = {"mass": Uniform(0.5, 2.0), "gravity": Normal(1.0, 0.1, 0.8, 1.2)}
    env = vector("nf/Hopper-v5", 4, constants=random, autoreset_mode="Disabled")
    _, info = env.reset(seed=0)
    drawn = info["constants"]
    assert set(drawn) == {"mass", "gravity"}
    assert len(set(drawn["mass"].tolist())) == 4
    action = torch.full((1, 3), 0.5)
    many = env.step(action.expand(4, 3))[0]
    for i in range(4):  # that of a lane, fixed in all of them
        env.reset(seed=0, options={"constants": {name: float(value[i]) for name, value in drawn.items()}})
        fixed = env.step(action.expand(4, 3))[0]
        torch.testing.assert_close(fixed[i], many[i], rtol=0, atol=1e-12)
        assert not torch.allclose(fixed[i - 1], many[i - 1])


def test_physics_is_the_models_own_again_after_it_was_another():
    env = vector("nf/Walker2d-v5", 2, autoreset_mode="Disabled")
    before = play(env, 10)
    env.reset(seed=0, options={"constants": {"mass": torch.tensor([1.5, 0.5])}})
    env.step(torch.zeros(2, 6))
    for step, again in zip(before, play(env, 10), strict=True):
        torch.testing.assert_close(step[0], again[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("env_id", ["nf/Hopper-v5", "nf/Pusher-v5"])
def test_every_sensor_and_actuator_fits_and_float64_stays(env_id):
    options = {"constants": {"damping": Uniform(0.5, 2.0)}}
    env = vector(env_id, 3, sensing=[*EVERYTHING, sensing.Mask([0]), sensing.Observe([0, 1, 2])], **options)
    (obs,), *steps = play(env, 12)
    assert obs.dtype == torch.float64
    assert env.single_observation_space.dtype == np.float64
    assert all(torch.isfinite(part).all() for step in steps for part in step[:2])
    assert not obs[:, 0].any()


@pytest.mark.parametrize("env_id", TWINS)
def test_hidden_velocities_are_those_of_the_joints(env_id):
    env = vector(f"nf/{env_id}", 1)
    task = env.func_env
    env.reset(seed=0)
    state = env.lanes.state
    faster = task.begin(task._start(*state.qpos.unbind(-1), *(state.qvel + 0.01).unbind(-1)), ())
    moved = (task.observation(faster) != task.observation(state))[0].nonzero().flatten()
    forces = {8} if env_id == "InvertedDoublePendulum-v5" else set()  # the force of a constraint may follow them
    assert set(moved.tolist()) - forces == set(task.velocities)
    hidden = vector(f"nf/{env_id}", 1, sensing=[HideVelocities()])
    assert hidden.single_observation_space.shape[0] == len(task.observation(state)[0]) - len(task.velocities)


def test_threads_are_as_many_as_torch_has_and_cores_allow():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    assert threads() == 1
    torch.set_num_threads(before)
    assert 1 <= threads() <= before


@pytest.mark.parametrize("options", [{"compile": True}, {"device": "meta"}])
def test_a_simulator_is_neither_compiled_nor_moved(options):
    with pytest.raises(ValueError, match="Hopper has physics outside torch"):
        TensorVectorEnv(2, tasks.Hopper, **options)


@pytest.mark.parametrize("env_id", TWINS)
def test_pictures_need_no_opengl(env_id):
    env = gym.make(f"nf/{env_id}", render_mode="rgb_array")
    env.reset(seed=0)
    frames = [env.render()]
    for _ in range(10):
        env.step(env.action_space.high)
    frames.append(env.render())
    env.close()
    assert frames[0].std() > 3
    assert (frames[0] != frames[1]).any()


def test_autoreset_within_a_step_gives_the_last_observation_too():
    env = vector("nf/Hopper-v5", 2, max_episode_steps=2)
    assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    first, _ = env.reset(seed=0)
    env.step(torch.zeros(2, 3))
    obs, _, _, truncated, info = env.step(torch.zeros(2, 3))
    assert truncated.all()
    assert (info["final_obs"] != obs).any(-1).all()
    assert (obs != first).any(-1).all()


MISSING = """
import sys
sys.modules["mjbatch"] = None
import gymnasium as gym
import nf_envs
from nf_policies.tasks.batched import batched_twin
from nf_policies.tasks.side_by_side import training_envs

assert not [task for task in nf_envs.catalog() if "Hopper" in task.id]
assert batched_twin("Hopper-v5") is None
print(type(training_envs("Hopper-v5", 2)).__name__)
for make in (lambda: gym.make("nf/Hopper-v5"), lambda: __import__("nf_envs.mujoco")):
    try:
        make()
    except gym.error.DependencyNotInstalled as error:
        print(error)
"""


def test_without_mjbatch_gymnasiums_tasks_work_and_ours_say_what_is_missing():
    run = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, check=False, timeout=60)
    lines = run.stdout.splitlines()
    assert lines == [
        "SideBySide",
        "nf/Hopper-v5 needs mjbatch: pip install 'nf-policies[mujoco]'.",
        "nf_envs.mujoco needs mjbatch: pip install 'nf-policies[mujoco]'.",
    ], run.stderr
