"""Documents with summaries: tables, JSON Lines, and the archive of BBC News Summary.

What is learnt is which sentences belong to the summary. Some data say so; where sentences of the document make up the summary
letter by letter, they are those; otherwise they are chosen greedily, each the one that raises ROUGE-1 plus ROUGE-2 the most, until
none does (Nallapati et al. 2017, "SummaRuNNer", section 3; as sets of words and pairs, as in Liu & Lapata 2019, "Text Summarization
with Pretrained Encoders").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from litebert.errors import DataError, described, nearest
from litebert.tasks.reading.columns import Key
from litebert.tasks.reading.documents import SENTENCES, of_sentences, spans_of
from litebert.tasks.reading.records import Columns, Record, StructuredLabel, identifier
from litebert.tasks.reading.rejected import reject
from litebert.tasks.reading.rows import Row, Table, json_value, open_table
from litebert.tasks.summarize.rouge import ngrams, rouge_words
from litebert.text.sentences import split_sentences

TEXTS = ("text", "document", "article", "body", "content", "story", "dialogue", "passage")
SUMMARIES = ("summary", "highlights", "abstract", "target", "reference", "gold")
CHOSEN = ("extracted", "oracle")
FLAGS = ("labels", "label")
"""Lists under these names have a 0 or 1 for each sentence; under those of ``CHOSEN`` the sentences or their numbers from 0."""
IDS = ("id", "fname", "guid", "index", "idx")

_VERBATIM = 0.9
"""Part of a summary that whole sentences of the document must make up to be taken for those that were extracted."""


@dataclass(frozen=True, slots=True)
class Summary(StructuredLabel):
    """What a good summary of a document is.

    Attributes:
        sentences: Of the reference.
        chosen: Numbers of the document's sentences that are taken for it, ascending; none where the two share nothing.
    """

    sentences: tuple[str, ...]
    chosen: tuple[int, ...]

    @property
    def text(self) -> str:
        """The reference in one piece."""
        return " ".join(self.sentences)


# Which sentences --------------------------------------------------------------------------------------------------------


def summary_of(record: Record, reference: str) -> Summary:
    """Return the label of a document by its reference summary.

    Args:
        record: The document.
        reference: Any text; line ends end its sentences.
    """
    sentences = [record.text[start:end] for start, end in spans_of(record)]
    found = verbatim(sentences, reference)
    if found:
        return Summary(tuple(sentences[i] for i in found), found)
    return Summary(tuple(split_sentences(reference)), oracle(sentences, reference))


def verbatim(sentences: Sequence[str], reference: str) -> tuple[int, ...]:
    """Return the sentences that make up a reference letter by letter, white space apart; none if they make up less than nine tenths.

    Args:
        sentences: Of the document.
        reference: Extracted, perhaps in another order and glued together.
    """
    rest = _dense(reference)
    whole, found = len(rest), []
    for number in sorted(range(len(sentences)), key=lambda i: -len(sentences[i])):
        dense = _dense(sentences[number])
        at = rest.find(dense) if dense else -1
        if at >= 0:
            found.append(number)
            rest = f"{rest[:at]}\n{rest[at + len(dense) :]}"  # what is taken is gone, and its sides do not meet
    left = len(rest) - rest.count("\n")
    return tuple(sorted(found)) if whole and left <= (1 - _VERBATIM) * whole else ()


def _dense(text: str) -> str:
    return re.sub(r"\s+", "", text)


def oracle(sentences: Sequence[str], reference: str) -> tuple[int, ...]:
    """Return the sentences that greedily come nearest to a reference; none where no word is shared.

    Args:
        sentences: Of the document.
        reference: In other words, as a rule.
    """
    gold = [set(ngrams(rouge_words(reference, stemming=False), n)) for n in (1, 2)]
    words = [rouge_words(sentence, stemming=False) for sentence in sentences]
    parts = [[set(ngrams(w, n)) for n in (1, 2)] for w in words]
    covered: list[set[tuple[str, ...]]] = [set(), set()]
    left, chosen, best = set(range(len(sentences))), [], 0.0
    while left:
        values = {i: sum(map(_f1, covered, parts[i], gold)) for i in sorted(left)}
        winner = max(values, key=lambda i: values[i])
        if values[winner] <= best:
            break
        best = values[winner]
        left.remove(winner)
        chosen.append(winner)
        covered = [have | more for have, more in zip(covered, parts[winner], strict=True)]
    return tuple(sorted(chosen))


def _f1(have: set[tuple[str, ...]], more: set[tuple[str, ...]], gold: set[tuple[str, ...]]) -> float:
    new = more - have
    shared = len(have & gold) + len(new & gold)
    return 2 * shared / (len(have) + len(new) + len(gold)) if shared else 0.0


# Files ------------------------------------------------------------------------------------------------------------------


def read_documents(
    path: str | Path, *, columns: Columns | None = None, format: str | None = None, labels_required: bool, warnings: list[str]
) -> list[Record]:  # fmt: skip
    """Read documents with their summaries.

    Args:
        path: JSON Lines, JSON, CSV, TSV, Parquet; plain lines where no summaries are required.
        columns: ``text`` and ``label`` (the summary) where the names do not tell.
        format: Of ``records.FORMATS`` where the file's name does not tell.
        labels_required: Refuse a document without a summary, skip one without text.
        warnings: Receives what was skipped and what cannot be learnt from.

    Returns:
        Records with a ``Summary`` or None as ``label``.

    Raises:
        DataError: No text column, a summary that is none, sentences that do not exist.
    """
    records = list(stream_documents(path, columns=columns, format=format, labelled=True))
    if labels_required:
        empty = [r for r in records if not r.text.strip()]
        if empty:
            told = f"{path}: {len(empty)} of {len(records)} documents have no text and are skipped"
            warnings.append(f"{told} (first: line {empty[0].line})")
        records = [r for r in records if r.text.strip()]
    missing = next((r for r in records if r.label is None), None) if labels_required else None
    if missing is not None:
        raise DataError(
            "a document has no summary", hint="Every one needs one here: --columns text=NAME,label=NAME.", path=path,
            line=missing.line,
        )  # fmt: skip
    if not records:
        raise DataError(f"{path} has no document", hint='{"text": "...", "summary": "..."}', path=path)
    warn_of_labels(records, str(path), warnings)
    return records


def warn_of_labels(records: Sequence[Record], name: str, warnings: list[str]) -> None:
    """Say which summaries teach nothing, and which are longer than what they sum up."""
    labelled = [(r, r.label) for r in records if isinstance(r.label, Summary)]
    strange = [r for r, label in labelled if not label.chosen]
    if strange:
        where = "" if strange[0].line is None else f" (first: line {strange[0].line})"
        told = f"{name}: {len(strange)} of {len(labelled)} documents share nothing with their summaries and are not trained on"
        warnings.append(told + where)
    longer = sum(len(label.text) > len(r.text) for r, label in labelled)
    if longer:
        warnings.append(f"{name}: {longer} of {len(labelled)} summaries are longer than their documents")


def stream_documents(
    path: str | Path, *, columns: Columns | None, format: str | None, labelled: bool
) -> Iterator[Record]:
    """Yield documents one by one, empty ones too; arguments as in ``read_documents``, ``labelled`` reads summaries too."""
    given = columns or Columns()
    keys = given.keys()
    named = not keys or any(isinstance(key, str) for key in keys)
    table = open_table(path, format=format, header=named, columned=bool(keys), peek=0)  # each object has its own keys
    found = False
    for line, row in table.rows:
        try:
            record = _record(_cells(table, row), given, line, labelled=labelled)
        except DataError as error:
            error.path, error.line = table.name, line
            reject(error)
            continue
        found = True
        yield record
    if not found:
        raise DataError(f"{table.name} has no document", hint='{"text": "...", "summary": "..."}', path=path)


def _cells(table: Table, row: Row) -> Mapping[Key, Any]:
    if isinstance(row, Mapping):
        return cast("Mapping[Key, Any]", row)
    names: Sequence[Key] = range(len(row)) if table.names is None else table.names
    return dict(zip(names, row, strict=True))


def _record(cells: Mapping[Key, Any], columns: Columns, line: int, *, labelled: bool) -> Record:
    own_id = identifier(_cell(cells, columns.id, IDS))
    text = _cell(cells, columns.text, TEXTS)
    sentences = _cell(cells, None, (SENTENCES,)) if columns.text is None else None
    given = sentences if isinstance(sentences, list) else text
    if given is None and not _knows(cells, columns.text):
        names = [str(name) for name in cells]
        hint = f"{nearest(str(columns.text or 'text'), names)} Name it: --columns text=NAME,label=NAME."
        raise DataError(f"no text among {', '.join(map(repr, names))}", hint=hint)
    if not isinstance(given, str | list | None):
        raise DataError(f"the text is {described(given)}", hint="A string, or a list of sentences.")
    in_one = given or "" if not isinstance(given, list) else None
    record = Record(in_one) if in_one is not None else _both(given, text, needed=not labelled)
    label = _label(cells, columns, record) if labelled else None
    return replace(record, label=label, id=own_id, line=line)


def _both(sentences: Any, text: Any, *, needed: bool) -> Record:
    """Return a document of given sentences; where it is given in one piece, too, with the places that they have there.

    Args:
        sentences: Of the document.
        text: The document in one piece, if it is text.
        needed: Refuse sentences that are not there: answers tell their places in it.
    """
    record = of_sentences(sentences)
    if not isinstance(text, str):
        return record
    spans, at = [], 0
    for sentence in sentences:
        start = text.find(sentence, at)
        if start < 0:
            if needed:
                raise DataError(
                    f"the sentence {sentence!r:.60} is not in the text, or not behind the one before it",
                    hint='Give "sentences" or "text", not both; places are told in what is given.',
                )
            return record
        at = start + len(sentence)
        spans.append((start, at))
    return replace(record, text=text, extra={**record.extra, SENTENCES: tuple(spans)})


def _knows(cells: Mapping[Key, Any], wanted: Key | None) -> bool:
    names = {str(name).strip().lower() for name in cells}
    return str(wanted).lower() in names if wanted is not None else not names.isdisjoint(TEXTS)


def _cell(cells: Mapping[Key, Any], wanted: Key | None, candidates: Sequence[str]) -> Any:
    if wanted in cells:
        return cells[wanted]  # type: ignore[index]
    names = {str(name).strip().lower(): name for name in cells}
    if wanted is not None:
        return cells[names[str(wanted).lower()]] if str(wanted).lower() in names else None
    return next((cells[names[c]] for c in candidates if c in names and cells[names[c]] is not None), None)


def _label(cells: Mapping[Key, Any], columns: Columns, record: Record) -> Summary | None:
    wanted = columns.label if not isinstance(columns.label, tuple) else columns.label[0]
    chosen, flags = (_listed(_cell(cells, None, names)) if wanted is None else None for names in (CHOSEN, FLAGS))
    reference = _cell(cells, wanted, SUMMARIES)
    if isinstance(reference, list) and all(isinstance(part, str) for part in reference):
        reference = "\n".join(reference)
    if reference is not None and not isinstance(reference, str):
        raise DataError(f"the summary is {described(reference)}", hint="A text, or a list of sentences.")
    taken = chosen if chosen is not None or flags is None else _flagged(flags, record)
    if taken is not None:
        return _given(taken, reference, record)
    return summary_of(record, reference) if reference is not None and reference.strip() else None


def _listed(value: Any) -> list[Any] | None:
    """Return a cell's list, perhaps held as text; None where it is none."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json_value(value)
        except ValueError:
            told = f"the extracted sentences {value!r:.40} are no JSON list"
            raise DataError(told, hint="[0, 3] or [1, 0, 0, 1]") from None
    return value if isinstance(value, list) else None


def _flagged(flags: Sequence[Any], record: Record) -> Sequence[Any]:
    """Return the numbers of the sentences that have a 1; what holds something else than flags as it is."""
    if any(flag not in (0, 1) for flag in flags):
        return flags
    count = len(spans_of(record))
    if len(flags) != count:
        raise DataError(
            f"there are {len(flags)} labels for {count} sentences",
            hint='"labels" has a 0 or 1 for each of "sentences"; numbers of sentences are called "extracted".',
        )
    return [number for number, flag in enumerate(flags) if flag]


def _given(chosen: Sequence[Any], reference: str | None, record: Record) -> Summary:
    """Return the label where the data say which sentences belong to it: their numbers from 0, or the sentences."""
    sentences = [record.text[start:end] for start, end in spans_of(record)]
    if all(isinstance(one, int) and not isinstance(one, bool) for one in chosen):
        numbers = list(chosen)
    else:
        places = {_dense(sentence): i for i, sentence in enumerate(sentences)}
        numbers = [places.get(_dense(str(one)), -1) for one in chosen]
    wrong = next((one for one, n in zip(chosen, numbers, strict=False) if not 0 <= n < len(sentences)), None)
    if wrong is not None:
        raise DataError(
            f"{wrong!r:.60} is none of the document's {len(sentences)} sentences",
            hint='"extracted" has numbers from 0 or the sentences letter by letter; "labels" has a 0 or 1 for each sentence.',
        )
    numbers = sorted(set(numbers))
    own = tuple(sentences[i] for i in numbers)
    return Summary(own if reference is None else tuple(split_sentences(reference)), tuple(numbers))
