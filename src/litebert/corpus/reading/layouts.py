r"""Where documents begin and end in a stream of plain text, in bounded memory and from any byte of the file.

A gap is a run of white space with two line ends or more in it: an empty line. In the layouts ``paragraphs`` and ``sentences``
(the latter Google's input of ``create_pretraining_data.py``) gaps separate documents, in ``line`` every line is one, in ``file``
there is one. A document belongs to the byte range in which its first byte lies, so that ranges can be read apart from each other
and any cutting of a file gives the same documents. One that is too long is cut behind a line or a space.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from io import BufferedReader
from itertools import pairwise

PIECE = 1 << 20
"""Bytes of one line that are held at a time."""

_LOOK_BACK = 1 << 16
_EMPTY_LINE = re.compile(r"\n[^\S\n]*\n")
_LINE_ENDS = re.compile(r"\r\n?|\u2028|\u2029|\x85")

Record = tuple[bytes, bool]
"""The bytes of a document or of a part of one, and whether it goes on from the record before it."""


def paragraph_records(stream: BufferedReader, start: int, end: int | None, limit: int) -> Iterator[Record]:
    """Yield documents that gaps separate; lines without the white space around them.

    Args:
        stream: Binary; seekable if ``start`` is not 0.
        start: First byte of the range.
        end: The byte behind it; None for the end of the stream.
        limit: Most bytes of a record.
    """
    position, ends = _gap_before(stream, start)
    last = math.inf if end is None else end
    mine = ends >= 2  # else the range begins inside a document of the range before
    joint = b""
    parts = _Parts(limit)
    while (mine or position < last) and (piece := stream.readline(PIECE)):
        text = piece.strip()
        if text:
            if ends >= 2:
                yield from parts.finish()
                if position + len(piece) - len(piece.lstrip()) >= last:
                    return
                mine, joint = True, b""
            elif piece[:1].isspace():
                joint = joint or b" "
            if mine:
                yield from parts.add(joint + text)
            ends = 0
        joint = _joint_after(piece, joint)
        ends += piece.endswith(b"\n")
        position += len(piece)
    yield from parts.finish()


def _joint_after(piece: bytes, joint: bytes) -> bytes:
    """Return what joins a piece of a line to the next, white space being left out of both."""
    if piece.endswith(b"\n"):
        return b"\n"
    if piece.isspace():
        return joint or b" "
    return b" " if piece[-1:].isspace() else b""


def line_records(
    stream: BufferedReader, start: int, end: int | None, limit: int, *, cut: bool
) -> Iterator[Record | None]:
    """Yield the lines of a range; rows (``cut`` is False) without empty ones.

    Args:
        stream: Binary; seekable if ``start`` is not 0.
        start: First byte of the range; a line that began before it belongs to the range before.
        end: The byte behind it; None for the end of the stream.
        limit: Most bytes of a record.
        cut: Longer lines are cut; otherwise None stands for each.
    """
    last = math.inf if end is None else end
    position = _next_line(stream, start, last)
    while position < last:
        parts = _Parts(limit)
        size = 0
        while piece := stream.readline(PIECE):
            size += len(piece)
            text = piece.removesuffix(b"\n")
            if cut:
                yield from parts.add(text)
            elif size <= limit:
                parts.chunks.append(text)
            if len(text) < len(piece):
                break
        if not size:
            return
        position += size
        if size > limit and not cut:
            yield None
        else:
            yield from (record for record in parts.finish() if cut or record[0].strip())


def _next_line(stream: BufferedReader, start: int, last: float) -> int:
    """Move to the first line that begins at ``start`` or behind it, and return where that is (or somewhere behind ``last``)."""
    if start == 0:
        return 0
    stream.seek(start - 1)
    position = start - 1
    while position < last and (piece := stream.readline(PIECE)):
        position += len(piece)
        if piece.endswith(b"\n"):
            break
    return position


def whole_records(stream: BufferedReader, limit: int) -> Iterator[Record]:
    """Yield a stream as one document, in parts where it is longer than ``limit`` bytes."""
    parts = _Parts(limit)
    while block := stream.read1(PIECE):
        yield from parts.add(block)
    yield from parts.finish()


class _Parts:
    """The document that is being read; gives away what exceeds the limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.chunks: list[bytes] = []
        self.size = 0
        self.later = False

    def add(self, data: bytes) -> Iterator[Record]:
        self.chunks.append(data)
        self.size += len(data)
        if self.size <= self.limit:
            return
        rest = b"".join(self.chunks)
        while len(rest) > self.limit:
            at = cut_point(rest, self.limit)
            yield rest[:at], self.later
            self.later = True
            rest = rest[at:]
        self.chunks, self.size = [rest], len(rest)

    def finish(self) -> Iterator[Record]:
        if self.chunks:
            yield b"".join(self.chunks), self.later
        self.chunks, self.size, self.later = [], 0, False


def cut_point(data: bytes, limit: int) -> int:
    """Return where to cut: behind the last empty line, line or space of the second half, else between two characters."""
    for mark in (b"\n\n", b"\n", b" "):
        at = data.rfind(mark, limit // 2, limit)
        if at >= 0:
            return at + len(mark)
    at = limit
    while at > limit - 4 and data[at] & 0xC0 == 0x80:  # a continuation byte of UTF-8
        at -= 1
    return at


def _gap_before(stream: BufferedReader, start: int) -> tuple[int, int]:
    """Return (where to read on, line ends in the gap so far) for a range that begins at ``start``; the file's start is a gap."""
    before = start
    ends, line = 0, start
    while before > 0:
        begin = max(0, before - _LOOK_BACK)
        stream.seek(begin)
        block = stream.read(before - begin)
        kept = block.rstrip()
        space = block[len(kept) :]
        if not ends and b"\n" in space:
            line = begin + len(kept) + space.rindex(b"\n") + 1
        ends += space.count(b"\n")
        if kept or ends >= 2:
            break
        before = begin
    else:  # nothing but white space before
        line, ends = (line if ends else 0), 2
    if start:
        stream.seek(line)
    return line, ends


# What the layout is ---------------------------------------------------------------------------------------------------


def guess_layout(head: str, *, whole: bool) -> str:
    """Return ``paragraphs``, ``line`` or ``file`` for a text by its beginning.

    Args:
        head: Its first characters.
        whole: There is no more.
    """
    lines = _LINE_ENDS.sub("\n", head).strip().split("\n")
    if not whole:
        lines = lines[:-1] or lines  # the last may be a part
    if any(not line.strip() for line in lines):
        return "file" if is_wrapped(lines) else "paragraphs"
    return "file" if len(lines) < (100 if whole else 4) else "line"


def is_wrapped(lines: list[str]) -> bool:
    """Return whether the lines of a paragraph were broken at a fixed width, as in plain-text books.

    The lines that are not the last of their paragraph then end at nearly the same place, between 60 and 120 characters.
    """
    lengths = sorted(len(line.rstrip()) for line, after in pairwise(lines) if line.strip() and after.strip())
    if len(lengths) < 20:
        return False
    width = lengths[int(0.95 * len(lengths))]
    return 60 <= width <= 120 and sum(length > 0.75 * width for length in lengths) >= 0.75 * len(lengths)


def paragraphs_of(text: str) -> str:
    r"""Return a document's text with its paragraphs separated by a single ``\n``; lines broken at a fixed width are joined."""
    if not text.isascii() or "\r" in text:
        text = _LINE_ENDS.sub("\n", text)
    if "\n\n" in text or _EMPTY_LINE.search(text):
        lines = text.split("\n")
        if is_wrapped(lines[:2000]):
            blocks = _EMPTY_LINE.split(text)
            return "\n".join(joined for block in blocks if (joined := " ".join(block.split())))
    return "\n".join(stripped for line in text.split("\n") if (stripped := line.strip()))
