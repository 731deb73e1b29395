"""Queries with texts that answer them more or less: tables of pairs, objects with a query's texts, WikiQA's three columns.

A pair is a record: the query as ``text``, the text as ``pair``, its relevance as ``label``, a number from 0 (not relevant) upwards.
Records of one query belong together by its ``query_id``, or by its letters where there is none. Plain text has no header: query, text
and label between tabs, as WikiQA and TREC-QA are passed around.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from litebert.errors import DataError, described, nearest
from litebert.tasks.reading.columns import Columns
from litebert.tasks.reading.records import Record
from litebert.tasks.reading.rejected import reject
from litebert.tasks.reading.rows import STDIN, Table, format_of, open_table
from litebert.tasks.rerank.queries import check_ids, oddities

QUERIES = ("query", "question", "sentence1", "question1", "text1", "text_a", "anchor", "text")
TEXTS: tuple[str, ...] = (
    "text",
    "passage",
    "document",
    "sentence",
    "answer",
    "candidate",
    "text_pair",
    "pair",
    "sentence2",
)
TEXTS += ("question2", "text2", "text_b", "doc", "content")
LABELS = ("label", "relevance", "rel", "grade", "is_duplicate", "is_selected", "gold", "target", "score")
QUERY_IDS = ("query_id", "qid", "question_id", "questionid", "query-id", "queryid")
IDS = ("id", "pair_id", "doc_id", "docid", "document_id", "passage_id", "pid", "sentence_id", "sentenceid", "corpus-id")

POSITIVES = ("positives", "positive", "pos", "positive_passages")
NEGATIVES = ("negatives", "negative", "neg", "negative_passages", "hard_negatives")
CANDIDATES = ("candidates", "texts", "passages", "documents", "docs")
GROUPS = (("positives", POSITIVES), ("negatives", NEGATIVES), ("candidates", CANDIDATES))
GROUP_LABELS = ("labels", "label", "relevances", "grades")

UNORDERED = "unordered"
"""In ``Record.extra``: the texts of this query stand in no order that means something, such as the relevant ones first."""


def read_pairs(
    path: str | Path, *, columns: Columns | None = None, format: str | None = None, labels_required: bool,
    warnings: list[str],
) -> list[Record]:  # fmt: skip
    """Read queries with texts.

    Args:
        path: A table with a query, a text and a label a row; objects with a query and its ``positives`` and ``negatives``, or its
            ``candidates`` and ``labels``; plain text of two or three columns.
        columns: Of a table: ``text`` is the query, ``pair`` the text.
        format: Of ``rows.FORMATS`` where the name does not tell.
        labels_required: Refuse a pair without a label.
        warnings: Receives the counts of queries, and what is odd.

    Returns:
        Records in the file's order, with ``query_id`` in ``extra`` where there is one.

    Raises:
        DataError: No such layout, a label that is no number, a query twice with one id, an id twice under a query.
    """
    empty: list[int] = []
    records = list(iter_pairs(path, columns=columns, format=format, labels_required=labels_required, empty=empty))
    if not records:
        raise DataError(f"{path} has no pair of a query and a text", hint='{"query": ..., "text": ...}', path=path)
    if empty:
        warnings.append(
            f"{Path(path).name}: {len(empty)} rows without a query or a text skipped (first: line {empty[0]})"
        )
    check_ids(records, path)
    warnings += oddities(records, Path(path).name)
    return records


def iter_pairs(
    path: str | Path, *, columns: Columns | None = None, format: str | None = None, labels_required: bool = False,
    ignore_labels: bool = False, empty: list[int] | None = None,
) -> Iterator[Record]:  # fmt: skip
    """Yield pairs one by one; arguments as in ``read_pairs``.

    Args:
        path: A file.
        columns: Of a table.
        format: Where the name does not tell.
        labels_required: Refuse a pair without a label.
        ignore_labels: Leave labels unread, whatever they are.
        empty: Receives the lines without a query or a text, which are left out then; None keeps them.
    """
    layout = _layout(path, columns or Columns(), format, labels_required=labels_required, ignore_labels=ignore_labels)
    for line, row in layout.rows:
        try:
            records = list(layout.records(row, line))
        except DataError as error:
            error.path, error.line = layout.name, line
            reject(error)
            continue
        for record in records:
            if empty is not None and not (record.text.strip() and (record.pair or "").strip()):
                empty.append(line)
                continue
            yield record


# --- Layouts ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """Rows, and which of their cells is what."""

    name: str
    rows: Iterable[tuple[int, Mapping[str, Any]]]
    query: str
    text: str | None
    label: str | None
    query_id: str | None
    id: str | None
    grouped: bool  # a row may hold all texts of its query
    labelled: bool
    labels_required: bool

    def records(self, row: Mapping[str, Any], line: int) -> Iterator[Record]:
        query = _text(row.get(self.query), "query")
        names = {name.strip().lower(): name for name in reversed(list(row))}
        found = _groups(row, names) if self.grouped else {}
        key = self._cell(row, self.query_id or _first(names, QUERY_IDS))
        own = self._cell(row, self.id or _first(names, IDS))
        if found:
            key = own if key is None else key
            yield from self._of_group(found, query, key, line)
            return
        texts = [name for name in TEXTS if names.get(name) != self.query]
        of_text, of_label = self.text or _first(names, texts), self.label or _first(names, LABELS)
        label = relevance(row.get(str(of_label))) if self.labelled else None
        yield self._record(query, row.get(str(of_text)), label, own, line, {} if key is None else {"query_id": key})

    def _of_group(self, found: Mapping[str, Any], query: str, key: Any, line: int) -> Iterator[Record]:
        extra: dict[str, Any] = {UNORDERED: True} if "candidates" not in found else {}
        extra |= {} if key is None else {"query_id": key}
        for number, (text, label) in enumerate(self._candidates(found)):
            yield self._record(query, text, label, None if key is None else f"{key}-{number}", line, extra)

    def _candidates(self, found: Mapping[str, Any]) -> Iterator[tuple[Any, float | None]]:
        for kind, label in (("positives", 1.0), ("negatives", 0.0)):
            yield from ((text, label if self.labelled else None) for text in _listed(found.get(kind)))
        texts = _listed(found.get("candidates"))
        labels = _listed(found["labels"]) if "labels" in found else [None] * len(texts)
        if self.labelled and len(labels) != len(texts):
            raise DataError(f"a query has {len(texts)} candidates and {len(labels)} labels", hint="One each.")
        for number, text in enumerate(texts):
            inner = text if isinstance(text, Mapping) else {}
            value = next((inner[name] for name in LABELS if name in inner), labels[number] if self.labelled else None)
            yield text, relevance(value) if self.labelled else None

    def _record(
        self, query: str, text: Any, label: float | None, key: Any, line: int, extra: Mapping[str, Any]
    ) -> Record:
        if isinstance(text, Mapping):
            text = next((text[name] for name in TEXTS if name in text), None)
        if label is None and self.labels_required:
            raise DataError("a pair has no label", hint='"label": 0 (not relevant), 1, or a higher grade.')
        return Record(query, _text(text, "text"), label, key, line, extra)

    @staticmethod
    def _cell(row: Mapping[str, Any], key: str | None) -> Any:
        value = None if key is None else row.get(key)
        return value if value is None or (isinstance(value, int) and not isinstance(value, bool)) else str(value)


def _layout(
    path: str | Path, given: Columns, format: str | None, *, labels_required: bool, ignore_labels: bool
) -> _Layout:
    place = Path(path)
    if str(path) != STDIN and place.is_dir():
        raise DataError(f"{path} is a folder", hint="Name one file in it.", path=path)
    kind = format or format_of(path)
    by_position = any(isinstance(key, int) for key in given.keys())  # noqa: SIM118 - a method of Columns
    headless = by_position or kind in ("lines", None)
    table = open_table(path, format="tsv" if kind == "lines" else kind, header=not headless, columned=True)
    table, names = _named(table, by_position=by_position)
    lower = {name.strip().lower(): name for name in reversed(names)}

    def column(wanted: Any, candidates: Sequence[str], what: str | None = None) -> str | None:
        if wanted is not None and str(wanted) not in names:
            raise DataError(f"there is no column {wanted!r}", hint=nearest(str(wanted), names), path=path, line=1)
        found = str(wanted) if wanted is not None else _first(lower, candidates)
        if found is None and what is not None:
            raise DataError(
                f"{table.name} has no column recognised as {what}; there are {', '.join(names) or '(none)'}",
                hint="Name it: --columns text=QUERY,pair=TEXT,label=LABEL; or text=0,pair=1,label=2 without a header.",
                path=path, line=1,
            )  # fmt: skip
        return found

    groupable = given.pair is None and table.keyed
    there = groupable and any(name in lower for _, usual in GROUPS for name in usual)
    query = column(given.text, QUERIES, "the query")
    text = column(given.pair, [t for t in TEXTS if lower.get(t) != query], None if there else "the text")
    need = "the label" if labels_required and not there else None
    label = None if ignore_labels else column(given.label, LABELS, need)
    rows = ((n, row if isinstance(row, Mapping) else dict(zip(names, row, strict=True))) for n, row in table.rows)
    key, of_query = column(given.id, IDS), column(None, QUERY_IDS)
    return _Layout(
        table.name, rows, str(query), text, label, of_query, key, groupable, not ignore_labels, labels_required
    )


def _named(table: Table, *, by_position: bool) -> tuple[Table, list[str]]:
    """Return a table with names of its columns: its own, positions, or query, text and label."""
    if table.names is not None and (table.keyed or not by_position):
        return table, table.names
    if by_position:
        return table, [str(position) for position in range(table.width)]
    first = next(table.rows, None)
    cells = [] if first is None else [str(cell) for cell in first[1]]
    lower = {cell.strip().lower() for cell in cells}
    if lower & set(QUERIES) and lower & set(TEXTS):
        return table, cells
    if table.width not in (2, 3):
        raise DataError(
            f"{table.name} has {table.width} columns, and neither a header nor query, text and label",
            hint='Give JSON Lines: {"query": ..., "text": ...}, or a query and a text with a tab between.', path=table.name,
            line=1,
        )  # fmt: skip
    rows = chain([first] if first is not None else [], table.rows)
    return Table(table.name, None, table.width, False, rows), ["query", "text", "label"][: table.width]


def _first(names: Mapping[str, str], candidates: Sequence[str]) -> str | None:
    return next((names[name] for name in candidates if name in names), None)


def _groups(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return what a row holds of all texts of its query, by kind, and the labels of candidates; nothing where it is a pair."""
    found: dict[str, Any] = {}
    for kind, usual in (*GROUPS, ("labels", GROUP_LABELS)):
        held = [row[names[name]] for name in usual if name in names and row[names[name]] is not None]
        found |= {kind: held[0]} if held else {}
    if "candidates" not in found:
        found.pop("labels", None)
    return found


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _text(value: Any, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"the {what} is {described(value)} ({value!r:.40}), not a string", hint="Quote it.")
    return value


def relevance(value: Any) -> float | None:
    """Read a label: a number from 0 upwards, yes or no as JSON has them; None where there is none.

    Raises:
        DataError: It is something else.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number < 0 or "_" in str(value):
        raise DataError(
            f"the label {value!r:.60} is no number from 0 upwards", hint="0 (not relevant), 1, or higher grades."
        )
    return number
