"""Three tasks of POPGym (Morad et al. 2023), registered with a time limit, which POPGym leaves out.

Their episodes end by themselves before it: one remembers the last cards, one counts them, one controls by noise.
"""

import gymnasium as gym
import popgym  # noqa: F401  registers its tasks

NAMES = ("RepeatPreviousEasy", "CountRecallEasy", "NoisyPositionOnlyCartPoleEasy")
LIMIT = 1000

for name in NAMES:
    spec = gym.spec(f"popgym-{name}-v0")
    gym.register(f"popgym/{name}-v0", spec.entry_point, max_episode_steps=LIMIT, kwargs=spec.kwargs)
