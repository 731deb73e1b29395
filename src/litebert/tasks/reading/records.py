"""Labelled and unlabelled examples out of the files people have.

What a label may be depends on the task: one name, several, or a number. Which column is what is decided in ``columns.py``, and the
files themselves are read in ``rows.py``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from litebert.errors import DataError, UsageError, described, nearest
from litebert.tasks.reading.columns import (
    Columns,
    Key,
    ReadOptions,
    choose_columns,
    column_name,
    parse_columns,
    passed_over,
)
from litebert.tasks.reading.rejected import reject
from litebert.tasks.reading.rows import FORMATS, PEEK, STDIN, Row, Table, content_hash, json_value, open_table

__all__ = [
    "FORMATS",
    "STDIN",
    "Columns",
    "Record",
    "content_hash",
    "iter_records",
    "label_names",
    "parse_columns",
    "read_records",
]


class StructuredLabel:
    """Base of labels that are more than names or a number; a task that has such labels defines them."""

    __slots__ = ()


Label = str | float | tuple[str, ...] | StructuredLabel


@dataclass(frozen=True, slots=True)
class Record:
    """One example.

    Args:
        text: The text, exactly as in the file.
        pair: The second text of a pair.
        label: A name, a number (regression), several names (multi-label), or None when there is none.
        id: The example's own identifier.
        line: Where it starts in the file, counted from 1; in JSON arrays and Parquet the position of the item.
        extra: The other columns, when they were asked for.
    """

    text: str
    pair: str | None = None
    label: Label | None = None
    id: str | int | None = None
    line: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)


def read_records(
    path: str | Path,
    *,
    columns: Columns | None = None,
    format: str | None = None,
    multi_label: bool = False,
    regression: bool = False,
    labels_required: bool = True,
    header: bool | None = None,
    keep_empty: bool = False,
    keep_extra: bool = False,
    warnings: list[str] | None = None,
) -> list[Record]:
    """Read all examples of a file.

    Args:
        path: The file, or ``-`` for standard input (JSON Lines if it begins with ``{``, else plain lines).
        columns: What the columns mean; what is left out is recognised by its name.
        format: One of ``FORMATS`` where the suffix does not tell. A ``.txt`` file with ``columns`` is read as TSV.
        multi_label: Labels are JSON lists, or names separated by ``|`` or ``;``, or one 0/1 column each.
        regression: Labels are finite numbers.
        labels_required: Refuse a row without a label.
        header: Whether the first row names the columns; by default yes unless ``columns`` holds positions.
        keep_empty: Keep rows without text (prediction has to answer each row) instead of skipping them.
        keep_extra: Keep the other columns in ``Record.extra``.
        warnings: Receives a sentence for each kind of thing that was skipped or replaced.

    Returns:
        The records in the file's order.

    Raises:
        DataError: The file is missing, damaged, not UTF-8, ragged, without usable rows, or a value is wrong.
        UsageError: The format or a column cannot be what was asked for.
        MachineError: The compression is not supported here.
    """
    return list(
        iter_records(
            path,
            columns=columns,
            format=format,
            multi_label=multi_label,
            regression=regression,
            labels_required=labels_required,
            header=header,
            keep_empty=keep_empty,
            keep_extra=keep_extra,
            warnings=warnings,
        )
    )


def iter_records(
    path: str | Path,
    *,
    columns: Columns | None = None,
    format: str | None = None,
    multi_label: bool = False,
    regression: bool = False,
    labels_required: bool = True,
    header: bool | None = None,
    keep_empty: bool = False,
    keep_extra: bool = False,
    ignore_labels: bool = False,
    warnings: list[str] | None = None,
) -> Iterator[Record]:
    """Yield the examples of a file one by one; arguments and errors as in :func:`read_records`.

    ``ignore_labels`` leaves a label column unread, whatever it holds.
    """
    columns = columns or Columns()
    if multi_label and regression:
        raise UsageError(
            "labels cannot be several names and a number at once", hint="Choose multi-label or regression."
        )
    if format is not None and format not in FORMATS:
        raise UsageError(f"unknown data format {format!r}", hint=nearest(format, FORMATS))
    options = ReadOptions(
        multi_label=multi_label,
        regression=regression,
        labels_required=labels_required,
        keep_empty=keep_empty,
        keep_extra=keep_extra,
        ignore_labels=ignore_labels,
        header=header,
    )
    return _records(path, format, columns, options, warnings if warnings is not None else [])


def trimmed_span(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a span of a text without the white space at its ends."""
    body = text[start:end]
    return start + len(body) - len(body.lstrip()), end - (len(body) - len(body.rstrip()))


def repeated_ids(records: Iterable[Record], name: str) -> list[str]:
    """Return a warning where an id is that of several records; none otherwise."""
    counts = Counter(record.id for record in records if record.id is not None)
    twice = [identifier for identifier, count in counts.items() if count > 1]
    return [f"{name}: {len(twice)} ids are those of several records (first: {twice[0]!r})"] if twice else []


def count_empty(records: Iterable[Record], path: str | Path, warnings: list[str]) -> Iterator[Record]:
    """Yield records; at the end tell how many have no text, or no second one where there should be one."""
    empty: list[int] = []
    for record in records:
        if not record.text.strip() or (record.pair is not None and not record.pair.strip()):
            empty.append(record.line or 0)
        yield record
    _warn(warnings, str(path), empty, "without text")


def label_names(records: Iterable[Record]) -> list[str]:
    """Return the names of all labels, sorted, numbers by value."""
    names: set[str] = set()
    for record in records:
        if isinstance(record.label, tuple):
            names.update(record.label)
        elif record.label is not None:
            names.add(str(record.label))

    def order(name: str) -> tuple[int, float, str]:
        try:
            number = float(name)
        except ValueError:
            return (1, 0.0, name)
        return (0, number, name) if math.isfinite(number) else (1, 0.0, name)

    return sorted(names, key=order)


# Rows to records ------------------------------------------------------------------------------------------------------


def _records(
    path: str | Path, format: str | None, columns: Columns, options: ReadOptions, warnings: list[str]
) -> Iterator[Record]:
    given = columns.keys()
    header = options.header
    if header is None:
        header = not given or any(isinstance(key, str) for key in given)
    waiting = str(path) == STDIN and options.ignore_labels  # perhaps for the answer to the first object
    table = open_table(path, format=format, header=header, columned=bool(given), peek=1 if waiting else PEEK)
    empty: list[int] = []
    count, places = 0, Columns()
    for line, row, places in _placed(table, columns, options):
        try:
            record = _record(table, row, line, places, options)
        except DataError as error:
            error.path, error.line = table.name, line
            reject(error)
            continue
        if not record.text.strip() or (record.pair is not None and not record.pair.strip()):
            empty.append(line)
            if not options.keep_empty:
                continue
        count += 1
        yield record
    warnings += [f"{table.name}: {told}" for told in passed_over(table, columns, places, options)]
    _warn(warnings, table.name, empty, "without text" if options.keep_empty else "without text skipped")
    warn_mended(warnings, table)
    if not count:
        skipped = f"; {len(empty)} rows have no text" if empty else ""
        raise DataError(f"{table.name} has no usable rows{skipped}", hint="Check the text column.", path=table.name)


def _placed(table: Table, columns: Columns, options: ReadOptions) -> Iterator[tuple[int, Row, Columns]]:
    """Yield rows with the places of what is in them; a second text and an id may be keys of later objects only."""
    places = choose_columns(table, columns, options) if table.width else Columns()
    names = dict.fromkeys(table.names or ())
    for line, row in table.rows:
        if isinstance(row, Mapping) and not names.keys() >= row.keys():
            names.update(dict.fromkeys(row))
            more = choose_columns(replace(table, names=list(names), width=len(names)), columns, options)
            if places.pair is None and more.text == places.text:
                places = replace(places, pair=more.pair)
            places = replace(places, id=more.id if places.id is None else places.id)
        yield line, row, places


def warn_mended(warnings: list[str], table: Table) -> None:
    """Tell which rows of a table held halves of characters; to be called when all are read."""
    told = "with unpaired surrogates (halves of characters), replaced by U+FFFD"
    _warn(warnings, table.name, list(dict.fromkeys(table.mended)), told)


def _warn(warnings: list[str], name: str, lines: list[int], what: str) -> None:
    if lines:
        rows = "1 row" if len(lines) == 1 else f"{len(lines)} rows"
        warnings.append(f"{name}: {rows} {what} (first: line {lines[0]})")


def _record(table: Table, row: Row, line: int, places: Columns, options: ReadOptions) -> Record:
    def cell(key: Key | None) -> Any:
        if key is None:
            return None
        return row.get(str(key)) if isinstance(row, Mapping) else row[int(key)]

    if table.keyed and isinstance(row, Mapping) and places.text not in row:
        raise DataError(f"line {line} of {table.name} has no {places.text!r}", hint=nearest(str(places.text), row))
    where = f"line {line} of {table.name}"
    key = places.label
    label: Label | None
    if isinstance(key, tuple):
        flags = {column_name(table, one): cell(one) for one in key}
        label = tuple(name for name, value in flags.items() if _flag(value, name, where))
    else:
        label = None if key is None else _label(cell(key), where, options)
    if label is None and options.labels_required:
        raise DataError(f"{where} has no label", hint="Every row needs one here.")
    pair = None if places.pair is None else _text(cell(places.pair), where)
    extra = _extra(table, row, places) if options.keep_extra else {}
    return Record(_text(cell(places.text), where), pair, label, identifier(cell(places.id)), line, extra)


def _extra(table: Table, row: Row, places: Columns) -> dict[str, Any]:
    used = set(places.keys())
    if isinstance(row, Mapping):
        return {key: value for key, value in row.items() if key not in used}
    names = table.names or [str(i) for i in range(table.width)]
    return {name: row[i] for i, name in enumerate(names) if i not in used}


def _text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{where}: the text is {described(value)} ({value!r:.40}), not a string", hint="Quote it.")
    return value


def identifier(value: Any) -> str | int | None:
    """Return an id as it is kept: a whole number, else text, whatever type a file gives it."""
    return value if value is None or (isinstance(value, int) and not isinstance(value, bool)) else str(value)


# Labels ---------------------------------------------------------------------------------------------------------------


def _label(value: Any, where: str, options: ReadOptions) -> Label | None:
    if options.multi_label:
        return None if value is None else _several(value, where)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if options.regression:
        return _number(value, where)
    if isinstance(value, float) and math.isnan(value):  # how tables of numbers write "missing"
        return None
    return _name(value, where)


def _name(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():  # a column of integers with gaps comes back as floats
        value = int(value)
    if isinstance(value, int | float):
        return str(value)
    raise DataError(
        f"{where}: the label is {described(value)}, not a name", hint="Several labels a row make a multi-label task."
    )


def _number(value: Any, where: str) -> float:
    text = value.strip() if isinstance(value, str) else value
    try:
        number = float(text) if not isinstance(text, bool) and "_" not in str(text) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: the label {value!r:.60} is not a finite number", hint="Write it like 3.5.")
    return number


def _several(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, str):
        text = value.strip()
        items: Any = re.split(r"[|;]", text)
        if text.startswith("["):
            try:
                items = json_value(text)
            except ValueError:
                raise DataError(f"{where}: the labels {text!r:.60} are not a JSON list", hint='["a", "b"]') from None
    else:
        items = value
    if not isinstance(items, list | tuple):
        raise DataError(f"{where}: the labels are {described(value)}, not a list", hint='["a", "b"] or "a|b".')
    names = (_name(item, where) for item in items if item is not None)
    return tuple(dict.fromkeys(name for name in names if name))


def _flag(value: Any, name: str, where: str) -> bool:
    known = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
    found = known.get(str(value).strip().lower())
    if found is None:
        raise DataError(f"{where}: column {name!r} holds {value!r:.60}, not 0 or 1", hint="One 0/1 column per label.")
    return found
