"""Evolution learns what needs memory, judges on fresh episodes, survives bad returns, and continues exactly."""

import copy

import numpy as np
import pytest
import torch

from nf_policies import Policy, SimpleNeuralField, field_sizes
from nf_policies.evolution import Evolution, Incumbent
from nf_policies.evolution.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from nf_policies.evolution.objective import duel
from nf_policies.rollouts import rollout
from nf_policies.rollouts.play import episode_seeds
from nf_policies.tasks.make import make_task
from nf_policies.tasks.side_by_side import make_envs


def evolution_for(env_id: str, **options) -> Evolution:
    env = make_task(env_id)
    field = SimpleNeuralField(
        *field_sizes(env.observation_space, env.action_space),
        dynamics="linear",
        activation="tanh",
        tau_init=2.0,
        self_centric_init=True,
        generator=torch.Generator().manual_seed(0),
    )
    policy = Policy(field, env.observation_space, env.action_space, env_id=env_id)
    return Evolution(policy, make_envs(env_id, 16), **{"episodes": 4, "pop_size": 8, **options})


def test_a_neuron_learns_to_remember_a_cue() -> None:
    evolution = evolution_for("test/Recall-v0", episodes=8)
    for _ in range(40):
        evolution.step()
    best = evolution.best_policy()
    assert rollout(best, "test/Recall-v0", episodes=100).returns.mean() == 1.0
    forgetful = copy.deepcopy(best)
    env, returns = make_task("test/Recall-v0"), []
    for seed in range(100):
        obs, over = env.reset(seed=seed)[0], False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(forgetful.act(obs, episode_start=True))
            over = terminated or truncated
        returns.append(reward)
    assert np.mean(returns) < 0.7, "without its memory the same policy can only guess"


def test_float64_actions_on_an_asymmetric_box_are_maximised_not_minimised() -> None:
    evolution = evolution_for("test/Move-v0", episodes=1)
    for _ in range(60):
        evolution.step()
    assert rollout(evolution.best_policy(), "test/Move-v0", episodes=1).returns[0] > -0.01


def test_the_reported_score_of_pure_noise_is_noise() -> None:
    evolution = evolution_for("test/Noise-v0", episodes=1, pop_size=16)
    best = max(evolution.step().return_best for _ in range(30))
    assert best > 2, "a lucky candidate looks good in each generation"
    assert abs(rollout(evolution.best_policy(), "test/Noise-v0", episodes=400, seed=10**6).returns.mean()) < 0.2
    assert evolution.incumbent is not None
    assert evolution.incumbent.score < 1


def test_every_generation_has_fresh_episodes_the_same_for_all_candidates() -> None:
    seeds = [episode_seeds(0, generation, purpose, 4) for generation in range(3) for purpose in range(3)]
    assert len({s for part in seeds for s in part}) == 36
    assert episode_seeds(0, 1, 0, 4) == seeds[3]
    evolution = evolution_for("test/Noise-v0", episodes=4, pop_size=4)
    record = evolution.step()
    # Four candidates choose one of two numbers per episode: same episodes mean few different returns.
    assert len(set(evolution.history[0].round(12))) <= 2**1 * 4
    assert record.evaluations == 4


def test_constant_returns_run_to_the_end_of_the_budget() -> None:
    evolution = evolution_for("test/Constant-v0")
    for _ in range(120):
        record = evolution.step()
    assert record.generation == 120
    assert record.return_incumbent == 1


def test_candidates_with_nan_returns_rank_last_and_are_counted() -> None:
    evolution = evolution_for("test/Broken-v0")
    for _ in range(30):
        record = evolution.step()
    assert record.not_finite > 0
    assert evolution.problem == "A reward of the task is not finite."
    assert rollout(evolution.best_policy(), "test/Broken-v0", episodes=5).returns.mean() == 1


def test_the_normaliser_follows_what_is_seen_and_the_incumbent_keeps_its_own() -> None:
    evolution = evolution_for("CartPole-v1")
    for _ in range(6):
        evolution.step()
    assert evolution.policy.normalizer.count > 0
    assert evolution.incumbent is not None
    assert evolution.incumbent.policy.normalizer.count < evolution.policy.normalizer.count


@pytest.mark.parametrize("restarts", ["none", "ipop", "bipop"])
def test_continuing_from_a_checkpoint_is_exact(restarts, tmp_path) -> None:
    def make() -> Evolution:
        return evolution_for("test/Recall-v0", restarts=restarts, seed=3)

    whole, first, second = make(), make(), make()
    for _ in range(16):
        whole.step()
    for _ in range(8):
        first.step()
    save_checkpoint(first, tmp_path / "evolution.safetensors")
    load_checkpoint(second, tmp_path / "evolution.safetensors")
    for _ in range(8):
        second.step()
    np.testing.assert_array_equal(second.strategy.mean, whole.strategy.mean)
    assert second.env_steps == whole.env_steps
    assert second.strategy.evaluations == whole.strategy.evaluations
    for a, b in ((second.policy, whole.policy), (second.best_policy(), whole.best_policy())):
        for name, value in a.state_dict().items():
            assert torch.equal(value, b.state_dict()[name]), name


def test_continuing_through_restarts_is_exact(tmp_path) -> None:
    def make() -> Evolution:
        return evolution_for("test/Constant-v0", restarts="bipop", episodes=1, pop_size=4)

    whole = make()
    while len(whole.strategy.stop_reasons) < 3:
        whole.step()
    save_checkpoint(whole, tmp_path / "e.safetensors")
    again = make()
    load_checkpoint(again, tmp_path / "e.safetensors")
    assert again.strategy.stop_reasons == whole.strategy.stop_reasons
    np.testing.assert_array_equal(again.strategy.ask(), whole.strategy.ask())


def test_a_checkpoint_of_another_seed_or_a_damaged_one_is_refused(tmp_path) -> None:
    evolution = evolution_for("test/Constant-v0")
    evolution.step()
    save_checkpoint(evolution, tmp_path / "e.safetensors")
    with pytest.raises(CheckpointError, match="continued exactly"):
        load_checkpoint(evolution_for("test/Constant-v0", seed=1), tmp_path / "e.safetensors")
    (tmp_path / "e.safetensors").write_bytes((tmp_path / "e.safetensors").read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        load_checkpoint(evolution_for("test/Constant-v0"), tmp_path / "e.safetensors")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_checkpoint(evolution_for("test/Constant-v0"), tmp_path / "none.safetensors")


def test_a_lucky_incumbent_is_corrected_before_it_turns_down_a_better_policy() -> None:
    true_return = {"lucky": 1.0, "better": 2.0}

    def play(policy, seeds):
        return np.full(len(seeds), true_return[policy])

    lucky = Incumbent("lucky", np.full(20, 1.9))  # type: ignore[arg-type]
    after = duel(lucky, "better", range(20), play)  # type: ignore[arg-type]
    assert after is not None
    assert after.policy == "better"
    unlucky = duel(Incumbent("better", np.full(20, 2.0)), "lucky", range(20), play)  # type: ignore[arg-type]
    assert unlucky is not None
    assert unlucky.policy == "better"


def test_a_target_is_confirmed_on_a_hundred_fresh_episodes() -> None:
    evolution = evolution_for("test/Noise-v0", episodes=1)
    evolution.step()
    evolution.incumbent = Incumbent(evolution.mean_policy(), np.ones(20))
    assert not evolution.reached(0.9), "the luck of twenty episodes does not last for a hundred"
    assert evolution.incumbent.returns.size == 120
    constant = evolution_for("test/Constant-v0")
    constant.step()
    assert constant.reached(1.0)


@pytest.mark.parametrize(
    ("option", "message"), [({"episodes": 0}, "at least one episode"), ({"seed": -1}, "seed must")]
)
def test_bad_options_get_one_clear_sentence(option, message) -> None:
    with pytest.raises(ValueError, match=message):
        evolution_for("test/Constant-v0", **option)
