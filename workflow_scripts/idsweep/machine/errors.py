"""Errors that say what they are about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def about(what: str) -> Iterator[None]:
    """Begin the message of a ValueError in the block with what it is about: a file and a layer."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
