"""Say at every step whether the number of pulses so far is odd: one bit of memory, flipped at random times.

Reference: the parity problem of recurrent networks, Hochreiter and Schmidhuber (1997), Neural Computation 9.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from nf_envs.base import Bounds, Constant, Draws, Rng, Task
from nf_envs.drawing import Picture
from nf_envs.memory.cues import cue_card, graded, whole


@dataclass(frozen=True)
class Constants:
    """Number of steps in an episode."""

    length: Annotated[Constant, Bounds("a whole number above 1", 2, whole=True)] = 32.0


class State(NamedTuple):
    """All (num_envs,); `parity` counts the pulse of this step too."""

    pulse: Tensor
    parity: Tensor
    t: Tensor


class CountParity(Task[State]):
    """Sees the pulse; answers count from the second step on, right ones adding up to 1 and wrong ones to -1."""

    constants = Constants
    observation_space = Box(np.zeros(1, dtype=np.float32), np.ones(1, dtype=np.float32))
    action_space = Discrete(2)
    observation_names = ("pulse [1]",)
    action_names = ("even", "odd")
    draws = Draws(initial=1, transition=1)

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """The first pulse."""
        pulse = whole(rng[0], 0, 1)
        return State(pulse, pulse, torch.zeros_like(pulse))

    def transition(self, state: State, action: Tensor, rng: Rng, params: Constants | None = None) -> State:
        """The next pulse."""
        pulse = whole(rng[0], 0, 1)
        return State(pulse, torch.remainder(state.parity + pulse, 2), state.t + 1)

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """The pulse."""
        return (state.pulse,)

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """Per answer, 1 / the number of answers; the first step does not count, since it needs no memory."""
        c = params or self.default_params
        return graded(action, state.parity, state.t >= 1) / (c.length - 1)

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """After the last answer."""
        c = params or self.default_params
        return state.t >= c.length

    def picture(self, state: State, params: Constants | None = None) -> Picture:
        """The pulse."""
        return cue_card(0 if state.pulse else None, "odd or even so far?")
