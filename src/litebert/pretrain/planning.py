"""What saves a run from waiting for plans: the next window of rows is planned in the background, and how many rows each window has is
kept beside the checkpoints, so that a resumed run need not plan what it has passed.
"""  # noqa: D205

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any, Generic, TypeVar

from litebert import files
from litebert.errors import LitebertError

ROWS_FILE = "rows.json"

Place = tuple[int, int]
"""Epoch, and window of it."""
T = TypeVar("T")


class Ahead(Generic[T]):
    """One thing at a time, made in a thread before it is asked for.

    Args:
        make: Makes the thing of a place; in NumPy for the most part, which lets other threads work.
    """

    def __init__(self, make: Callable[[Place], T]) -> None:
        self._make = make
        self._place: Place | None = None
        self._future: Future[T] = Future()

    def start(self, place: Place) -> None:
        """Begin to make the thing of a place, if it is not being made already; another one is given up."""
        if place == self._place:
            return
        self._place, self._future = place, Future()
        # A daemon, since a process that ends must not wait for what nobody will ask for.
        Thread(target=_fill, args=(self._future, self._make, place), daemon=True).start()

    def take(self, place: Place) -> T | None:
        """Return the thing of a place, waiting until it is ready; None if it was not begun. What went wrong is raised here."""
        if place != self._place:
            return None
        self._place = None
        return self._future.result()


def _fill(future: Future[T], make: Callable[[Place], T], place: Place) -> None:
    try:
        future.set_result(make(place))
    except BaseException as error:
        future.set_exception(error)


class RowCounts:
    """How many rows each window of each epoch has, as far as it is known.

    They follow from corpus, settings and seed, so what is lost or cannot be written is only counted again.
    """

    def __init__(self) -> None:
        self._rows: dict[Place, int] = {}
        self._file: Path | None = None
        self._key, self._writes, self._written = "", False, 0

    def get(self, place: Place) -> int | None:
        """Return the rows of a window, None if they are not known."""
        return self._rows.get(place)

    def add(self, place: Place, rows: int) -> None:
        """Learn the rows of a window."""
        self._rows[place] = rows

    def keep_in(self, file: Path, key: str, *, writes: bool) -> None:
        """Take over what a file knows, and let it know what is learnt from now on.

        Args:
            file: Need not be there; one that is damaged or belongs to another key counts for nothing.
            key: Names all that the counts follow from.
            writes: Whether this process writes the file.
        """
        self._file, self._key, self._writes = file, key, writes
        known = _read(file, key)
        self._written = len(known)
        self._rows.update(known)
        self.save()

    def save(self) -> None:
        """Write what is not in the file yet, if there is a file to write; what cannot be written is left."""
        if self._file is None or not self._writes or len(self._rows) <= self._written:
            return
        with contextlib.suppress(LitebertError):
            # Several loader processes may write: one adds to what another has learnt.
            rows = {**_read(self._file, self._key), **self._rows}
            files.write_json(self._file, _sealed({"key": self._key, "rows": [[*p, rows[p]] for p in sorted(rows)]}))
            self._written = len(self._rows)


def _sealed(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "sha256": hashlib.sha256(json.dumps(data).encode()).hexdigest()}


def _read(file: Path, key: str) -> dict[Place, int]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["key"] == key and data == _sealed({"key": data["key"], "rows": data["rows"]}):
            return {(epoch, window): rows for epoch, window, rows in data["rows"]}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}
