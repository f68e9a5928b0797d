"""Tasks as users write them: without a time limit, once per process, deaf to seeds, faulty, with odd answers."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Endless(gym.Env):
    """Never ends; returns the gain for each step."""

    observation_space, action_space = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)

    def __init__(self, gain=1.0):
        self.gain = gain

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        self.t += 1
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), self.gain, False, False, {}


class Short(Endless):
    """Ends by itself after five steps."""

    def step(self, action):
        obs, reward, *_ = super().step(action)
        return obs, reward, self.t == 5, False, {}


class Once(Short):
    """A simulator of which a process has one."""

    running = 0

    def __init__(self):
        super().__init__()
        if Once.running:
            raise RuntimeError("the simulator runs already")
        Once.running = 1

    def close(self):
        Once.running = 0


class Deaf(Short):
    """Does not follow its seed."""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=None)


class Faulty(Short):
    """Fails in its fourth step, whatever the policy does."""

    def step(self, action):
        if self.t == 3:
            {}["motor"]
        return super().step(action)


class Needs(Short):
    """Has an argument without a default."""

    def __init__(self, table):
        super().__init__(gain=sum(table))


class Old(Short):
    """Answers as Gym did before version 0.26."""

    def step(self, action):
        return super().step(action)[:4]


class OneReward(Short):
    """Its reward is an array of one number, its info cannot be stacked."""

    def step(self, action):
        obs, reward, over, cut, _ = super().step(action)
        return obs, np.array([reward]), over, cut, {"path": np.zeros(self.t)}


class TwoRewards(Short):
    """Has a vector of rewards."""

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, np.array([reward, 0.0]), *rest


class Wrong(Short):
    """Shows three numbers, and says two."""

    def step(self, action):
        _, *rest = super().step(action)
        return np.zeros(3, np.float32), *rest


class BadClose(Short):
    """Cannot be closed."""

    def close(self):
        raise ValueError("no such port")


class Tenfold(gym.RewardWrapper):
    """Ten times the reward, or `times`."""

    def __init__(self, env, times=10.0):
        super().__init__(env)
        self.times = times

    def reward(self, reward):
        return self.times * reward


gym.register("user/Endless-v0", Endless)
gym.register("user/Limited-v0", Endless, max_episode_steps=7)
