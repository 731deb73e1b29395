"""Memory of a process that serves for months: what is not needed any more goes back to the system.

Requests leave no circles of objects behind, so the collector has nothing to do while they are served; but it counts objects, and a
few hundred requests that wait are enough for it to go through all of theirs several times a second, while nobody is answered. So it is
sent when nothing waits.

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

AT_LEAST = 10
"""Such times after which the collector is sent though there is too much to do."""

_RARELY = (100_000, 20, 100)
"""More objects than before after which the youngest are looked through, such times after which the older are, and such times after
which all are. Requests that wait are fewer: some hundreds of them, of 250 objects each."""

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


def collect_rarely() -> None:
    """Look through what comes seldom: for a process that does nothing but serve."""
    gc.set_threshold(*_RARELY)


def give_back(*, collect: bool) -> None:
    """Give the system all pages that hold nothing; takes a few milliseconds, without the interpreter's lock.

    Args:
        collect: What nobody can reach first, which holds everybody up: a few milliseconds, too, where few wait.
    """
    if collect:
        gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
