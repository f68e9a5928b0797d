"""Remember the cue of the first step until a signal asks for it.

Reference: the delayed-response task, as in Hochreiter and Schmidhuber (1997), Neural Computation 9, and RepeatFirst of
Morad et al. (2023), POPGym, arXiv:2303.01859, here with one answer at the end of a delay of random length.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from nf_envs.base import Count, Draws, Rng, Task
from nf_envs.drawing import Picture
from nf_envs.memory.cues import cue_card, graded, one_hot, whole

CUES = 2


@dataclass(frozen=True)
class Constants:
    """Steps between cue and signal, drawn for each episode."""

    least_delay: Count = 10.0
    greatest_delay: Count = 40.0


class State(NamedTuple):
    """All (num_envs,)."""

    cue: Tensor
    delay: Tensor
    t: Tensor


class RepeatFirst(Task[State]):
    """Sees (cue A, cue B, signal); reward 1 for the right answer to the signal, -1 for the wrong one."""

    constants = Constants
    observation_space = Box(np.zeros(CUES + 1, dtype=np.float32), np.ones(CUES + 1, dtype=np.float32))
    action_space = Discrete(CUES)
    observation_names = (*(f"cue_{i} [1]" for i in range(CUES)), "signal [1]")
    action_names = tuple(f"cue_{i}" for i in range(CUES))
    draws = Draws(initial=2)

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """Any cue, any delay."""
        c = params or self.default_params
        return State(
            whole(rng[0], 0, CUES - 1), whole(rng[1], c.least_delay, c.greatest_delay), torch.zeros_like(rng[0])
        )

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """Time passes."""
        return state._replace(t=state.t + 1)

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """The cue at the first step, the signal at the last."""
        return (*one_hot(state.cue, CUES, state.t == 0), (state.t == state.delay).to(state.t))

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """For the answer at the signal only."""
        return graded(action, state.cue, state.t == state.delay)

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """After the answer."""
        return state.t > state.delay

    def picture(self, state: State, params: Constants | None = None) -> Picture:
        """The cue, or a blank card, or the question."""
        if state.t == state.delay:
            return cue_card(None, "which was it?")
        return cue_card(int(state.cue) if state.t == 0 else None, f"step {int(state.t)} of {int(state.delay)}")
