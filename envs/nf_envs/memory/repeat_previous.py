"""Say at every step which cue was shown four steps ago.

Reference: RepeatPrevious of Morad et al. (2023), POPGym, arXiv:2303.01859; the n-back task of psychology.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from nf_envs.base import Bounds, Constant, Draws, Rng, Task
from nf_envs.drawing import Picture
from nf_envs.memory.cues import cue_card, graded, one_hot, whole

CUES = 2
BACK = 4


@dataclass(frozen=True)
class Constants:
    """Number of steps in an episode."""

    length: Annotated[Constant, Bounds("a whole number above 4", BACK + 1, whole=True)] = 64.0


class State(NamedTuple):
    """All (num_envs,); `cues` holds the present cue and the four before it, newest first."""

    cues: tuple[Tensor, ...]
    t: Tensor


class RepeatPrevious(Task[State]):
    """Sees (cue A, cue B); answers count from the fifth step on, right ones adding up to 1 and wrong ones to -1."""

    constants = Constants
    observation_space = Box(np.zeros(CUES, dtype=np.float32), np.ones(CUES, dtype=np.float32))
    action_space = Discrete(CUES)
    observation_names = tuple(f"cue_{i} [1]" for i in range(CUES))
    action_names = tuple(f"cue_{i}" for i in range(CUES))
    draws = Draws(initial=1, transition=1)

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """One cue and no past."""
        nothing = torch.full_like(rng[0], -1.0)
        return State((whole(rng[0], 0, CUES - 1),) + (nothing,) * BACK, torch.zeros_like(rng[0]))

    def transition(self, state: State, action: Tensor, rng: Rng, params: Constants | None = None) -> State:
        """The next cue."""
        return State((whole(rng[0], 0, CUES - 1), *state.cues[:-1]), state.t + 1)

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """The present cue."""
        return one_hot(state.cues[0], CUES, state.t >= 0)

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """Per answer, 1 / the number of answers."""
        c = params or self.default_params
        return graded(action, state.cues[BACK], state.t >= BACK) / (c.length - BACK)

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """After the last answer."""
        c = params or self.default_params
        return state.t >= c.length

    def picture(self, state: State, params: Constants | None = None) -> Picture:
        """The present cue."""
        return cue_card(int(state.cues[0]), f"which was it {BACK} steps ago?")
