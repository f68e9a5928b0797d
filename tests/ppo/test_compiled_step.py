"""Policy and batched task in one compiled function: the same steps as one after the other."""

from functools import partial
from typing import Any

import gymnasium as gym
import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch.utils._pytree import tree_leaves

from nf_policies.ppo import FieldPPO
from nf_policies.ppo.compiled_step import CompiledStep, has_pure_step
from nf_policies.ppo.vec_env import GymnasiumVecEnv, act

COMPILER = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # from inside torch.compile
CPU = torch.device("cpu")


def batched(task: str, num_envs: int = 16, **options: Any) -> gym.vector.VectorEnv:
    return gym.make_vec(f"nf_envs:nf/{task}", num_envs, vectorization_mode="vector_entry_point", **options)


def model_of(task: str, compile: bool, **options: Any) -> FieldPPO:
    options = {"n_steps": 16, "batch_size": 64, "n_epochs": 1, "seed": 0, "device": "cpu"} | options
    return FieldPPO("NeuralFieldPolicy", batched(task, max_episode_steps=5), compile=compile, **options)


def steps(model: FieldPPO, take: Any, n: int) -> list[Any]:
    """What some steps bring, under latents that leave no doubt, so that nothing depends on random numbers."""
    model.env.seed(3)
    model.env.reset()
    choices = torch.randint(2, (n, 16, 1), generator=torch.Generator().manual_seed(0))
    return [take(1e3 * (2.0 * choice - 1)) for choice in choices]


@COMPILER
def test_the_compiled_step_is_the_plain_one_and_counts_episodes() -> None:
    model = model_of("CartPole-v1", compile=True)
    env = model.env
    assert isinstance(env, GymnasiumVecEnv)
    plain = steps(model, partial(act, model.env, model.policy), 12)
    expected = env.finished_episodes(100)
    compiled = CompiledStep(model.policy, env)
    for seen, wanted in zip(steps(model, compiled, 12), plain, strict=True):
        for a, b in zip(tree_leaves(seen), tree_leaves(wanted), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert env.finished_episodes(100) == expected
    # Of 16 lanes, 4, 3, 3, 3 and 3 begin with 0 to 4 of 5 steps taken; only whole episodes are counted.
    assert len(expected) == 4 * 2 + 3 * 1 + 3 * 1 + 3 * 2 + 3 * 2
    assert {episode["l"] for episode in expected} == {5.0}


@COMPILER
@pytest.mark.slow
@torch.no_grad()
def test_states_that_begin_as_one_tensor_go_their_own_ways() -> None:
    model = model_of("DoublePole-v0", compile=True, policy_kwargs={"log_std_init": -30.0})
    push = [0.3 * torch.ones(16, 1)] * 4
    brought = []
    for take in (partial(act, model.env, model.policy), CompiledStep(model.policy, model.env)):
        model.env.seed(3)
        model.env.reset()
        brought.append([take(latents)[1].obs for latents in push])
    torch.testing.assert_close(brought[1], brought[0], rtol=1e-4, atol=1e-4)


@COMPILER
def test_nothing_is_compiled_again_for_the_same_constants() -> None:
    model = model_of("CartPole-v1", compile=True)
    params = []
    for _ in range(2):
        model.env.reset()
        params.append(model.env.venv.params)
    assert params[0] is params[1]


def test_a_task_that_has_not_begun_says_so() -> None:
    model = model_of("CartPole-v1", compile=True)
    with pytest.raises(ValueError, match="Reset the environments before the first step"):
        CompiledStep(model.policy, model.env)(torch.zeros(16, 1))


@COMPILER
def test_constants_that_change_are_seen() -> None:
    model = model_of("CartPole-v1", compile=True)
    env = model.env
    env.reset()
    compiled, push, seen = CompiledStep(model.policy, env), torch.full((16, 1), 1e3), []
    for take, gravity in ((compiled, 9.8), (compiled, 1.0), (partial(act, model.env, model.policy), 1.0)):
        env.venv.reset(seed=3, options={"constants": {"gravity": gravity}})
        seen.append([take(push)[1].obs for _ in range(3)][-1])
    torch.testing.assert_close(seen[1], seen[2], rtol=1e-4, atol=1e-4)
    assert (seen[0] - seen[1]).abs().max() > 1e-3


@COMPILER
@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("CartPole-v1", {"policy_kwargs": {"critic": "shared"}}),
        ("CartPole-v1", {"policy_kwargs": {"field": "gru"}}),
        ("Pendulum-v1", {}),
        ("Pendulum-v1", {"policy_kwargs": {"squash": "clip"}, "normalize_rewards": True}),
        ("Pendulum-v1", {"use_sde": True, "sde_sample_freq": 4}),
    ],
)
def test_every_policy_trains_in_one_compiled_function_with_its_task(task, options) -> None:
    model = model_of(task, compile=True, **options).learn(512)
    stored = model.rollout_buffer.stored
    assert all(value.isfinite().all() for value in (stored["values"], stored["log_probs"], stored["rewards"]))
    assert stored["actions"].std() > 0
    assert stored["episode_starts"].float().mean() == pytest.approx(1 / 5, abs=0.1)


def test_environments_that_change_their_step_keep_it() -> None:
    plain = batched("CartPole-v1")
    assert has_pure_step(GymnasiumVecEnv(plain), CPU)

    class Own(type(plain)):
        def step(self, actions):
            return super().step(actions)

    own = Own(4, task=plain.func_env)
    assert not has_pure_step(GymnasiumVecEnv(own), CPU)
    assert not has_pure_step(GymnasiumVecEnv(batched("CartPole-v1", autoreset_mode=AutoresetMode.NEXT_STEP)), CPU)
    assert not has_pure_step(GymnasiumVecEnv(gym.wrappers.vector.RecordEpisodeStatistics(plain)), CPU)
    assert not has_pure_step(GymnasiumVecEnv(plain), torch.device("meta"))
    plain.device = torch.empty(0, device="meta").device  # as a GPU's has a number where the model's has none
    assert has_pure_step(GymnasiumVecEnv(plain), torch.device("meta"))


@pytest.mark.filterwarnings("ignore:Compiling is not possible here, so steps run one by one.*no compiler")
def test_without_a_compiler_the_steps_are_plain(monkeypatch) -> None:
    def compiled(*_: Any, **__: Any) -> Any:
        def fails(*_: Any) -> Any:
            raise RuntimeError("no compiler")

        return fails

    model = model_of("CartPole-v1", compile=True)
    monkeypatch.setattr(torch, "compile", compiled)
    with pytest.warns(UserWarning, match="Compiling is not possible here, so steps run one by one: no compiler"):
        model.learn(256)
    assert model.num_timesteps == 256
