"""Many environments: shapes, dtypes, seeds, autoreset modes, options, NumPy."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from nf_envs import NumpyVectorEnv, TensorVectorEnv
from nf_envs.sensing import Uniform
from tests.envs.all_tasks import IDS, actions, play, vector


@pytest.mark.parametrize("env_id", IDS)
def test_everything_has_the_promised_shape_and_dtype_and_lies_in_the_space(env_id):
    env = vector(env_id, 5)
    obs, _ = env.reset(seed=1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(25):
        assert obs.shape == env.observation_space.shape
        assert obs.dtype == torch.float32
        assert env.observation_space.contains(obs.numpy())
        obs, reward, terminated, truncated, info = env.step(actions(env.single_action_space, 5, generator))
        assert reward.shape == terminated.shape == truncated.shape == info["_final_obs"].shape == (5,)
        assert (reward.dtype, terminated.dtype, truncated.dtype) == (torch.float32, torch.bool, torch.bool)
        assert env.observation_space.contains(info["final_obs"].numpy())
        assert torch.isfinite(reward).all()


@pytest.mark.parametrize("env_id", IDS)
def test_a_lane_plays_the_same_episodes_whatever_its_neighbours(env_id):
    many = play(vector(env_id, 3), 60, seed=[5, 6, 7], action_seed=11)
    one = play(vector(env_id, 1), 60, seed=[6], action_seed=12)
    for step, alone in zip(many, one, strict=True):
        for all_lanes, lane in zip(step, alone, strict=True):
            torch.testing.assert_close(all_lanes[1:2], lane, rtol=1e-6, atol=1e-6)


def test_a_common_seed_gives_clones_the_same_second_episode_though_the_first_ones_differ_in_length():
    # Gymnasium's own vector environments lose the seed at the first autoreset: Gymnasium issue 1321.
    env = vector("nf/CartPole-v1", 2)
    env.reset(seed=[8, 8])
    starts = [[], []]
    for step in range(400):
        push = torch.tensor([1, step % 2 if step < 200 else 1])
        obs, _, terminated, _, _ = env.step(push)
        for i in range(2):
            if terminated[i]:
                starts[i].append(obs[i])
    first = min(map(len, starts))
    assert first >= 3
    assert len(starts[0]) > len(starts[1])
    for mine, theirs in zip(starts[0], starts[1], strict=False):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    assert not torch.equal(starts[0][0], starts[0][1])


def test_lanes_of_one_seed_differ_and_equal_those_of_the_seeds_after_it():
    env = vector("nf/CartPole-v1", 3)
    from_one, _ = env.reset(seed=20)
    from_each, _ = env.reset(seed=[20, 21, 22])
    torch.testing.assert_close(from_one, from_each, rtol=0, atol=0)
    assert len(from_one.unique(dim=0)) == 3


def test_a_reset_without_a_seed_goes_on_to_the_next_episode():
    env = vector("nf/CartPole-v1", 3)
    first, _ = env.reset(seed=20)
    second, _ = env.reset()
    third, _ = env.reset(seed=[None, 20, None])
    assert not torch.equal(first, second)
    torch.testing.assert_close(third[1], first[0], rtol=0, atol=0)
    again = vector("nf/CartPole-v1", 3)
    again.reset(seed=20)
    torch.testing.assert_close(again.reset()[0], second, rtol=0, atol=0)


def test_float64_starts_the_same_episodes_as_float32():
    small, large = (play(vector("nf/CartPole-v1", dtype=dtype), 40) for dtype in (torch.float32, torch.float64))
    for a, b in zip(small, large, strict=True):
        torch.testing.assert_close(a[0], b[0], rtol=1e-3, atol=1e-3)


def counted(mode, limit=3, **options):
    """CountParity tells its step in its state: lane 0 ends by the limit, and so does every lane."""
    return vector("nf/CartPole-v1", 2, autoreset_mode=mode, max_episode_steps=limit, **options)


def test_same_step_shows_the_next_episodes_start_and_keeps_the_last_observation_in_final_obs():
    env = counted("SameStep")
    env.reset(seed=0)
    one = torch.ones(2, dtype=torch.int64)
    for _ in range(2):
        *_, truncated, info = env.step(one)
        assert not truncated.any()
        assert not info["_final_obs"].any()
    obs, reward, terminated, truncated, info = env.step(one)
    assert truncated.all()
    assert not terminated.any()
    assert info["_final_obs"].all()
    assert info["_final_info"].all()
    assert (reward == 1).all()
    assert (obs.abs() <= 0.05).all()  # a start
    assert (info["final_obs"][:, 1] > 0.4).all()  # after three pushes to the right
    assert (env.lanes.steps == 0).all()


def test_next_step_first_shows_the_last_observation_and_then_resets_without_reward():
    env = counted("NextStep")
    env.reset(seed=0)
    one = torch.ones(2, dtype=torch.int64)
    for _ in range(3):
        obs, reward, _, truncated, info = env.step(one)
    assert truncated.all()
    assert (obs[:, 1] > 0.4).all()
    assert "final_obs" not in info
    obs, reward, terminated, truncated, _ = env.step(one)
    assert (obs.abs() <= 0.05).all()
    assert not reward.any()
    assert not (terminated | truncated).any()
    flags = [env.step(one)[3].all().item() for _ in range(3)]
    assert flags == [False, False, True]


def test_disabled_waits_without_reward_until_the_lane_is_reset():
    env = counted("Disabled")
    env.reset(seed=0)
    one = torch.ones(2, dtype=torch.int64)
    for _ in range(3):
        last, *_ = env.step(one)
    for _ in range(3):
        obs, reward, _, truncated, _ = env.step(one)
        torch.testing.assert_close(obs, last)
        assert truncated.all()
        assert not reward.any()
    obs, _ = env.reset(options={"reset_mask": torch.tensor([False, True])})
    torch.testing.assert_close(obs[0], last[0])
    assert (obs[1].abs() <= 0.05).all()
    _, reward, _, truncated, _ = env.step(one)
    assert reward.tolist() == [0, 1]
    assert truncated.tolist() == [True, False]


@pytest.mark.parametrize("mode", AutoresetMode)
def test_the_modes_agree_about_the_episodes(mode):
    """Starts, returns and lengths of the first three episodes of each lane are the same in every mode."""
    env = vector("nf/CartPole-v1", 3, autoreset_mode=mode, max_episode_steps=25)
    reference = vector("nf/CartPole-v1", 3, max_episode_steps=25)
    assert env.metadata["autoreset_mode"] == mode
    assert episodes_of(env) == episodes_of(reference)


def episodes_of(env):
    mode = env.metadata["autoreset_mode"]
    obs, _ = env.reset(seed=4)
    done: list[list] = [[] for _ in range(3)]
    started, count, resting = [list(o.tolist()) for o in obs], [0.0] * 3, [False] * 3
    for _ in range(150):
        # The action depends on the lane's own observation only, so all modes play the same.
        obs, reward, terminated, truncated, _ = env.step((obs[:, 2] + 0.3 * obs[:, 1] > 0).long())
        over = terminated | truncated
        if mode is AutoresetMode.DISABLED and over.any():
            obs, _ = env.reset(options={"reset_mask": over})
        for i in range(3):
            if resting[i]:
                started[i], resting[i] = obs[i].tolist(), False
                continue
            count[i] += reward[i].item()
            if over[i]:
                done[i].append((started[i], count[i], bool(terminated[i]), bool(truncated[i])))
                count[i] = 0.0
                resting[i] = mode is AutoresetMode.NEXT_STEP
                started[i] = obs[i].tolist()
    return [lane[:3] for lane in done]


def test_termination_at_the_time_limit_is_both():
    env = vector("nf/CartPole-v1", 2, max_episode_steps=2)
    env.reset(seed=0, options={"state": ([2.3, 0.0], [3.0, 0.0], 0.0, 0.0)})
    env.step(torch.ones(2, dtype=torch.int64))
    *_, terminated, truncated, _ = env.step(torch.ones(2, dtype=torch.int64))
    assert terminated.tolist() == [True, False]
    assert truncated.tolist() == [True, True]


def test_constants_and_states_are_set_per_lane():
    env = vector("nf/Pendulum-v1", 2)
    env.reset(seed=0, options={"constants": {"gravity": [10.0, 20.0]}, "state": (0.5, 0.0)})
    obs, *_ = env.step(torch.zeros(2, 1))
    expected = 0.05 * 1.5 * np.sin(0.5) * np.array([10, 20])
    np.testing.assert_allclose(obs[:, 2], expected, rtol=1e-5)
    env.reset(options={"reset_mask": [True, False], "constants": {"gravity": 5.0}})
    assert env.params.gravity.tolist() == [5, 20]
    env.reset()
    assert env.params.gravity == 10


def test_a_reset_under_a_mask_leaves_the_other_lanes_alone():
    env = vector("nf/CartPole-v1", 3)
    env.reset(seed=0)
    obs = env.step(torch.ones(3, dtype=torch.int64))[0]
    after, _ = env.reset(seed=[1, 2, 3], options={"reset_mask": np.array([False, True, False])})
    torch.testing.assert_close(after[[0, 2]], obs[[0, 2]])
    torch.testing.assert_close(after[1:2], vector("nf/CartPole-v1", 1).reset(seed=[2])[0])
    assert env.lanes.steps.tolist() == [1, 0, 1]


def test_no_graph_of_the_policy_outlives_a_step():
    env = vector("nf/Pendulum-v1", 2)
    env.reset(seed=0)
    weight = torch.ones(1, requires_grad=True)
    for _ in range(2):
        obs, reward, *_ = env.step(weight.expand(2, 1))
    assert not obs.requires_grad
    assert not reward.requires_grad


def test_steps_modify_nothing_that_was_given_out():
    env = vector("nf/CartPole-v1", 2)
    obs, _ = env.reset(seed=0)
    copy = obs.clone()
    env.step(torch.ones(2, dtype=torch.int64))
    torch.testing.assert_close(obs, copy)


def test_unsigned_actions_mean_the_same():
    for env_id in ("nf/MountainCar-v0", "nf/Acrobot-v1", "nf/TMaze-v0", "nf/CartPole-v1"):
        seen = []
        for kind in (torch.uint8, torch.int64):
            env = vector(env_id, 2)
            env.reset(seed=0)
            seen.append(env.step(torch.zeros(2, dtype=kind))[0])
        torch.testing.assert_close(*seen)


@pytest.mark.parametrize("env_id", ["nf/CartPole-v1", "nf/BallBalancer-v0"])
def test_the_numpy_view_is_the_tensor_view_in_arrays(env_id):
    arrays, tensors = NumpyVectorEnv(vector(env_id)), vector(env_id)
    obs, _ = arrays.reset(seed=3)
    np.testing.assert_array_equal(obs, tensors.reset(seed=3)[0])
    arrays.action_space.seed(0)
    assert arrays.observation_space.contains(obs)
    for _ in range(40):
        chosen = arrays.action_space.sample()
        *seen, info = arrays.step(chosen)
        *expected, their = tensors.step(torch.as_tensor(chosen))
        for mine, other in zip(seen, expected, strict=True):
            assert isinstance(mine, np.ndarray)
            np.testing.assert_array_equal(mine, other)
        np.testing.assert_array_equal(info["final_obs"], their["final_obs"])
    assert arrays.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


def test_gymnasiums_own_statistics_understand_the_numpy_view():
    env = gym.wrappers.vector.RecordEpisodeStatistics(NumpyVectorEnv(vector("nf/CartPole-v1", 2, max_episode_steps=7)))
    env.reset(seed=0)
    for _ in range(7):
        *_, info = env.step(np.array([0, 1]) if _ % 2 else np.array([1, 0]))
    assert info["episode"]["r"].tolist() == [7, 7]
    assert info["episode"]["l"].tolist() == [7, 7]


def test_gymnasiums_list_of_infos_understands_the_numpy_view():
    options = {"constants": {"pole_mass": Uniform(0.05, 0.2)}, "max_episode_steps": 1}
    env = gym.wrappers.vector.DictInfoToList(NumpyVectorEnv(vector("nf/CartPole-v1", 2, **options)))
    _, infos = env.reset(seed=0)
    first = [info["constants"]["pole_mass"] for info in infos]
    *_, infos = env.step(np.array([0, 1]))
    assert [info["final_info"]["constants"]["pole_mass"] for info in infos] == first
    assert [info["constants"]["pole_mass"] for info in infos] != first
    assert infos[0]["final_obs"].shape == (4,)


def test_the_functional_core_is_within_reach():
    env = vector("nf/CartPole-v1", 2)
    assert isinstance(env, TensorVectorEnv)
    state = env.func_env.initial(torch.rand(4, 2).unbind())
    assert env.func_env.terminal(state).tolist() == [False, False]


def test_pictures_are_one_per_environment():
    env = vector("nf/CartPole-v1", 2, render_mode="rgb_array")
    env.reset(seed=0)
    frames = env.render()
    env.close()
    assert len(frames) == 2
    assert frames[0].shape == (400, 600, 3)
    assert (frames[0] != frames[1]).any()


def test_staggered_lanes_meet_the_time_limit_in_turn():
    env = vector("nf/Pendulum-v1", 4, max_episode_steps=8)
    with pytest.raises(ValueError, match="Reset the environments before"):
        env.stagger()
    env.reset(seed=0)
    assert env.stagger().tolist() == [False, True, True, True]
    ends = [[], [], [], []]
    for step in range(1, 17):
        truncated = env.step(torch.zeros(4, 1))[3]
        for lane in truncated.nonzero().flatten().tolist():
            ends[lane].append(step)
    assert ends == [[8, 16], [6, 14], [4, 12], [2, 10]]


def test_without_a_time_limit_there_is_nothing_to_stagger():
    env = TensorVectorEnv(4, "nf_envs.classic.pendulum:Pendulum")
    env.reset(seed=0)
    assert not env.stagger().any()
    assert not env.lanes.steps.any()
