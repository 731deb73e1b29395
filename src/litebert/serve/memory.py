"""Memory of a process that serves for months: what is not needed any more goes back to the system.

Two habits of the GNU C library are in the way. It has eight arenas for each core, each keeps what it once had, and one that a thread
comes to after hours is 64 MB more. And it gives memory back from the end of an arena only: a kernel that is made and kept while large
tensors are about to be freed stands behind the room they leave. Other C libraries have neither, and are left alone.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

EVERY = 60.0
"""Seconds after which memory is given back again."""

_ARENA_MAX = -8
"""Number of this setting in malloc.h."""


def share_arenas() -> None:
    """Let all threads allocate from two arenas, unless ``MALLOC_ARENA_MAX`` says otherwise."""
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector out of what is made once and stays: imports, models and routes are some 500,000 objects.

    It would go through them again and again while they are made, a fifth of the time it takes to start, and later while requests
    wait. The few cycles among them stay.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def give_back() -> None:
    """Give the system all pages that hold nothing; takes a few milliseconds, without the interpreter's lock."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
