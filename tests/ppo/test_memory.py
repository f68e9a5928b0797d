"""Tasks that need memory: a field solves what no policy without memory can."""

import gymnasium as gym
import pytest

from nf_policies.ppo import FieldPPO


def reached(task: str, field: str, steps: int) -> float:
    """Mean return of the last episodes in training."""
    env = gym.make_vec(f"nf_envs:nf/{task}", 64, vectorization_mode="vector_entry_point")
    model = FieldPPO(
        "NeuralFieldPolicy",
        env,
        learning_rate=5e-3,
        n_steps=64,
        batch_size=1024,
        n_epochs=8,
        gamma=0.95,
        seed=0,
        device="cpu",
        stats_window_size=200,
        policy_kwargs={"field": field, "hidden_size": 16},
    )
    model.learn(steps)
    assert model.ep_info_buffer
    return sum(episode["r"] for episode in model.ep_info_buffer) / len(model.ep_info_buffer)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["RepeatPrevious-v0", "RepeatFirst-v0"])
def test_a_field_solves_what_a_memoryless_policy_cannot(task) -> None:
    with_memory, without = (reached(task, field, 200_000) for field in ("neural", "memoryless"))
    assert with_memory > without + 0.4 * abs(without) + 0.2
