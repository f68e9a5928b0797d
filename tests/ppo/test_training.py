"""Training is a learner: rollout by rollout, it keeps the best policy and continues from its state."""

import json

import numpy as np
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env

from nf_policies.ppo import FieldPPO
from nf_policies.ppo.training import Training
from nf_policies.tasks.side_by_side import make_envs

TOTAL = 640


def make(env_id: str = "CartPole-v1", **options: float) -> Training:
    model = FieldPPO(
        "NeuralFieldPolicy", make_vec_env(env_id, 2), n_steps=32, batch_size=32, n_epochs=2, seed=0, device="cpu"
    )
    training = Training(model, make_envs(env_id, 5), **{"seed": 0, "share": 0.9, "episodes": 5} | options)
    training.most = 5
    return training


def acts(policy, n: int = 20) -> list[int]:
    rng = np.random.default_rng(0)
    return [int(policy.act(rng.normal(size=4).astype(np.float32), episode_start=t == 0)) for t in range(n)]


def run(training: Training, n: int) -> list[dict[str, float]]:
    return [training.step(training.env_steps / TOTAL) for _ in range(n)]


def test_a_row_has_every_column_and_evaluations_keep_to_their_share() -> None:
    training = make()
    rows = run(training, 10)
    assert [row["env_steps"] for row in rows] == list(range(64, 641, 64))
    assert all(set(row) == set(training.columns) for row in rows)
    evaluated = [row["return_evaluated"] for row in rows if not np.isnan(row["return_evaluated"])]
    assert 2 <= len(evaluated) == training.summary()["evaluations"] < 10
    spent = training.summary()["evaluation_steps"]
    assert spent == 5 * sum(evaluated) <= 0.9 * 640
    assert rows[-1]["return_best"] == max(evaluated)
    assert rows[-1]["learning_rate"] == 1e-3
    assert 0 < rows[0]["entropy_loss"] * -1 < 0.7


def test_the_last_policy_is_always_evaluated_once() -> None:
    training = make(share=0.0)
    (row,) = run(training, 1)
    assert np.isnan(row["return_evaluated"])
    last = training.conclude()
    assert last["return_evaluated"] == last["return_best"] > 0
    assert training.conclude() == last
    assert training.summary()["evaluations"] == 1


def test_the_later_of_two_policies_that_chance_may_tell_apart_is_kept(monkeypatch) -> None:
    training, spread = make(), np.array([-20.0, -10.0, 0.0, 10.0, 20.0])
    seen: list[tuple[float, object, float]] = []
    for returns in (100 + spread, 99 + spread[::-1], 60 + spread, 110 + spread, 110 + spread, 105 + spread):
        monkeypatch.setattr(training, "_returns_of", lambda *_, returns=returns: returns)
        before = training._best
        training.evaluate()
        seen.append((training.return_evaluated, training.return_best, training._best is not before))
    assert seen == [
        (100, 100, True),
        (99, 100, True),  # worse by less than its standard error on the same episodes
        (60, 100, False),
        (110, 110, True),
        (110, 110, True),
        (105, 110, False),  # worse by 5 in each episode: that is no chance
    ]


@pytest.mark.parametrize(
    ("steps", "spent", "episodes"), [(180, 0, 0), (200, 0, 5), (2000, 600, 20), (2000, 995, 0), (20_000, 0, 40)]
)
def test_an_evaluation_plays_as_many_episodes_as_half_of_what_the_share_has_left(
    monkeypatch, steps: int, spent: int, episodes: int
) -> None:
    training, asked = make(share=0.5), []
    training.most = 40
    monkeypatch.setattr("nf_policies.ppo.training.update", lambda *_: None)
    monkeypatch.setattr(training, "evaluate", asked.append)
    training.step(0.0)
    training.model.num_timesteps, training.evaluation_steps = steps, spent
    training.model.ep_info_buffer.extend({"r": 0.0, "l": length} for length in (8, 12))
    training.step(0.5)
    assert asked == [episodes] * (episodes > 0)


def test_the_last_evaluation_plays_what_is_left_of_the_share() -> None:
    training = make(share=0.3)
    run(training, 10)
    training.conclude()
    assert training.summary()["evaluation_steps"] <= 0.3 * 640 + 5 * 60
    assert training.evaluated_at == 640


def test_the_last_evaluation_counts_on_episodes_as_long_as_the_longest_of_late(monkeypatch) -> None:
    training, asked = make(share=0.5), []
    run(training, 10)
    training.evaluated_at, training.evaluation_steps = 0, 320 - 250  # 250 steps of the share are left
    training.model.ep_info_buffer.extend({"r": float(steps), "l": steps} for steps in (20, 100))
    monkeypatch.setattr(training, "evaluate", asked.append)
    training.conclude()
    assert asked == [2]


def test_the_learning_rate_follows_what_is_used_of_the_budget() -> None:
    training = make()
    training.model.lr_schedule = lambda remaining: 1e-3 * remaining
    assert training.step(0.0)["learning_rate"] == 1e-3
    assert training.step(0.75)["learning_rate"] == 0.25e-3


def test_two_continuations_of_a_state_are_equal_and_evaluate_as_if_it_had_not_stopped() -> None:
    first = make()
    run(first, 4)
    first.evaluate()
    numbers, tensors = first.state()
    numbers = json.loads(json.dumps(numbers))
    continued = [make(), make()]
    rows = []
    for training in continued:
        training.load((numbers, tensors))
        assert acts(training.best()) == acts(first.best())
        assert (training.env_steps, training.iteration) == (first.env_steps, first.iteration)
        assert training.summary() == first.summary()
        rows.append([(row["env_steps"], row["return_evaluated"], row["value_loss"]) for row in run(training, 6)])
    np.testing.assert_equal(*rows)
    assert any(not np.isnan(evaluated) for _, evaluated, _ in rows[0])
    for one, other in zip(*(t.state()[1].items() for t in continued), strict=True):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])


def test_the_next_update_of_a_continued_training_draws_the_same_random_numbers() -> None:
    first, other = make(), make()
    run(first, 2)
    other.load(first.state())
    for training in (first, other):
        training.model.env.seed(3)
        training.model.set_env(training.model.get_env())  # begins new episodes
        training.model._last_obs = training.model.env.reset()
        training.model._last_episode_starts = np.ones(2, bool)
    assert first.step(0.2)["value_loss"] == other.step(0.2)["value_loss"]


def test_a_target_is_confirmed_once_on_fresh_episodes_and_their_steps_are_counted() -> None:
    training = make()
    assert not training.reached(1)
    run(training, 3)
    training.conclude()
    steps = training.summary()["evaluation_steps"]
    assert not training.reached(10_000)
    assert training.summary()["evaluation_steps"] == steps
    assert training.reached(1)
    assert training.summary()["evaluation_steps"] > steps + 100
    training.count(7)
    assert training.env_steps == 192, "steps of evaluations are none of training"


def test_the_state_of_another_model_is_refused() -> None:
    state = make("Acrobot-v1").state()
    with pytest.raises(ValueError, match="This is the state of another model"):
        make().load(state)


def test_a_training_does_as_learn_does() -> None:
    training = make()
    run(training, 3)
    model = make().model.learn(192)
    for one, other in zip(training.model.policy.parameters(), model.policy.parameters(), strict=True):
        assert torch.equal(one, other)
