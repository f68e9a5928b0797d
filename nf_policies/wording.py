"""What an error or a file says, in few words: it may be another library's complaint, and quote a whole file."""

CHARACTERS_MAX = 160


def in_short(said: object, most: int = CHARACTERS_MAX) -> str:
    """A text, or what an error says, on one line of at most so many characters."""
    words = " ".join(str(said).split())
    return words if len(words) <= most else f"{words[: most - 1]}…"


def reason_of(error: Exception) -> str:
    """An error's kind and what it says, on one line."""
    return in_short(f"{type(error).__name__}: {error}")
