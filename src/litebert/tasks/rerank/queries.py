"""Which pairs belong to one query, and what is odd about the queries of a file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litebert.errors import DataError
from litebert.tasks.reading.records import Record


@dataclass(frozen=True)
class QueryCounts:
    """How many queries a set of records has.

    Attributes:
        queries: All.
        without: Have no relevant text.
        only: Have only relevant texts.
        graded: Have both, so that their texts can be put in a right or wrong order.
    """

    queries: int
    without: int
    only: int
    graded: int


def query_of(record: Record) -> Hashable:
    """Return what the records of one query have in common."""
    found: Hashable = record.extra.get("query_id", record.text)
    return found


def by_query(records: Sequence[Record]) -> list[list[int]]:
    """Return the positions of each query's records, queries in the order of their first."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        found[query_of(record)].append(index)
    return list(found.values())


def counted(records: Sequence[Record]) -> QueryCounts:
    """Count queries by what their labels are; records without a label count as not relevant."""
    groups = [[float(str(records[i].label or 0)) for i in group] for group in by_query(records)]
    without = sum(not any(labels) for labels in groups)
    only = sum(all(labels) for labels in groups)
    return QueryCounts(len(groups), without, only, len(groups) - without - only)


def check_ids(records: Sequence[Record], path: str | Path) -> None:
    """Refuse an id that names two queries, or two texts of one.

    Raises:
        DataError: There is one.
    """
    texts: dict[Hashable, Record] = {}
    seen: dict[Hashable, Record] = {}
    for record in records:
        first = texts.setdefault(query_of(record), record)
        if first.text != record.text:
            raise DataError(
                f"the query id {query_of(record)!r} of {record.text!r:.60} is that of {first.text!r:.60}, too",
                hint="An id belongs to one query.", path=path, line=record.line,
            )  # fmt: skip
        if record.id is None:
            continue
        other = seen.setdefault((query_of(record), record.id), record)
        if other is not record:
            raise DataError(
                f"the id {record.id!r} stands twice under the query {record.text!r:.60} (lines {other.line} and {record.line})",
                hint="Ids name the texts of a query; what names the query is called query_id.", path=path, line=record.line,
            )  # fmt: skip


def oddities(records: Sequence[Record], name: str) -> list[str]:
    """Return what is worth telling: texts that stand twice under a query, queries whose texts cannot be put in a right or wrong order.

    Args:
        records: Of a file.
        name: Of the file.
    """
    labels: dict[tuple[Hashable, str | None], Any] = {}
    twice = contradicting = 0
    for record in records:
        first = labels.setdefault((query_of(record), record.pair), record)
        twice += first is not record
        contradicting += first.label != record.label
    found = []
    if twice:
        odd = f", {contradicting} of them with another label" if contradicting else ""
        found.append(f"{name}: {twice} texts stand twice under their query{odd}")
    counts = counted(records)
    if any(record.label is not None for record in records) and counts.queries > counts.graded:
        found.append(
            f"{name}: of {counts.queries} queries {counts.without} have no relevant text and {counts.only} have no other: they take no "
            f"part in the ranking figures, which are those of {counts.graded}"
        )
    return found
