"""What the commands do; each is a dataclass of its options with a `run` method."""
