"""Train a neural field of 121 parameters with recurrent PPO until it balances a pole without seeing velocities.

python scripts/train.py
"""

from nf_policies.ppo import FieldPPO
from nf_policies.ppo.training import Training
from nf_policies.rollouts import rollout
from nf_policies.tasks.side_by_side import make_envs, training_envs

ENV_ID = "CartPole-v1"
VISIBLE = [0, 2]  # the positions of cart and pole; 1 and 3 are their velocities
STEPS, TARGET = 100_000, 495


def learning_rate(remaining: float) -> float:
    """From 0.003 at the start to 0 at the end."""
    return 3e-3 * max(remaining, 0.0)


def main() -> None:
    """Train, keep the best policy, and play it on a hundred fresh episodes."""
    model = FieldPPO(
        "NeuralFieldPolicy",
        training_envs(ENV_ID, num_envs=8),
        learning_rate=learning_rate,
        n_steps=256,
        batch_size=512,
        seq_len=32,
        gamma=0.98,
        normalize_rewards=True,
        policy_kwargs={"visible": VISIBLE},
        seed=0,
        device="cpu",
    )
    training = Training(model, make_envs(ENV_ID, 10), seed=0)
    while training.env_steps < STEPS and not training.reached(TARGET):
        training.step(training.env_steps / STEPS)
        print(training.line())
    training.conclude()
    best = training.best()
    best.save("cartpole.safetensors")
    print("saved cartpole.safetensors")
    print(rollout(best, ENV_ID, episodes=100, seed=1_000_000))


if __name__ == "__main__":
    main()
