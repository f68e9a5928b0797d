"""Whether an error says that there is no memory left."""

WORDS = ("allocate memory", "not enough memory", "out of memory")
"""Of torch's RuntimeErrors for a machine's memory, which have no class of their own."""


def out_of_memory(error: BaseException) -> bool:
    """Whether a device or the machine had no memory left."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or (isinstance(error, RuntimeError) and any(words in str(error) for words in WORDS))
