"""A piece of a population's episodes, and smaller ones where it does not fit into the memory."""

Piece = tuple[slice, slice]
"""Of the candidates, and of the episodes."""


def halves(piece: Piece) -> list[Piece]:
    """A piece in two: half of its candidates each, or half of the episodes of one; a single episode stays whole."""
    candidates, episodes = piece
    if candidates.stop - candidates.start > 1:
        return [(half, episodes) for half in _halves(candidates)]
    return [(candidates, half) for half in _halves(episodes)] if episodes.stop - episodes.start > 1 else [piece]


def _halves(part: slice) -> tuple[slice, slice]:
    middle = (part.start + part.stop) // 2
    return slice(part.start, middle), slice(middle, part.stop)
