"""Rows that cannot be read or answered: the first one ends the work, unless somebody takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from litebert.errors import DataError

Take = Callable[[DataError], None]

_TAKE: ContextVar[Take | None] = ContextVar("who takes rejected rows", default=None)


@contextmanager
def taken_by(take: Take | None) -> Iterator[None]:
    """Let somebody have the errors of single rows, which are left out then; None lets them end the work again.

    What is wrong with a whole file, such as a missing column, still ends it. To be used where rows are consumed, in the same thread.
    """
    token = _TAKE.set(take)
    try:
        yield
    finally:
        _TAKE.reset(token)


@contextmanager
def looked_over() -> Iterator[None]:
    """Look at rows that will be read again: who takes rejected ones gets them then."""
    with taken_by((lambda _error: None) if are_taken() else None):
        yield


def are_taken() -> bool:
    """Return whether somebody takes rejected rows."""
    return _TAKE.get() is not None


def reject(error: DataError) -> None:
    """Hand over what is wrong with a row; raise it where nobody takes it.

    Raises:
        DataError: As given.
    """
    take = _TAKE.get()
    if take is None:
        raise error
    take(error)
