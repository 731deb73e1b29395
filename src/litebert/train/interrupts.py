"""Ctrl-C and SIGTERM as a wish to stop and save, for the length of a block."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def stop_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Send Ctrl-C and SIGTERM to a handler; outside the main thread, where Python cannot, do nothing.

    Args:
        handler: Called with the signal's number and the current frame.
    """
    old: dict[int, Any] = {}
    try:
        for number in (int(signal.SIGINT), int(signal.SIGTERM)):
            old[number] = signal.signal(number, handler)
    except ValueError:
        pass
    try:
        yield
    finally:
        for number, previous in old.items():
            signal.signal(number, previous)
