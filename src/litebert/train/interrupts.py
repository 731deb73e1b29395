"""Ctrl-C and SIGTERM as a wish to stop and save, for the length of a block.

A second Ctrl-C may mean more than the first. A second SIGTERM does not: a scheduler sends it to every process of a job, and
``torchrun`` to its own once more, so one wish arrives twice.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def stop_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Send every Ctrl-C and the first SIGTERM to a handler; outside the main thread, where Python cannot, do nothing.

    Args:
        handler: Called with the signal's number and the current frame.
    """
    old: dict[int, Any] = {}
    seen: set[int] = set()

    def heard(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM and number in seen:
            return
        seen.add(number)
        handler(number, frame)

    try:
        for number in (int(signal.SIGINT), int(signal.SIGTERM)):
            old[number] = signal.signal(number, heard)
    except ValueError:
        pass
    try:
        yield
    finally:
        for number, previous in old.items():
            signal.signal(number, previous)
