"""Writing files so that a reader sees the old content or the new, never a part."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from litebert.errors import RunError

_NO_SPACE = 28  # errno.ENOSPC


@contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into an error that says what to do.

    Raises:
        RunError: The disk is full, the folder is read-only, a parent is missing.
    """
    try:
        yield
    except OSError as error:
        if error.errno == _NO_SPACE:
            hint = "The disk is full: free some space, or write to another folder. Nothing that was there has been changed."
        else:
            hint = "Check that the folder exists and that you may write to it. Nothing that was there has been changed."
        raise RunError(f"cannot write {path}: {error.strerror or error}", hint=hint, path=path) from error


def write_with(path: str | Path, write: Callable[[Path], None]) -> None:
    """Let a function write a temporary file beside ``path``, then put it in place in one step.

    Args:
        path: The final file; its folder is made.
        write: Called with the temporary path.
    """
    path = Path(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            temporary.chmod(0o644)
            _sync(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file in one step."""
    write_with(path, lambda temporary: _write(temporary, data))


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 file in one step."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, data: Any) -> None:
    """Write a JSON file in one step, indented, keys in the given order."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Fill a temporary folder beside ``path``; on success it takes the place of ``path``, on any error it vanishes.

    Yields:
        The temporary folder.
    """
    path = Path(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync(file)
            if path.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent)) / path.name
                path.rename(old)
                try:
                    temporary.rename(path)
                except BaseException:
                    old.rename(path)
                    old.parent.rmdir()
                    raise
                shutil.rmtree(old.parent, ignore_errors=True)
            else:
                temporary.rename(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def write_lines(path: str | Path, lines: Iterable[str]) -> int:
    """Write lines as they come, in one step at the end.

    Args:
        path: The final file.
        lines: Without line ends.

    Returns:
        How many there were.
    """
    count = 0

    def write(temporary: Path) -> None:
        nonlocal count
        with temporary.open("w", encoding="utf-8") as stream:
            for line in lines:
                stream.write(line + "\n")
                count += 1

    write_with(path, write)
    return count
