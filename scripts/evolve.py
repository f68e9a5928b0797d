"""Evolve a neural field of 15 parameters that balances a pole without seeing velocities.

python scripts/evolve.py
"""

import gymnasium as gym

from nf_policies import Policy, field_sizes
from nf_policies.evolution import Evolution
from nf_policies.evolution.start import start_field
from nf_policies.tasks.side_by_side import make_envs

ENV_ID = "CartPole-v1"
VISIBLE = [0, 2]  # the positions of cart and pole; 1 and 3 are their velocities
TARGET = 495


def main() -> None:
    """Evolve until the best policy balances on a hundred fresh episodes, and save it."""
    env = gym.make(ENV_ID)
    sizes = field_sizes(env.observation_space, env.action_space, VISIBLE)
    field = start_field("simple", *sizes, 2, dynamics="linear", activation="tanh", tau_init=5.0)
    policy = Policy(field, env.observation_space, env.action_space, visible=VISIBLE, env_id=ENV_ID)
    evolution = Evolution(policy, make_envs(ENV_ID, 128), seed=0, pop_size=16, episodes=8)
    while not evolution.reached(TARGET):
        evolution.step()
        print(evolution.line())
    evolution.best().save("cartpole.safetensors")
    print("saved cartpole.safetensors")


if __name__ == "__main__":
    main()
