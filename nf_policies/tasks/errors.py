"""What is wrong with a task."""


class TaskError(ValueError):
    """A task that cannot be made or used; the message says which and what would work."""
