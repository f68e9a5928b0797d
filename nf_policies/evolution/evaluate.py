"""Returns of a population: every candidate plays the same fresh episodes of a generation."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from nf_policies.policies import Policy
from nf_policies.policies.play import Episode, Played, play

GENERATION, DUEL, TARGET = range(3)
"""What episodes are played for; each purpose has seeds of its own."""


class Evaluator(Protocol):
    """Plays the same episodes with every candidate: an `Engine`, or `evaluate` with its environments."""

    def __call__(
        self, policy: Policy, population: np.ndarray | None, seeds: Sequence[int]
    ) -> tuple[np.ndarray, Played]:
        """Returns (pop_size, episodes), and what was played."""


def episode_seeds(seed: int, generation: int, purpose: int, episodes: int) -> list[int]:
    """Seeds of episodes that differ between runs, generations and purposes, and are the same in a resumed run."""
    return np.random.SeedSequence([seed, generation, purpose]).generate_state(episodes).tolist()


def evaluate(
    envs: VectorEnv, policy: Policy, population: np.ndarray | None, seeds: Sequence[int]
) -> tuple[np.ndarray, Played]:
    """Play the same episodes with every candidate.

    Args:
        envs: From `make_lanes`.
        policy: Whose field has the parameters; its normaliser is used as it is.
        population: Parameter vectors (pop_size, n_parameters); None for the policy's own, a population of one.
        seeds: One per episode.
    Returns: Returns (pop_size, episodes), NaN where an episode met something that is not finite, and what was played.
    """
    parameters = None if population is None else torch.as_tensor(population).to(policy.field.resting_level)
    pop_size = 1 if parameters is None else len(parameters)
    played = play(envs, policy, [Episode(s, candidate) for candidate in range(pop_size) for s in seeds], parameters)
    return played.returns.reshape(pop_size, len(seeds)), played
