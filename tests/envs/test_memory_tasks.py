"""The memory tasks: no policy without memory earns more than a guess, and one with memory earns everything."""

import itertools

import pytest
import torch

from nf_envs.memory.t_maze import BACKWARD, FORWARD, LEFT, RIGHT
from tests.envs.all_tasks import core, vector

LANES = 4096


def play(env_id, policy, memory=None, steps=100):
    """Mean return of one episode per lane and its greatest deviation; policy(obs, memory) -> actions, memory."""
    env = vector(env_id, LANES, autoreset_mode="Disabled")
    obs, _ = env.reset(seed=0)
    total = torch.zeros(LANES)
    for _ in range(steps):
        action, memory = policy(obs, memory)
        obs, reward, terminated, _, _ = env.step(action)
        total += reward
    assert terminated.all()
    return total


def symbols(obs):
    """Which of the few possible observations each lane sees."""
    return (obs.long() * 2 ** torch.arange(obs.shape[1])).sum(-1)


def memoryless(answers):
    table = torch.tensor(answers)
    return lambda obs, memory: (table[symbols(obs)], memory)


@pytest.mark.parametrize(
    "env_id",
    [pytest.param("nf/RepeatFirst-v0", marks=pytest.mark.slow), "nf/RepeatPrevious-v0", "nf/CountParity-v0"],
)
def test_every_memoryless_policy_is_as_good_as_a_guess(env_id):
    # All deterministic ones, by enumeration; a random one is a mixture of these.
    n_symbols = 2 ** core(env_id).observation_space.shape[0]
    every = itertools.product((0, 1), repeat=n_symbols)
    means = [play(env_id, memoryless(answers)).mean().item() for answers in every]
    spread = 1.0 if env_id == "nf/RepeatFirst-v0" else 0.25
    assert max(map(abs, means)) < 5 * spread / LANES**0.5


def first(obs, memory):
    memory = symbols(obs) - 1 if memory is None else memory
    return memory, memory


def previous(obs, memory):
    line = [symbols(obs) - 1, *(memory or [])][:5]
    return line[-1], line


def parity(obs, memory):
    count = obs[:, 0].long() + (0 if memory is None else memory)
    return count % 2, count


@pytest.mark.parametrize(
    ("env_id", "policy"),
    [("nf/RepeatFirst-v0", first), ("nf/RepeatPrevious-v0", previous), ("nf/CountParity-v0", parity)],
)
def test_a_policy_with_the_right_memory_earns_1_in_every_episode(env_id, policy):
    torch.testing.assert_close(play(env_id, policy), torch.ones(LANES), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("env_id", "policy"), [("nf/RepeatPrevious-v0", previous), ("nf/CountParity-v0", parity)])
def test_the_opposite_answer_costs_1(env_id, policy):
    def liar(obs, memory):
        answer, memory = policy(obs, memory)
        return 1 - answer, memory

    torch.testing.assert_close(play(env_id, liar), -torch.ones(LANES), rtol=1e-5, atol=1e-5)


def test_the_signal_comes_after_10_to_40_steps_and_the_cue_is_seen_once():
    env = vector("nf/RepeatFirst-v0", LANES)
    obs, _ = env.reset(seed=0)
    assert (obs[:, :2].sum(-1) == 1).all()
    assert abs(obs[:, 0].mean().item() - 0.5) < 0.05
    signal = torch.full((LANES,), -1)
    for t in range(1, 42):
        obs, _, terminated, _, _ = env.step(torch.zeros(LANES, dtype=torch.int64))
        running = signal < 0
        assert not obs[running & ~terminated, :2].any()
        signal = torch.where(running & (obs[:, 2] > 0), t, signal)
    assert signal.min() == 10
    assert signal.max() == 40
    assert len(signal.unique()) == 31


def maze(obs, memory):
    cue = symbols(obs) & 3
    memory = cue if memory is None else torch.where(cue > 0, cue, memory)
    turn = torch.where(memory == 1, LEFT, RIGHT)
    return torch.where(obs[:, 2] > 0, turn, FORWARD), memory


def test_a_policy_that_remembers_the_sign_finds_the_right_arm_of_every_maze():
    torch.testing.assert_close(play("nf/TMaze-v0", maze), torch.ones(LANES))


def test_without_memory_the_turn_is_a_guess():
    # The junction looks the same in both mazes, so every policy without memory has one distribution of turns there;
    # by left-right symmetry of the cue its mean reward for the turn is 0, and walls only cost.
    for turn in (LEFT, RIGHT):
        total = play("nf/TMaze-v0", lambda obs, m, turn=turn: (torch.where(obs[:, 2] > 0, turn, FORWARD), m))
        assert abs(total.mean().item()) < 5 / LANES**0.5
        assert set(total.tolist()) == {1.0, -1.0}


def test_corridors_have_5_to_20_steps_so_counting_does_not_help():
    state = core("nf/TMaze-v0").initial([torch.rand(LANES), torch.rand(LANES)])
    assert sorted(state.length.unique().tolist()) == list(range(5, 21))


def test_walls_of_the_maze_cost_a_tenth_and_stop():
    task = core("nf/TMaze-v0")
    state = task.initial([torch.zeros(1)] * 2)
    for action, position, reward in (
        (BACKWARD, 0, -0.1),
        (LEFT, 0, -0.1),
        (FORWARD, 1, 0.0),
        (RIGHT, 1, -0.1),
        (BACKWARD, 0, 0.0),
    ):
        after = task.transition(state, torch.tensor([action]))
        assert after.position.item() == position
        assert task.reward(state, torch.tensor([action]), after).item() == pytest.approx(reward)
        assert not task.terminal(after)
        state = after
    end = state._replace(position=state.length)
    after = task.transition(end, torch.tensor([FORWARD]))
    assert task.reward(end, torch.tensor([FORWARD]), after).item() == pytest.approx(-0.1)
    wrong = RIGHT if state.turn == 0 else LEFT
    after = task.transition(end, torch.tensor([wrong]))
    assert task.reward(end, torch.tensor([wrong]), after).item() == -1
    assert task.terminal(after)
