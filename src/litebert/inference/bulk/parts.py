"""Rows in parts, and the folder of the parts that are finished.

A part is a number of neighbouring rows of one file. Its answers are one file of JSON Lines whose first line tells what it is: how many
rows, where they begin, and a hash of what they say. Such a file appears in one step when the part is finished. A part that was
answered is recognised by that hash, so a changed row is noticed wherever the input comes from, and a file that was only copied,
touched or renamed is still the same input.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from litebert import files
from litebert.errors import ConfigError, RunError, UsageError
from litebert.resume import check_same, locked
from litebert.tasks.reading.records import Record

JOB = "job.json"
LOCK = "lock"

_AGAIN = "Go on with what it began with, or begin anew with --force."


@dataclass(frozen=True)
class Part:
    """Neighbouring rows of one file.

    Attributes:
        number: Of the part, counted from 0 through all files.
        file: Where the rows are from, for messages.
        first: Rows of the file before it.
        records: The rows.
    """

    number: int
    file: str
    first: int
    records: Sequence[Record]

    @cached_property
    def digest(self) -> str:
        """sha256 of what the rows say; their labels are not looked at."""
        digest = hashlib.sha256()
        for record in self.records:
            said = [record.id, record.text, record.pair, dict(record.extra)]
            digest.update(json.dumps(said, sort_keys=True, default=str).encode())
            digest.update(b"\n")
        return digest.hexdigest()

    def rows(self) -> str:
        """Return which rows these are, in words."""
        return f"rows {self.first + 1} to {self.first + len(self.records)} of {self.file}"


def parts_of(names: Sequence[str], read: Callable[[str], Iterable[Record]], size: int) -> Iterator[Part]:
    """Cut files into parts; each begins with a part of its own.

    Args:
        names: The files.
        read: Gives the records of one.
        size: Records of a part; the last one of a file may have fewer. Where a file cannot be read to its end, the error comes instead
            of the part that would be cut short.
    """
    number = 0
    for name in names:
        first = 0
        gathered: list[Record] = []
        for record in read(name):
            gathered.append(record)
            if len(gathered) == size:
                yield Part(number, name, first, gathered)
                number, first, gathered = number + 1, first + size, []
        if gathered:
            yield Part(number, name, first, gathered)
            number += 1


class PartFolder:
    """The folder of the parts that are finished, and of what was asked for.

    Args:
        path: The folder; made when it is opened, removed when its parts have been joined.

    Attributes:
        computed: How the parts that are there were computed; empty if none was.
        finished: What is known of each finished part, by its number.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.computed: dict[str, Any] = {}
        self.finished: dict[int, dict[str, Any]] = {}
        self._asked: dict[str, Any] = {}

    @contextmanager
    def opened(self, asked: Mapping[str, Any], *, force: bool = False) -> Iterator[PartFolder]:
        """Make the folder ready; nobody else can while the block lasts.

        Args:
            asked: JSON data that decides the answers: the model, the options.
            force: Forget the parts that are there.

        Raises:
            ConfigError: What is there answers something else; names the field that differs.
            RunError: The folder cannot be written.
            UsageError: Another process works there, or it is no folder of ours.
        """
        self._check_ours()
        with files.explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            busy = UsageError(
                f"another process is writing parts to {self.path}", hint="Wait for it, or choose another --output.",
                path=self.path,
            )  # fmt: skip
            lock = locked(self.path / LOCK, busy)
        try:
            self._begin(json.loads(json.dumps(asked)), force=force)  # what it refuses stays as it is
            try:
                yield self
            finally:
                if not self.finished:
                    shutil.rmtree(self.path, ignore_errors=True)
        finally:
            if lock is not None:
                lock.close()

    def _check_ours(self) -> None:
        """Refuse what is there and was not made here: joined parts are removed with their folder."""
        if not self.path.exists():
            return
        ours = self.path.is_dir() and ((self.path / JOB).is_file() or not set(self._names()) - {LOCK})
        if not ours:
            raise UsageError(
                f"{self.path} is in the way: finished parts would be kept there",
                hint="Choose another --output, or move it away.", path=self.path,
            )  # fmt: skip

    def _names(self) -> list[str]:
        return [entry.name for entry in self.path.iterdir() if not entry.name.startswith(".")]

    def _begin(self, asked: dict[str, Any], *, force: bool) -> None:
        job = self.path / JOB
        self._asked = asked
        if force or not job.is_file():
            job.unlink(missing_ok=True)  # first: parts without it belong to nothing
            for stale in self.path.glob("part-*.jsonl"):
                stale.unlink()
        else:
            try:
                held = json.loads(job.read_text(encoding="utf-8"))
                before, computed = held["asked"], dict(held["computed"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"{job} cannot be read", hint="Begin anew with --force.", path=job) from error
            check_same(before, asked, job, _AGAIN)
            self.finished = {head["part"]: head for head in map(_head, sorted(self.path.glob("part-*.jsonl"))) if head}
            self.computed = computed if self.finished else {}
        for half in self.path.glob(".*.tmp"):  # what a killed process was writing
            half.unlink()

    def settle(self, computed: Mapping[str, Any]) -> None:
        """Say how the answers are computed, which must not change between parts.

        Args:
            computed: JSON data: the precision that was found, and the like.

        Raises:
            ConfigError: The parts that are there were computed otherwise.
        """
        if self.finished:
            check_same(self.computed, dict(computed), self.path / JOB, _AGAIN)
        self.computed = dict(computed)
        files.write_json(self.path / JOB, {"asked": self._asked, "computed": self.computed})

    def holds(self, part: Part) -> bool:
        """Return whether a part is finished.

        Raises:
            ConfigError: There are answers for it, but to other rows.
        """
        head = self.finished.get(part.number)
        if head is None:
            return False
        if (head["rows"], head["records"]) != (len(part.records), part.digest):
            raise ConfigError(
                f"cannot resume: the input has changed: {part.rows()} are not the {head['rows']} that were answered",
                hint=_AGAIN, path=part.file if Path(part.file).exists() else None,
            )  # fmt: skip
        return True

    def write(self, part: Part, lines: Sequence[str]) -> None:
        """Keep the answers of a part: a line for each of its rows.

        Raises:
            RunError: The disk is full, or the folder has gone.
        """
        assert len(lines) == len(part.records)
        body = "".join(line + "\n" for line in lines).encode("utf-8")
        head = {
            "part": part.number, "file": part.file, "first_row": part.first, "rows": len(lines), "records": part.digest,
            "bytes": len(body),
        }  # fmt: skip
        files.write_bytes(self.path / _name(part.number), json.dumps(head).encode() + b"\n" + body)
        self.finished[part.number] = head

    def join(self, output: str | Path, parts: int) -> int:
        """Write all answers to one file, in order and in one step, and remove the folder.

        Args:
            output: The file.
            parts: How many the input has.

        Returns:
            How many answers there are.

        Raises:
            ConfigError: There are more than those of the input.
        """
        if max(self.finished, default=-1) >= parts:
            raise ConfigError(
                f"cannot resume: the input has changed: it ends before the {max(self.finished) + 1} parts that were answered",
                hint=_AGAIN,
            )
        if missing := sorted(set(range(parts)) - set(self.finished)):
            raise RunError(f"part {missing[0]} of {self.path} is missing", hint="Run the same command again.")

        def copy(temporary: Path) -> None:
            with temporary.open("wb") as whole:
                for number in range(parts):
                    with (self.path / _name(number)).open("rb") as part:
                        part.readline()
                        shutil.copyfileobj(part, whole)

        files.write_with(output, copy)
        shutil.rmtree(self.path, ignore_errors=True)
        return sum(head["rows"] for head in self.finished.values())


def _name(number: int) -> str:
    return f"part-{number:08d}.jsonl"


def _head(path: Path) -> dict[str, Any] | None:
    """Return the first line of a part, if the part is whole."""
    with path.open("rb") as stream:
        line = stream.readline()
    try:
        head: dict[str, Any] = json.loads(line)
        whole = path.stat().st_size == len(line) + head["bytes"] and path.name == _name(head["part"])
    except (ValueError, KeyError, TypeError):
        return None
    return head if whole else None
