"""Packages of the extra `export`, imported where they are needed."""

from collections.abc import Iterator
from contextlib import contextmanager


class ExportError(ValueError):
    """An export that cannot be written or run; the message says why and what would work."""


@contextmanager
def needs(extra: str, *packages: str) -> Iterator[None]:
    """Say in one sentence what to install where a package is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in packages:
            raise
        raise ExportError(f"This needs {error.name}: pip install 'nf-policies[{extra}]'") from error
