"""A sample of lines spread over all of the input, the same for any order of the files.

Every file has a stream of random numbers of its own, seeded with the seed and the file's name, and a line is taken when its number
falls under one rate for the whole input: total wanted over total there. What is inside a compressed or a JSONL file is estimated
from its beginning.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from litebert.errors import DataError, MachineError

COMPRESSED = (".gz", ".xz", ".zst")
_TEXT = (".txt", ".text")
_RECORDS = (".jsonl", ".ndjson")
_LONGEST = 1 << 20  # characters of a line that are in memory at once; what is longer counts as several lines
_PROBE = 4 << 20  # characters a size estimate and the look at a file's kind read
_UNDECODABLE = "\ufffd"
_TELL_EVERY = 1 << 14


@dataclass(frozen=True)
class TextFile:
    """An input file.

    Attributes:
        path: Where it is.
        name: Path within the folder that was named, or the file's name; the sample depends on it.
        size: Bytes on disk.
        text_bytes: Bytes of text inside, estimated for compressed and JSONL files.
    """

    path: Path
    name: str
    size: int
    text_bytes: int


@dataclass(frozen=True)
class Sampled:
    """A line of the sample.

    Attributes:
        file: Index of its file.
        text: The line, as it stands there.
        held_back: Whether it is for measuring, not for training.
    """

    file: int
    text: str
    held_back: bool


def find_files(inputs: Sequence[str | Path], text_field: str = "text") -> list[TextFile]:
    """Return the text files that the inputs name, in an order that does not depend on theirs.

    Args:
        inputs: Files, or folders whose text and JSONL files are taken, also in folders inside them.
        text_field: Field of a JSONL record that holds the text.

    Raises:
        DataError: An input is missing, no text, or nothing is in it.
    """
    found: dict[Path, tuple[str, Path]] = {}
    for given in map(Path, inputs):
        if given.is_dir():
            inside = sorted(p for p in given.rglob("*") if p.is_file() and _is_wanted(p.relative_to(given)))
            if not inside:
                names = ", ".join(f"*{suffix}" for suffix in (*_TEXT, *_RECORDS))
                raise DataError("no text in the folder", hint=f"Looked for {names}, plain or compressed.", path=given)
            for path in inside:
                found.setdefault(path.resolve(), (path.relative_to(given).as_posix(), path))
        elif given.is_file():
            found.setdefault(given.resolve(), (given.name, given))
        else:
            raise DataError(f"no such file or folder: {given}", path=given)
    ordered = sorted(found.values(), key=lambda entry: (entry[0], str(entry[1].resolve())))
    return [_measured(path, name, text_field) for name, path in ordered]


def lines(path: Path, text_field: str = "text", on_bytes: Callable[[int], None] | None = None) -> Iterator[str]:
    """Yield the lines of a text file, or those of the texts of a JSONL file.

    Args:
        path: Plain, or compressed by its suffix.
        text_field: Field of a JSONL record that holds the text.
        on_bytes: Called now and then with the number of bytes read from the disk.

    Raises:
        DataError: Unreadable, damaged, or a record without text.
        MachineError: A ``.zst`` file and no ``zstandard``.
    """
    with _opened(path) as (raw, stream):
        rows = iter(partial(stream.readline, _LONGEST), "")
        texts = _record_lines(stream, path, text_field) if _kind(path) in _RECORDS else rows
        for number, line in enumerate(texts):
            if on_bytes is not None and number % _TELL_EVERY == 0:
                on_bytes(raw.tell())
            yield line


def sample(
    files: Sequence[TextFile], wanted: int, held_back: int, seed: int, text_field: str = "text",
    on_bytes: Callable[[int], None] | None = None,
) -> Iterator[Sampled]:  # fmt: skip
    """Yield lines drawn with equal chance from all files.

    Args:
        files: Where to draw from.
        wanted: Bytes of text in all, about; everything when there is no more.
        held_back: Bytes for measuring, about; at most a hundredth of the sample.
        seed: Of the draw.
        text_field: Field of a JSONL record that holds the text.
        on_bytes: Called now and then with the number of bytes read from the disk, of all files together.
    """
    rate = sample_rate(files, wanted)
    aside = rate * min(0.01, held_back / max(1, min(wanted, sum(f.text_bytes for f in files))))
    before = 0
    for index, file in enumerate(files):
        draw = random.Random(f"{seed}:{file.name}").random
        report = None if on_bytes is None else partial(_plus, on_bytes, before)
        for line in lines(file.path, text_field, report):
            number = draw()
            if number < rate and line.strip():
                yield Sampled(index, line, number < aside)
        before += file.size


def sample_rate(files: Sequence[TextFile], wanted: int) -> float:
    """Return the chance of a line to be drawn."""
    there = sum(file.text_bytes for file in files)
    return 1.0 if there <= wanted else wanted / there


def is_damaged(line: str) -> bool:
    """Return whether a line holds bytes that are no UTF-8."""
    return _UNDECODABLE in line


def _plus(report: Callable[[int], None], before: int, done: int) -> None:
    report(before + done)


def _kind(path: Path) -> str:
    """Return the suffix that says what is inside."""
    return (Path(path.stem).suffix if path.suffix in COMPRESSED else path.suffix).lower()


def _is_wanted(path: Path) -> bool:
    return _kind(path) in (*_TEXT, *_RECORDS) and not any(part.startswith(".") for part in path.parts)


def _measured(path: Path, name: str, text_field: str) -> TextFile:
    size = path.stat().st_size
    with _opened(path) as (raw, stream):
        start = stream.read(_PROBE)
        consumed = raw.tell()
    _check_is_text(start, path)
    if not start:
        return TextFile(path, name, size, 0)
    text = len(start.encode("utf-8", "replace"))
    if _kind(path) in _RECORDS:
        text = _text_of_start(start, path, text_field)
    elif path.suffix not in COMPRESSED:
        return TextFile(path, name, size, size)
    return TextFile(path, name, size, max(1, round(text * size / max(1, consumed))))


def _text_of_start(start: str, path: Path, text_field: str) -> int:
    # The last row is cut off by the probe unless the file ends there; a whole one counts, a broken one does not.
    *rows, tail = start.split("\n")
    if len(start) < _PROBE or not rows:
        rows.append(tail)
    stream = io.StringIO("\n".join(rows))
    return sum(len(line.encode("utf-8", "replace")) + 1 for line in _record_lines(stream, path, text_field))


def _check_is_text(start: str, path: Path) -> None:
    if "\0" in start or start.count(_UNDECODABLE) * 10 > len(start):
        raise DataError(
            f"{path.name} is no UTF-8 text",
            hint="Name text files (UTF-8), plain or compressed as .gz, .xz or .zst, or JSONL files.",
            path=path,
        )


def _record_lines(stream: IO[str], path: Path, text_field: str) -> Iterator[str]:
    for number, row in enumerate(stream, start=1):
        if row.isspace():
            continue
        try:
            record: Any = json.loads(row)
        except ValueError as error:
            raise DataError(f"not valid JSON: {error}", path=path, line=number) from error
        text = record.get(text_field) if isinstance(record, dict) else None
        if not isinstance(text, str):
            known = ", ".join(record) if isinstance(record, dict) else type(record).__name__
            raise DataError(
                f"a record without a text in the field {text_field!r}",
                hint=f"Name the field with --text-field. There is: {known[:200]}.", path=path, line=number,
            )  # fmt: skip
        yield from text.splitlines()


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], IO[str]]]:
    """Open a file; yields the stream of bytes on the disk, whose position can be asked for, and that of the text in it."""
    problems: tuple[type[Exception], ...] = (OSError, EOFError, lzma.LZMAError, zlib.error)
    try:
        with path.open("rb") as raw:
            inside: Any = raw
            if path.suffix == ".gz":
                inside = gzip.GzipFile(fileobj=raw)
            elif path.suffix == ".xz":
                inside = lzma.LZMAFile(raw)  # noqa: SIM115 - closed with the stream around it
            elif path.suffix == ".zst":
                zstandard = _zstandard(path)
                problems = (*problems, zstandard.ZstdError)
                inside = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
            # Only line feeds end a line here: what else may is white space, and is collapsed as such.
            with io.TextIOWrapper(inside, encoding="utf-8-sig", errors="replace", newline="\n") as stream:
                yield raw, stream
    except problems as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        raise DataError(f"cannot read {path}: {reason}", hint="Is the file whole?", path=path) from error


def _zstandard(path: Path) -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise MachineError(
            f"reading {path.name} needs the package zstandard",
            hint='pip install "litebert[corpus]", or unpack it.',
            path=path,
        ) from error
    return zstandard
