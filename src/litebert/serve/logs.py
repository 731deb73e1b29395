"""Lines of the log, which hold no text that a client sent: of an exception its kind and where it was, not what it says."""

from __future__ import annotations

import json
import logging
import traceback
from typing import Any


def told(error: BaseException) -> str:
    """Return what may be told of an exception: messages of libraries quote what they choke on.

    Args:
        error: Any, but best one that nobody expected.
    """
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}".rstrip()


class Lines(logging.Formatter):
    """A line for each record, as text or as JSON.

    Args:
        as_json: JSON. Records whose message is an object already, as the access log's, are left as they are.
    """

    def __init__(self, *, as_json: bool) -> None:
        super().__init__("%(message)s")
        self.as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said = super().format(record)
        if not self.as_json or said.startswith("{"):
            return said
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": said,
        }
        return json.dumps(line, ensure_ascii=False)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return where it was."""
        _, error, _ = ei
        return told(error) if isinstance(error, BaseException) else ""


def attach(handler: logging.Handler, name: str, level: int) -> None:
    """Let a logger write to a handler, unless it writes somewhere already.

    Args:
        handler: Where to.
        name: Of the logger.
        level: The least that is written.
    """
    logger = logging.getLogger(name)
    logger.setLevel(level)
    if not logger.handlers:
        logger.addHandler(handler)
