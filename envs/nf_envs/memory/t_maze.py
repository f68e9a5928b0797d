"""A cue at the start of a corridor says where to turn at its end.

Reference: Bakker (2002), Reinforcement learning with long short-term memory, NeurIPS 14; here the corridor's length is
drawn for each episode, so that counting steps does not help.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from nf_envs.base import Count, Draws, NonNegative, Rng, Task
from nf_envs.drawing import Picture
from nf_envs.memory.cues import whole

FORWARD, BACKWARD, LEFT, RIGHT = range(4)


@dataclass(frozen=True)
class Constants:
    """Steps from the start to the junction, drawn for each episode; the cost of walking into a wall."""

    least_length: Count = 5.0
    greatest_length: Count = 20.0
    bump: NonNegative = 0.1


class State(NamedTuple):
    """All (num_envs,); `turn` is 0 for left and 1 for right; `done` is 1 when a turn has been taken."""

    turn: Tensor
    length: Tensor
    position: Tensor
    done: Tensor


class TMaze(Task[State]):
    """Sees (left cue, right cue, junction); 1 for the right turn, -1 for the wrong one, -0.1 for a wall."""

    constants = Constants
    observation_space = Box(np.zeros(3, dtype=np.float32), np.ones(3, dtype=np.float32))
    action_space = Discrete(4)
    observation_names = ("left_cue [1]", "right_cue [1]", "junction [1]")
    action_names = ("forward", "backward", "left", "right")
    draws = Draws(initial=2)

    def initial(self, rng: Rng, params: Constants | None = None) -> State:
        """At the start of a corridor of any length."""
        c = params or self.default_params
        zero = torch.zeros_like(rng[0])
        return State(whole(rng[0], 0, 1), whole(rng[1], c.least_length, c.greatest_length), zero, zero)

    def transition(self, state: State, action: Tensor, rng: Rng = (), params: Constants | None = None) -> State:
        """Forward, backward, left, right (0 to 3); walls stop."""
        walk = torch.where(action == FORWARD, 1.0, torch.where(action == BACKWARD, -1.0, 0.0))
        position = torch.minimum((state.position + walk).clip(min=0), state.length).to(state.position)
        return state._replace(position=position, done=_turns(state, action).to(state.done))

    def features(self, state: State, rng: Rng = (), params: Constants | None = None) -> tuple[Tensor, ...]:
        """The cue at the start, the junction at the end, nothing between them."""
        start, end = state.position == 0, state.position == state.length
        return tuple(seen.to(state.turn) for seen in ((state.turn == 0) & start, (state.turn == 1) & start, end))

    def reward(
        self, state: State, action: Tensor, next_state: State, rng: Rng = (), params: Constants | None = None
    ) -> Tensor:
        """For the turn, minus the cost of walls."""
        c = params or self.default_params
        right = action == state.turn + LEFT
        bumped = (next_state.position == state.position).to(state.turn) * c.bump
        return torch.where(_turns(state, action), torch.where(right, 1.0, -1.0).to(state.turn), -bumped)

    def terminal(self, state: State, rng: Rng = (), params: Constants | None = None) -> Tensor:
        """After a turn at the junction."""
        return state.done > 0

    def picture(self, state: State, params: Constants | None = None) -> Picture:
        """The maze from above."""
        length = float(state.length)
        scene = Picture(width=length + 4, height=6.0, centre=(length / 2, 0.0))
        scene.line((0, 0), (length, 0), 1.0, "faint")
        scene.line((length, -2), (length, 2), 1.0, "faint")
        scene.disc((length, 2 if state.turn == 0 else -2), 0.3, "goal")
        scene.polygon([(-0.3, 0.6), (0.3, 0.6), (0, 1.1)], "goal") if state.turn == 0 else scene.polygon(
            [(-0.3, -0.6), (0.3, -0.6), (0, -1.1)], "goal"
        )
        scene.disc((float(state.position), 0), 0.35, "ball")
        return scene


def _turns(state: State, action: Tensor) -> Tensor:
    return (state.position == state.length) & (action >= LEFT)
