"""A generation cut into pieces, which workers play in any order, and put together as one machine would have played it.

What goes out is a policy, and for each piece parameters and seeds; what comes back are returns, lengths and sums of
features. An episode has the same bits in any company, and sums are added in the order of the episodes.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from nf_policies.policies.policy import Policy
from nf_policies.rollouts.play import FeatureSums, Played


class Piece(NamedTuple):
    """Candidates that play the same episodes."""

    population: np.ndarray | None
    """Parameter vectors. Shape: (candidates, n_parameters); None for the policy's own."""
    seeds: Sequence[int]
    limit: int = 0
    stretch: int = 0
    """As for `play`."""

    @property
    def episodes(self) -> int:
        """How many there are."""
        return len(self.seeds) * (1 if self.population is None else len(self.population))


class Pool(Protocol):
    """Workers that play pieces."""

    @property
    def room(self) -> int:
        """How many pieces they take at once: those that are played, and those that wait beside them."""

    def play(self, policy: Policy, pieces: Sequence[Piece]) -> Iterator[tuple[int, Played]]:
        """The index of each piece and what was played, in the order in which workers answer.

        Raises: TaskError if a piece cannot be played.
        """


class Spread:
    """Plays a population on the workers of a pool; `spread(policy, population, seeds)` is as `evaluate`.

    Args:
        pool: Plays the pieces.
        smallest: Episodes below which a piece is not cut further.
        whole: Whether a candidate's episodes stay together, as an `Engine` sums them up.
    """

    def __init__(self, pool: Pool, *, smallest: int = 1, whole: bool = False) -> None:
        self.pool, self.smallest, self.whole = pool, smallest, whole

    def __call__(
        self, policy: Policy, population: np.ndarray | None, seeds: Sequence[int], **more: int
    ) -> tuple[np.ndarray, Played]:
        """Play the same episodes with every candidate. Arguments and returns are those of `evaluate`."""
        whole = Piece(population, list(seeds), **more)
        count = min(self.pool.room, max(whole.episodes // self.smallest, 1))
        pieces = list(cut(whole, count, whole=self.whole))
        answers: list[Played | None] = [None] * len(pieces)
        for index, played in self.pool.play(policy, pieces):
            answers[index] = played
        played = joined([answer for answer in answers if answer is not None])
        return played.returns.reshape(-1, len(seeds)), played


def cut(piece: Piece, count: int, *, whole: bool = False) -> Iterator[Piece]:
    """About so many pieces of nearly the same size, in the order of the episodes: candidate by candidate.

    With `whole`, a candidate's episodes are not parted.
    """
    population, seeds, *_ = piece
    candidates = 1 if population is None else len(population)
    if population is not None and candidates > 1:
        for rows in np.array_split(population, min(count, candidates)):
            yield from (
                cut(piece._replace(population=rows), -(-count // candidates), whole=whole)
                if len(rows) == 1
                else [piece._replace(population=rows)]
            )
    elif whole:
        yield piece
    else:
        for part in np.array_split(np.arange(len(seeds)), min(max(count, 1), len(seeds))):
            yield piece._replace(seeds=[seeds[i] for i in part])


def joined(parts: Sequence[Played]) -> Played:
    """What was played in all pieces, in their order."""
    returns, lengths = (np.concatenate([getattr(part, name) for part in parts]) for name in ("returns", "lengths"))
    told = [part.stretches for part in parts if part.stretches is not None]
    rows = [np.concatenate(rows) for rows in list(zip(*(part.sums for part in parts), strict=True))[1:]]
    problem = next((part.problem for part in parts if part.problem), None)
    stretches = np.concatenate(told) if told else None
    return Played(returns, lengths, FeatureSums(parts[0].sums.centre, *rows), problem, stretches)
