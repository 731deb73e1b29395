"""What a user can get wrong, as exceptions that carry the fix.

Every error has a stable ``code``, a process exit code (0 done, 1 the work failed, 2 the call or config was wrong, 3 the data
were, 4 a gate was not met, 5 the machine lacks something) and optionally a hint, a path and a line, which the command line
prints and puts into its JSON envelope. Anything else that escapes is a bug of LiteBERT.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path


class LitebertError(Exception):
    """Base of all errors with a message meant for the user.

    Args:
        message: What was received, where, and why it is refused.
        hint: What to do about it.
        path: File or folder concerned.
        line: Line number in ``path``, counted from 1.
    """

    code = "failed"
    exit_code = 1

    def __init__(
        self, message: str, *, hint: str | None = None, path: str | Path | None = None, line: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.path = None if path is None else str(path)
        self.line = line

    def __str__(self) -> str:
        """Return the message, then the hint on a line of its own."""
        return self.message if not self.hint else f"{self.message}\n{self.hint}"

    def to_dict(self) -> dict[str, str | int | None]:
        """Return the error object of the JSON envelope."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "path": self.path, "line": self.line}


class RunError(LitebertError):
    """The work itself failed: training diverged, a file could not be written."""


class UsageError(LitebertError):
    """The call was wrong: unknown name, contradictory options, missing argument."""

    code = "usage"
    exit_code = 2


class ConfigError(UsageError, ValueError):
    """A model or run configuration has a wrong or unknown field."""

    code = "config"


class DataError(LitebertError):
    """The data are wrong: missing column, unknown label, undecodable bytes."""

    code = "data"
    exit_code = 3


class CheckpointError(DataError):
    """A model file or folder is missing parts, damaged, hostile, or does not match its configuration."""

    code = "checkpoint"


class GateError(LitebertError):
    """A required accuracy or parity was not reached."""

    code = "gate"
    exit_code = 4


class MachineError(LitebertError):
    """The machine lacks something: an optional package, memory, disk, a device."""

    code = "machine"
    exit_code = 5


class Interrupted(LitebertError):  # noqa: N818 - a state, not a fault
    """The user pressed Ctrl-C; the state is saved and the hint says how to go on."""

    code = "interrupted"
    exit_code = 130


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "null"), (bool, "a truth value"), ((int, float), "a number"), (str, "a string"), ((list, tuple), "a list"),
    (Mapping, "an object"),
)  # fmt: skip


def described(value: object) -> str:
    """Return what a value is, in JSON's words where it has one: ``a number``, ``an object``."""
    return next((words for kind, words in _KINDS if isinstance(value, kind)), f"of the type {type(value).__name__}")


_LONGEST_NAME = 200


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return a hint that names the nearest allowed value, or lists the allowed ones.

    Args:
        name: What the user wrote.
        allowed: What would have been accepted.

    Returns:
        ``"Did you mean 'x'? Allowed: ..."`` or ``"Allowed: ..."``.
    """
    options = sorted(allowed)
    listed = "Allowed: " + ", ".join(options) + "." if options else ""
    compared = name.lower() if len(name) <= _LONGEST_NAME else ""  # comparing takes as long as the name
    close = difflib.get_close_matches(compared, [o.lower() for o in options], n=1, cutoff=0.6)
    if not close:
        return listed
    match = next(o for o in options if o.lower() == close[0])
    return f"Did you mean '{match}'? {listed}"
