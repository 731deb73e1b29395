"""What work that is resumed has to be sure of: that it is the same work, and that nobody else does it at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from litebert.errors import ConfigError, LitebertError


def check_same(before: Any, now: Any, path: Path, hint: str) -> None:
    """Refuse to go on with other work than was begun.

    Args:
        before: JSON data that decided what came out.
        now: The same of this call.
        path: Where ``before`` was read.
        hint: What to do.

    Raises:
        ConfigError: They differ; it names the first field, with both values.
    """
    for field, old, new in differences(before, now):
        raise ConfigError(f"cannot resume: {field} was {shown(old)} and is now {shown(new)}", hint=hint, path=path)


def differences(before: Any, now: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the fields in which two JSON values differ, with both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(k for k in now if k not in before)]:
            yield from differences(before.get(key), now.get(key), f"{place}.{key}" if place else key)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from differences(old, new, f"{place}[{index}]")
    elif before != now:
        yield place, before, now


def shown(value: Any) -> str:
    """Return a value as a message has it."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def locked(path: Path, busy: LitebertError) -> IO[bytes] | None:
    """Lock a file until it is closed or this process ends.

    Args:
        path: The file; made if missing.
        busy: Raised where another process holds it.

    Returns:
        The open file; None where the system has no locks.
    """
    try:
        import fcntl
    except ImportError:
        return None
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise busy from error
    except OSError:  # a file system without locks
        pass
    return file
