"""Printing: results on stdout, chatter on stderr, and one JSON envelope for machines."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from litebert.errors import LitebertError

SCHEMA = "litebert/1"


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options every command has."""
    function = click.option("--debug", is_flag=True, help="Show the traceback of an error.")(function)
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object for machines.")(function)


def print_result(
    command: str, data: Mapping[str, Any], text: str, *, as_json: bool,
    warnings: Sequence[str] = (), artifacts: Sequence[str] = (),
) -> None:  # fmt: skip
    """Print a result: the envelope, or the text with warnings on stderr.

    Args:
        command: Name of the command.
        data: For machines.
        text: For people.
        as_json: Which of the two.
        warnings: What the user should know.
        artifacts: Paths that were written.
    """
    if as_json:
        envelope = {
            "schema": SCHEMA, "command": command, "ok": True, "data": finite(data), "warnings": list(warnings),
            "artifacts": list(artifacts),
        }  # fmt: skip
        _print(json.dumps(envelope, ensure_ascii=False))
        return
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    _print(text)


def _print(text: str) -> None:
    with reader_may_go():
        click.echo(text)


def report_error(error: LitebertError, *, command: str, as_json: bool) -> int:
    """Print an error and return its exit code."""
    if as_json:
        envelope = {"schema": SCHEMA, "command": command, "ok": False, "error": error.to_dict()}
        _print(json.dumps(envelope, ensure_ascii=False))
    place = ":".join(str(x) for x in (error.path, error.line) if x is not None)
    shown = f" ({place})" if place and place not in error.message else ""
    click.echo(f"error[{error.code}]: {error.message}{shown}", err=True)
    if error.hint:
        click.echo(f"  {error.hint}", err=True)
    return error.exit_code


def finite(value: Any) -> Any:
    """Return a copy in which numbers JSON cannot hold are None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value


def table(rows: Iterable[tuple[str, Any]]) -> str:
    """Return names and values in two columns."""
    pairs = [(name, str(value)) for name, value in rows]
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in pairs)


def counted(number: int, name: str) -> str:
    """Return a number of things in words: ``1 seed``, ``2 seeds``."""
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def some_of(names: Sequence[str], most: int) -> str:
    """Return the first names, and how many there are where that is not all of them."""
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


@contextmanager
def reader_may_go() -> Iterator[None]:
    """Write to a pipe whose reader may stop early, as ``head`` does: that is no error."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit is quiet too


def program() -> str:
    """Return how to call this program again: its name, or its path where the name is not found."""
    called = Path(sys.argv[0])
    if shutil.which("litebert") or not called.is_file():
        return "litebert"
    return "python -m litebert" if called.name == "__main__.py" else sys.argv[0]


def again(*more: str, without: Collection[str] = ()) -> str:
    """Return the command line that goes on with this one.

    Args:
        more: Flags that are added.
        without: Flags that are left out.
    """
    words = [word for word in sys.argv[1:] if word not in (*without, *more)]
    return shlex.join([program(), *words, *more])


def say(message: str) -> None:
    """Tell the user something on stderr."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201
