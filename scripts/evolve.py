"""Evolve a neural field of 15 parameters that balances a pole without seeing velocities.

python scripts/evolve.py
"""

import gymnasium as gym
import torch

from nf_policies import Policy, SimpleNeuralField, field_sizes
from nf_policies.evolution import Evolution, quiet
from nf_policies.tasks.side_by_side import make_envs

ENV_ID = "CartPole-v1"
OBSERVED = [0, 2]  # the positions of cart and pole; 1 and 3 are their velocities
TARGET = 495


def main() -> None:
    """Evolve until the best policy balances on a hundred fresh episodes, and save it."""
    env = gym.make(ENV_ID)
    field = SimpleNeuralField(
        *field_sizes(env.observation_space, env.action_space, OBSERVED),
        hidden_size=2,
        dynamics="linear",
        activation="tanh",
        tau_init=5.0,
        self_centric_init=True,
        generator=torch.Generator().manual_seed(0),
    )
    policy = Policy(quiet(field), env.observation_space, env.action_space, visible=OBSERVED, env_id=ENV_ID)
    evolution = Evolution(policy, make_envs(ENV_ID, 128), seed=0, pop_size=16, episodes=8)
    while not evolution.reached(TARGET):
        record = evolution.step()
        print(f"{record.generation:3}  {record.env_steps:9,} steps  return {record.return_incumbent:.1f}")
    evolution.best().save("cartpole.safetensors")
    print("saved cartpole.safetensors")


if __name__ == "__main__":
    main()
