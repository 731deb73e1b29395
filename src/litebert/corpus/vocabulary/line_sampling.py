"""A sample of lines spread over all of the input, the same for any order of the files.

Every file has a stream of random numbers of its own, seeded with the seed and the file's name, and a line is taken when its number
falls under one rate for the whole input: total wanted over total there. How much text is inside a packed file or one of rows is
estimated from its beginning.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from litebert.corpus.reading.documents import ReadSettings, Span, TextSettings
from litebert.corpus.reading.inputs import InputFile, list_inputs, unpacked_size
from litebert.corpus.reading.readers import read_texts, spans

_PROBE = 4 << 20  # bytes of rows whose text is measured
_PACKED_PROBE = 1 << 20  # bytes of a packed file that are unpacked to see how much they hold
_UNDECODABLE = "\ufffd"
_TELL_EVERY = 1 << 14


@dataclass(frozen=True)
class TextFile:
    """An input file.

    Attributes:
        file: Where it is and what is in it.
        name: Path within the folder (or the fixed part of the glob) that was named, or the file's name; the sample depends on it.
        text_bytes: Bytes of text inside, estimated unless it is a plain text file.
    """

    file: InputFile
    name: str
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


def find_files(inputs: Sequence[str | Path], read: TextSettings) -> list[TextFile]:
    """Return the files that the inputs name, in an order that does not depend on theirs.

    Args:
        inputs: Files, folders, globs, URLs, as ``list_inputs`` takes them.
        read: How files are read.

    Raises:
        DataError: An input is missing, of no kind that can be read, damaged from the start, or rows without text.
        MachineError: A package for it is not installed.
    """
    listed = [(_name(file.url, given), file) for given in map(str, inputs) for file in list_inputs([given])]
    found: dict[Path, tuple[str, InputFile]] = {}
    for name, file in sorted(listed, key=lambda entry: (entry[0], entry[1].url)):
        path = Path(file.url)
        found.setdefault(path if "://" in file.url else path.resolve(), (name, file))
    return [TextFile(file, name, _text_bytes(file, read)) for name, file in found.values()]


def lines(file: InputFile, read: TextSettings, counters: Counter[str]) -> Iterator[str]:
    """Yield the lines of a text file, or those of the texts in rows and pages; a line beyond ``max_document_bytes`` in parts.

    Args:
        file: To read.
        read: How.
        counters: As for ``read_texts``.

    Raises:
        DataError: Nothing of the file can be read.
        MachineError: A package for it is not installed.
    """
    for text in read_texts(Span(file, 0, None), _by_line(read), counters):
        # Only line feeds end a line here: what else may is white space, and is collapsed as such.
        yield from text.split("\n")


def sample(
    files: Sequence[TextFile], wanted: int, held_back: int, seed: int, read: TextSettings, counters: Counter[str],
    on_bytes: Callable[[int], None] | None = None,
) -> Iterator[Sampled]:  # fmt: skip
    """Yield lines drawn with equal chance from all files.

    Args:
        files: Where to draw from.
        wanted: Bytes of text in all, about; everything when there is no more.
        held_back: Bytes for measuring, about; at most a hundredth of the sample.
        seed: Of the draw.
        read: How files are read.
        counters: As for ``read_texts``.
        on_bytes: Called now and then with the bytes of text read, of all files together, as far as they were expected.
    """
    rate = sample_rate(files, wanted)
    aside = rate * min(0.01, held_back / max(1, min(wanted, sum(f.text_bytes for f in files))))
    before = 0
    for index, file in enumerate(files):
        draw = random.Random(f"{seed}:{file.name}").random
        done = 0
        for count, line in enumerate(lines(file.file, read, counters)):
            done += _size(line)
            if on_bytes is not None and count % _TELL_EVERY == 0:
                on_bytes(before + min(done, file.text_bytes))
            number = draw()
            if number < rate and line.strip():
                yield Sampled(index, line, number < aside)
        before += file.text_bytes


def sample_rate(files: Sequence[TextFile], wanted: int) -> float:
    """Return the chance of a line to be drawn."""
    there = sum(file.text_bytes for file in files)
    return 1.0 if there <= wanted else wanted / there


def is_damaged(line: str) -> bool:
    """Return whether a line holds bytes that could not be decoded."""
    return _UNDECODABLE in line


def _by_line(read: TextSettings) -> ReadSettings:
    return ReadSettings.model_validate({**read.model_dump(), "layout": "line"})


def _name(url: str, given: str) -> str:
    parts = Path(url).parts
    shared = takewhile(lambda pair: pair[0] == pair[1], zip(parts, Path(given).parts, strict=False))
    return "/".join(parts[len(list(shared)) :]) or parts[-1]


def _text_bytes(file: InputFile, read: TextSettings) -> int:
    """Return about how many bytes of text are in a file; reads its beginning, which shows whether it can be read."""
    ignored = Counter[str]()
    if file.kind == "text":
        return unpacked_size(file, _PACKED_PROBE) if any(lines(file, read, ignored)) else 0
    cut = spans(file, _PROBE)
    first = Span(file, 0, _PROBE) if file.compression else cut[0]
    text = sum(map(_size, read_texts(first, _by_line(read), ignored)))
    if file.kind != "jsonl":
        return text * len(cut)
    whole = unpacked_size(file, _PACKED_PROBE)
    # What begins in the first part may end far behind it, but no text is longer than what it is in.
    return min(round(text * max(1.0, whole / _PROBE)), whole or text)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace")) + 1
