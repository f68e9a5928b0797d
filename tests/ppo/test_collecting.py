"""What a rollout holds: real steps only, the right memory, and the right value behind every time limit."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from example_tasks import MODES, side_by_side
from stable_baselines3.common.callbacks import BaseCallback

from nf_policies.ppo import FieldPPO
from nf_policies.ppo.buffer import Sequences, memory_after
from nf_policies.ppo.export import readout
from nf_policies.ppo.together import begun, update
from nf_policies.ppo.vec_env import GymnasiumVecEnv

LENGTHS = [3, 5, 4]
N_STEPS = 16


class Nothing(BaseCallback):
    """Lets everything go on."""

    def _on_step(self) -> bool:
        return True


def make_model(env: Any, **options: Any) -> FieldPPO:
    policy = {"normalize_observations": False, "hidden_size": 4} | options.pop("policy_kwargs", {})
    return FieldPPO(
        "NeuralFieldPolicy",
        env,
        n_steps=N_STEPS,
        batch_size=N_STEPS,
        seed=0,
        device="cpu",
        policy_kwargs=policy,
        **options,
    )


def collect(env: Any, rollouts: int = 1, prepare: Any = lambda model: None, **options: Any) -> FieldPPO:
    """A model after some rollouts without learning."""
    model = make_model(env, **options)
    prepare(model)
    _, callback = model._setup_learn(10**6)
    for _ in range(rollouts):
        assert model.collect_rollouts(model.env, callback, model.rollout_buffer, N_STEPS)
    return model


def value_is_always(number: float) -> Any:
    def prepare(model: FieldPPO) -> None:
        readout = model.policy.critic.output_embedding
        torch.nn.init.zeros_(readout.weight)
        torch.nn.init.constant_(readout.bias, number)

    return prepare


@pytest.mark.parametrize("mode", MODES)
def test_only_real_steps_are_kept_in_order(mode) -> None:
    env = side_by_side(mode, LENGTHS)
    model = collect(env, rollouts=2)
    features = model.rollout_buffer.stored["features"]
    starts = model.rollout_buffer.stored["episode_starts"]
    for which, length in enumerate(LENGTHS):
        rows = features[:, which].long()
        assert (rows[:, 0] == which).all()
        assert rows[:, 2].max() == length - 1
        numbers = rows[:, 1] * length + rows[:, 2]
        assert (numbers.diff() == 1).all()
        assert ((rows[:, 2] == 0) == starts[:, which]).all()
    real = sum(single.real_steps for single in env.envs)
    assert model.num_timesteps == real
    if mode != "next_step":
        assert real == 2 * N_STEPS * len(LENGTHS)


@pytest.mark.parametrize("mode", MODES)
def test_a_time_limit_is_no_end_so_an_exact_critic_is_confirmed_everywhere(mode) -> None:
    model = collect(side_by_side(mode, [10, 7]), prepare=value_is_always(10), gamma=0.9)
    torch.testing.assert_close(model.rollout_buffer.stored["targets"], torch.full((N_STEPS, 2), 10.0))


@pytest.mark.parametrize(("used", "horizon"), [(0.0, 10), (0.5, 20), (1.0, 40), (1.1, 40)])
def test_the_horizon_grows_by_its_factor_until_the_training_ends(used, horizon) -> None:
    options = {"gamma": 0.9, "horizon_growth": 4.0, "gae_lambda": 1.0}
    model = make_model(side_by_side("same_step", [1000]), **options)
    value_is_always(horizon)(model)  # of rewards of 1 without end, which lie within the horizon
    update(model, begun(model), used)
    torch.testing.assert_close(model.rollout_buffer.stored["targets"], torch.full((N_STEPS, 1), float(horizon)))


@pytest.mark.parametrize("growth", [0.0, -1.0, float("nan"), float("inf")])
def test_a_horizon_that_cannot_grow_so_is_refused(growth) -> None:
    with pytest.raises(ValueError, match="horizon_growth must be from 1 to 1,000,000"):
        make_model(side_by_side("same_step", [10]), horizon_growth=growth)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("also_truncates", [False, True])
def test_a_termination_is_the_end_also_where_it_meets_a_time_limit(mode, also_truncates) -> None:
    env = side_by_side(mode, [4], terminates=True, truncates=also_truncates)
    model = collect(env, prepare=value_is_always(10), gamma=0.9, gae_lambda=1.0)
    targets = model.rollout_buffer.stored["targets"][:12, 0].reshape(3, 4)
    exact = torch.tensor([sum(0.9**k for k in range(n)) for n in (4, 3, 2, 1)])
    torch.testing.assert_close(targets, exact.expand(3, 4))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("critic", ["separate", "shared"])
@pytest.mark.parametrize("changes", [False, True])
def test_potentials_and_values_are_those_of_a_fresh_unroll_of_each_episode(mode, critic, changes) -> None:
    policy_kwargs = {"critic": critic, "field_kwargs": {"changes": changes}}
    rollouts = 1 if changes else 2  # after which gains are others
    model = collect(side_by_side(mode, LENGTHS), rollouts=rollouts, policy_kwargs=policy_kwargs)
    policy, stored = model.policy, model.rollout_buffer.stored
    for which, length in enumerate(LENGTHS):
        for step in range(N_STEPS):
            _, episode, t = stored["features"][step, which].tolist()
            # The episode so far, this step and the observation after it, played by hand.
            history = torch.tensor([[[which, episode, s]] for s in range(int(t) + 2)])
            no_reset = torch.zeros(len(history), 1, dtype=torch.bool)
            with torch.no_grad():
                _, latent_vf, trajectories = policy.run(Sequences(history, policy.start(1), no_reset))
                values = policy.value_net(latent_vf)[:, 0, 0]
            torch.testing.assert_close(stored["values"][step, which], values[-2])
            torch.testing.assert_close(
                stored["next_values"][step, which], values[-1], msg=f"{which} {step} {t} {length}"
            )
            expected = memory_after(trajectories, -2)[0]
            torch.testing.assert_close(memory_after(stored["trajectories"], step)[which], expected)


def test_gains_of_changes_follow_what_the_rollouts_before_have_shown() -> None:
    policy_kwargs = {"field_kwargs": {"changes": True}, "normalize_observations": True}
    model = collect(side_by_side("vec_env", LENGTHS), policy_kwargs=policy_kwargs)
    assert (model.policy.actor.change_gain == 1).all()
    model.policy.begin_rollout()
    spread = model.policy.normalizer.std[2]  # of the time in an episode, which changes by 1 in every step
    for field in (model.policy.actor, model.policy.critic):
        torch.testing.assert_close(field.change_gain[2], spread, rtol=1e-6, atol=0)


def test_sequences_may_begin_inside_an_episode_and_remember_it() -> None:
    model = collect(side_by_side("vec_env", LENGTHS), seq_len=4)
    whole = model.rollout_buffer.sequences["potentials"]
    per_env = N_STEPS // 4
    assert len(whole) == 3 * per_env
    torch.testing.assert_close(whole[1::per_env], memory_after(model.rollout_buffer.stored["trajectories"], 3))


def test_memory_goes_on_from_rollout_to_rollout_and_through_learn_without_a_reset() -> None:
    model = make_model(side_by_side("vec_env", [1000]), n_epochs=1, learning_rate=0.0)
    model.learn(N_STEPS)
    first, last = (model.rollout_buffer.stored[name] for name in ("before", "trajectories"))
    model.learn(N_STEPS, reset_num_timesteps=False)
    stored = model.rollout_buffer.stored
    assert stored["features"][0, 0, 2] == N_STEPS
    assert not stored["episode_starts"].any()
    assert not torch.equal(stored["before"], first)
    torch.testing.assert_close(stored["before"], memory_after(last, -1))


def test_gymnasiums_episodes_are_counted_as_monitor_does() -> None:
    for mode in ("same_step", "next_step", "disabled"):
        model = collect(side_by_side(mode, LENGTHS))
        assert {(e["r"], e["l"]) for e in model.ep_info_buffer} == {(n, n) for n in LENGTHS}


def test_a_vector_environment_that_does_not_state_its_mode_is_refused() -> None:
    env = side_by_side("same_step", LENGTHS)
    del env.metadata["autoreset_mode"]
    with pytest.raises(ValueError, match="does not state its autoreset mode"):
        make_model(env)


def test_a_callback_stops_in_the_middle_of_a_rollout() -> None:
    class Stop(Nothing):
        def _on_step(self) -> bool:
            return self.n_calls < 5

    model = make_model(side_by_side("vec_env", LENGTHS))
    model.learn(1000, callback=Stop())
    assert model.num_timesteps == 5 * len(LENGTHS)


def test_the_order_of_the_observed_entries_does_not_matter() -> None:
    def first_actions(features: list[int]) -> torch.Tensor:
        options = {"n_steps": 64, "batch_size": 64, "n_epochs": 1, "seed": 0, "device": "cpu"}
        model = FieldPPO("NeuralFieldPolicy", "CartPole-v1", policy_kwargs={"visible": features}, **options)
        model.learn(128)
        return model.rollout_buffer.stored["actions"]

    torch.testing.assert_close(first_actions([3, 1, 2, 0]), first_actions([0, 1, 2, 3]))


def test_exporting_draws_no_random_numbers() -> None:
    model = make_model("CartPole-v1", policy_kwargs={"critic": "shared"})
    before = torch.get_rng_state()
    torch.testing.assert_close(model.policy_of().field.output_embedding.weight, readout(model.policy).weight)
    assert torch.equal(before, torch.get_rng_state())


def test_a_rollout_of_a_batched_task_sees_all_parts_of_an_episode() -> None:
    env = gym.make_vec("nf_envs:nf/Pendulum-v1", 8, vectorization_mode="vector_entry_point", max_episode_steps=8)
    model = collect(env, rollouts=2)
    assert model.rollout_buffer.stored["episode_starts"].sum(1).tolist() == [1] * N_STEPS
    assert {episode["l"] for episode in model.ep_info_buffer} == {8}  # those that began later are not counted


def test_infos_tell_of_whole_episodes_only() -> None:
    env = gym.make_vec("nf_envs:nf/Pendulum-v1", 4, vectorization_mode="vector_entry_point", max_episode_steps=8)
    lanes = GymnasiumVecEnv(env)
    lanes.reset()
    infos = [lanes.step(np.zeros((4, 1)))[3] for _ in range(8)]
    told = [[info["episode"]["l"] for info in step if "episode" in info] for step in infos]
    assert told == [[]] * 7 + [[8]]
    assert sum("terminal_observation" in info for step in infos for info in step) == 4


def test_a_whole_episode_is_told_even_if_its_return_is_no_number() -> None:
    env = gym.make_vec("nf_envs:nf/Pendulum-v1", 2, vectorization_mode="vector_entry_point", max_episode_steps=4)
    lanes = GymnasiumVecEnv(env)
    lanes.reset()
    lanes.counts = lanes.counts._replace(returns=torch.full((2,), torch.nan))
    infos = [lanes.step(np.zeros((2, 1)))[3] for _ in range(4)][-1]
    assert np.isnan(infos[0]["episode"]["r"])
    assert infos[0]["episode"]["l"] == 4
