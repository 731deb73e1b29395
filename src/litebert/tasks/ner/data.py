"""Texts with entities: CoNLL columns, JSON Lines with character spans or with words and tags.

CoNLL files have a word a line with its tag in the last column, an empty line between sentences (CoNLL-2003, WNUT-17, and whatever is
written like them). A JSON object has ``text`` and ``entities`` (``start``, ``end``, ``label``), perhaps with the places of its words as
Prodigy writes them, or ``tokens`` and ``tags``. Where the data say what the words are, ``Record.extra`` holds their places under
``WORDS``: of a text that is to be answered, too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from litebert.errors import DataError, described
from litebert.tasks.ner.tags import entities_of, parsed_tag
from litebert.tasks.reading.records import Record, StructuredLabel, identifier, trimmed_span, warn_mended
from litebert.tasks.reading.rejected import looked_over, reject
from litebert.tasks.reading.rows import STDIN, format_of, json_value, open_table, text_lines

CONLL = (".conll", ".bio", ".iob", ".iob2", ".bioes", ".testa", ".testb", ".train", ".dev", ".test", ".annotated")
"""Suffixes of files with a word a line; one in another format has its own."""

WORDS = "words"
"""Key of a record's ``extra`` that holds the first and past-the-last character of each of its words."""

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
"""Chinese, Japanese and Korean characters, each a word here: no spaces say where a name ends among them."""
_LETTERS = rf"(?:(?![{_UNSPACED}])\w)+"
_WORD = re.compile(rf"[{_UNSPACED}]|{_LETTERS}(?:[-.&/]{_LETTERS})*|'{_LETTERS}|[^\w\s]")
TEXT, ENTITIES, TOKENS, TAGS = (
    ("text", "sentence"),
    ("entities", "spans", "labels"),
    ("tokens", "words"),
    ("tags", "ner_tags", "labels"),
)
TURNED_DOWN = ("reject", "ignore")
"""What Prodigy writes under ``answer`` of a text whose entities were not accepted."""
KINDS, STARTS, ENDS = (
    ("label", "labels", "type", "entity_group"),
    ("start", "start_offset"),
    ("end", "end_offset"),
)
"""What an entity's type and ends are called; annotation programs write a type as a list of one."""


@dataclass(frozen=True, slots=True)
class Span:
    """An entity.

    Attributes:
        start: First character.
        end: Past the last character.
        label: Its type.
    """

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Tagged(StructuredLabel):
    """The entities of a text, in order, not overlapping."""

    entities: tuple[Span, ...]


def words_of(record: Record, cuts: Collection[int] = ()) -> list[tuple[int, int]]:
    """Return (first, past the last character) of each word: those that the data say, else by rule.

    Args:
        record: Any; its label is not looked at.
        cuts: Characters at which a word found by rule ends or begins in any case.
    """
    given = record.extra.get(WORDS)
    if given is not None:
        return list(given)
    found = []
    for match in _WORD.finditer(record.text):
        edges = [match.start(), *(e for e in range(match.start() + 1, match.end()) if e in cuts), match.end()]
        found += list(pairwise(edges))
    return found


def tagged_words(record: Record) -> list[tuple[int, int]]:
    """Return the words of a text whose entities are known; where the data do not say the words, entities do not end inside of one."""
    spans = record.label.entities if isinstance(record.label, Tagged) else ()
    return words_of(record, {edge for span in spans for edge in (span.start, span.end)})


def inside_words(records: Sequence[Record]) -> tuple[int, int, str]:
    """Return how many of how many entities begin or end inside a word, and the first of them, which no tags of words can find."""
    odd, count, first = 0, 0, ""
    for record in records:
        places = words_of(record)
        starts, ends = {start for start, _ in places}, {end for _, end in places}
        for span in record.label.entities if isinstance(record.label, Tagged) else ():
            count += 1
            if span.start not in starts or span.end not in ends:
                odd += 1
                first = first or record.text[span.start : span.end]
    return odd, count, first


def read_tagged(
    path: str | Path, *, format: str | None = None, labels_required: bool, warnings: list[str] | None = None
) -> list[Record]:
    """Read texts with entities.

    Args:
        path: CoNLL columns or JSON Lines; where no labels are required also a word a line, plain lines or tables with a text.
        format: ``conll``, or of ``records.FORMATS``, where the suffix does not tell.
        labels_required: Refuse a text without them.
        warnings: Receives how many texts were left out because an annotator turned them down.

    Returns:
        Records with a ``Tagged`` or None as ``label``.

    Raises:
        DataError: An unknown tag, a span that is none, a text without labels.
    """
    return list(iter_tagged(path, format=format, labels_required=labels_required, warnings=warnings))


def iter_tagged(
    path: str | Path, *, format: str | None = None, labels_required: bool, ignore_labels: bool = False,
    warnings: list[str] | None = None,
) -> Iterator[Record]:  # fmt: skip
    """Yield texts with entities one by one; arguments and errors as in ``read_tagged``.

    ``ignore_labels`` leaves tags and entities unread, whatever they are.
    """
    if format == "conll" or (format is None and str(path) != STDIN and _is_conll(path)):
        yield from _sentences(path, labels_required=labels_required, ignore_labels=ignore_labels)
        return
    table = open_table(path, format=format, header=True, columned=False)
    empty, turned_down = True, []
    for line, row in table.rows:
        cells = row if isinstance(row, Mapping) else dict(zip(table.names or [], row, strict=True))
        if not ignore_labels and cells.get("answer") in TURNED_DOWN:
            turned_down.append(line)
            continue
        try:
            record = _record(cells, line, labelled=not ignore_labels)
        except DataError as error:
            error.path, error.line = str(path), line
            reject(error)
            continue
        if record.label is None and labels_required:
            raise DataError(
                f"a text without entities; there is {', '.join(map(repr, cells))}",
                hint='"entities": [{"start": 0, "end": 5, "label": "PER"}], for a text with none "entities": [].',
                path=path,
                line=line,
            )
        empty = False
        yield record
    if warnings is not None:
        warn_mended(warnings, table)
        if turned_down:
            told = f"{table.name}: {len(turned_down)} texts that were turned down (answer) are left out"
            warnings.append(f"{told} (first: line {turned_down[0]})")
    if empty:
        raise DataError(f"{path} has no text", hint="Check the file.", path=path)


def has_words(path: str | Path, format: str | None) -> bool:
    """Tell whether a file says which its words are: a word a line, or objects with ``tokens``; standard input is not looked at.

    Args:
        path: The file.
        format: As in ``read_tagged``.
    """
    if format == "conll":
        return True
    if str(path) == STDIN:
        return False
    if format is None and _is_conll(path):
        return True
    if (format or format_of(path)) not in ("jsonl", "json", "parquet"):
        return False
    with looked_over():
        names = open_table(path, format=format, header=True, columned=False).names
    return any(name.lower() in TOKENS for name in names or [])


def _is_conll(path: str | Path) -> bool:
    suffixes = [s.lower() for s in Path(path).suffixes if s.lower() not in (".gz", ".xz", ".bz2", ".zst", ".zip")]
    return bool(suffixes) and (suffixes[-1] in CONLL or (suffixes[-1] == ".txt" and "conll" in Path(path).name.lower()))


# --- CoNLL ----------------------------------------------------------------------------------------------------------------


def _sentences(path: str | Path, *, labels_required: bool, ignore_labels: bool) -> Iterator[Record]:
    """Yield sentences; if the first line has a word alone, and that is enough, so have all."""
    rows: list[tuple[str, str]] = []
    tagged: bool | None = True if labels_required else False if ignore_labels else None
    first, empty, width = 1, True, 0
    for number, line in text_lines(path):
        cells = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or cells[0] == "-DOCSTART-":
            if rows:
                yield _of_rows(rows, first, tagged=tagged is True)
                empty = False
            rows = []
            continue
        tagged = len(cells) > 1 if tagged is None else tagged
        tag = cells[-1].strip() if tagged else "O"
        if tagged and (len(cells) < 2 or parsed_tag(tag) is None):
            raise DataError(
                f"line {number} ends with {tag!r}, which is no tag" if len(cells) > 1 else f"line {number} has one column",
                hint="A word and its tag, such as O, B-PER or I-PER, in the last column.", path=path, line=number,
            )  # fmt: skip
        width = width or len(cells)
        if (tagged or width > 1) and len(cells) != width:  # else the column before the tags would be taken for one
            raise DataError(
                f"line {number} has {len(cells)} column{'s' * (len(cells) != 1)} where the first has {width}",
                hint="Every line has as many, the tag in the last.", path=path, line=number,
            )  # fmt: skip
        first = number if not rows else first
        rows.append((cells[0].strip() or "\ufffd", tag))
    if rows:
        yield _of_rows(rows, first, tagged=tagged is True)
    elif empty:
        raise DataError(f"{path} has no sentence", hint="A word and its tag a line.", path=path)


def _of_rows(rows: Sequence[tuple[str, str]], line: int, *, tagged: bool) -> Record:
    record = _of_words([word for word, _ in rows], [tag for _, tag in rows], line)
    return record if tagged else replace(record, label=None)


def _of_words(words: Sequence[str], tags: Sequence[str], line: int) -> Record:
    places, at = [], 0
    for word in words:
        places.append((at, at + len(word)))
        at += len(word) + 1
    spans = tuple(Span(places[a][0], places[b - 1][1], kind) for a, b, kind in entities_of(tags))
    return Record(" ".join(words), label=Tagged(spans), line=line, extra={WORDS: tuple(places)})


# --- JSON -----------------------------------------------------------------------------------------------------------------


def _record(cells: Mapping[str, Any], line: int, *, labelled: bool) -> Record:
    names = {name.lower(): name for name in cells}

    def cell(candidates: Sequence[str]) -> Any:
        return next((cells[names[c]] for c in candidates if c in names), None)

    own = identifier(cell(("id", "guid", "index")))
    text, words = cell(TEXT), cell(TOKENS)
    placed = isinstance(words, list) and isinstance(text, str) and all(isinstance(word, Mapping) for word in words)
    if isinstance(words, list) and not placed:
        return replace(_tokens(words, cell(TAGS) if labelled else None, line), id=own)
    if not isinstance(text, str):
        raise DataError("there is no text", hint='"text" and "entities", or "tokens" and "tags".')
    entities = cell(ENTITIES) if labelled else None
    if labelled and entities is None and _is_list_of_spans(marked := cell(("label",))):
        entities = marked
    label = None if entities is None else Tagged(_spans(entities, text))
    extra = {WORDS: _places(words, text)} if placed else {}
    return Record(text, label=label, id=own, line=line, extra=extra)


def _tokens(words: Sequence[Any], tags: Any, line: int) -> Record:
    """Return a text of words with a tag each, or without any."""
    if tags is not None and (not isinstance(tags, list) or len(tags) != len(words)):
        raise DataError(
            f"{len(words)} words and {len(tags) if isinstance(tags, list) else 'no'} tags", hint="One each."
        )
    if any(not isinstance(word, str) or not word.strip() for word in words):
        raise DataError("a word is no text", hint='"tokens": ["A", "word"]')
    wrong = [tag for tag in tags or () if not isinstance(tag, str) or parsed_tag(tag) is None]
    if wrong:
        raise DataError(f"{wrong[0]!r} is no tag", hint="Such as O, B-PER or I-PER, as text; numbers have no names.")
    found = _of_words(words, tags or ["O"] * len(words), line)
    return found if tags is not None else replace(found, label=None)


def _places(words: Sequence[Mapping[str, Any]], text: str) -> tuple[tuple[int, int], ...]:
    """Return first and past-the-last character of words as Prodigy writes them, white space left out."""
    places: list[tuple[int, int]] = []
    for word in words:
        start, end = word.get("start"), word.get("end")
        behind = places[-1][1] if places else 0
        if not isinstance(start, int) or not isinstance(end, int) or not behind <= start < end <= len(text):
            raise DataError(
                f"a word is {dict(word)!r:.80}", hint='{"text": "A", "start": 0, "end": 1}, one behind the other.'
            )
        if text[start:end].strip():
            places.append((start, end))
    return tuple(places)


def _is_list_of_spans(value: Any) -> bool:
    """Tell what annotation programs write under ``label`` from the label of a text for another task."""
    return isinstance(value, list) and all(isinstance(one, list | Mapping) for one in value)


def _spans(entities: Any, text: str) -> tuple[Span, ...]:
    if isinstance(entities, str):
        try:
            entities = json_value(entities)
        except ValueError:
            raise DataError(f"the entities are {entities!r:.60}", hint="A JSON list.") from None
    if not isinstance(entities, list):
        raise DataError(f"the entities are {described(entities)}", hint='[{"start": 0, "end": 5, "label": "PER"}]')
    spans = sorted((_span(entity, text) for entity in entities), key=lambda s: (s.start, s.end))
    for one, other in pairwise(spans):
        if other.start < one.end:
            raise DataError(
                f"the entities {text[one.start : one.end]!r} and {text[other.start : other.end]!r} overlap",
                hint="Entities inside others cannot be learnt; keep one.",
            )
    return tuple(spans)


def _span(entity: Any, text: str) -> Span:
    if isinstance(entity, list | tuple) and len(entity) == 3:
        entity = dict(zip(("start", "end", "label"), entity, strict=True))
    fields = entity if isinstance(entity, Mapping) else {}
    kind, start, end = (next((fields[n] for n in names if n in fields), None) for names in (KINDS, STARTS, ENDS))
    if isinstance(kind, list) and len(kind) == 1:
        kind = kind[0]
    if not isinstance(kind, str) or not kind.strip() or not isinstance(start, int) or not isinstance(end, int):
        raise DataError(f"an entity is {entity!r:.80}", hint='{"start": 0, "end": 5, "label": "PER"}')
    if not 0 <= start < end <= len(text) or not text[start:end].strip():
        raise DataError(
            f"an entity lies at {start} to {end} of a text of {len(text)} characters",
            hint="Characters from 0, the end excluded.",
        )
    said = next((fields[name] for name in ("text", "word") if isinstance(fields.get(name), str)), None)
    if said is not None and _letters(said) != _letters(text[start:end]):
        raise DataError(
            f"an entity at {start} to {end} is {text[start:end]!r:.60} in the text, not {said!r:.60}",
            hint="Places count characters, not bytes, from 0; the end is the one behind the last.",
        )
    return Span(*trimmed_span(text, start, end), kind.strip())


def _letters(text: str) -> str:
    """Return a text as far as programs agree on it: without white space and case."""
    return "".join(text.split()).casefold()
