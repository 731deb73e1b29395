"""Questions with options: RACE, DREAM, and any table or JSON Lines with a question, options and an answer.

An answer is a letter, a number from 0, or the option itself; where these would mean different options, it is refused. The text that a
question is about may be missing.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from litebert.errors import DataError, described, nearest
from litebert.tasks.reading.columns import Columns
from litebert.tasks.reading.records import Record, identifier
from litebert.tasks.reading.rejected import reject
from litebert.tasks.reading.rows import STDIN, json_document, json_value, open_table, text_lines

QUESTIONS = ("question", "query", "stem", "text")
CONTEXTS = ("article", "context", "passage", "dialogue", "document", "text_pair", "pair")
OPTIONS = ("options", "choices", "choice", "candidates")
ANSWERS = ("answer", "label", "answerkey", "gold", "correct")
IDS = ("id", "example_id", "qid", "index")

Answers = Literal["letters", "options", "either"]
"""What answers are first of all: RACE's are letters, DREAM's the options; elsewhere either, unless they differ."""

_PART = re.compile(r"(middle|high)\d+")
"""What the names of RACE's passages begin with."""


def read_choices(
    path: str | Path, *, columns: Columns | None = None, format: str | None = None, labels_required: bool,
    ignore_labels: bool = False,
) -> list[Record]:  # fmt: skip
    """Read questions with options.

    Args:
        path: RACE's objects, DREAM's list, a table or JSON Lines; a folder holds RACE's files, one passage each.
        columns: Names in a table, where they are not the usual ones: ``text`` is the question, ``pair`` what it is about, ``label`` the
            answer.
        format: Of ``records.FORMATS`` where the name does not tell.
        labels_required: Refuse a question without an answer.
        ignore_labels: Leave answers unread, whatever they are.

    Returns:
        Records with the question as ``text``, what it is about as ``pair`` (None without), the number of the right option as ``label``,
        and ``options`` and perhaps ``part`` in ``extra``.

    Raises:
        DataError: No question, fewer than two options, an answer that is none of them, no such column.
    """
    found = iter_choices(
        path, columns=columns, format=format, labels_required=labels_required, ignore_labels=ignore_labels
    )
    return list(found)


def iter_choices(
    path: str | Path, *, columns: Columns | None = None, format: str | None = None, labels_required: bool,
    ignore_labels: bool = False,
) -> Iterator[Record]:  # fmt: skip
    """Yield questions with options one by one; arguments and errors as in ``read_choices``.

    Tables, JSON Lines and the files of a folder are read one after the other, DREAM's list is one object and parsed whole.
    """
    empty = True
    for line, row, name in _objects(path, format):
        try:
            found = _records(row if columns is None else _renamed(row, columns), line, labelled=not ignore_labels)
        except DataError as error:
            error.path, error.line = name, line
            reject(error)
            continue
        missing = next((record for record in found if record.label is None), None) if labels_required else None
        if missing is not None:
            raise DataError(
                "a question has no answer", hint='"answer": "A", 0, or the option.', path=path, line=missing.line
            )
        empty = empty and not found
        yield from found
    if empty:
        raise DataError(f"{path} has no question", hint='{"question": ..., "options": [...], "answer": "A"}', path=path)


def _objects(path: str | Path, format: str | None) -> Iterator[tuple[int, Any, str]]:
    place = Path(path)
    if str(path) != STDIN and place.is_dir():
        files = sorted(place.rglob("*.txt"))
        for file in files:
            yield 1, _json("\n".join(line for _, line in text_lines(file)), file), str(file)
        if not files:
            raise DataError(f"{path} holds no .txt file", hint="RACE has one passage a file.", path=path)
        return
    dialogues = _dialogues(path)
    if dialogues is not None:
        yield from ((number, item, str(path)) for number, item in enumerate(dialogues, start=1))
        return
    table = open_table(path, format=format, header=True, columned=False, peek=0)  # each object is read by its own keys
    for line, row in table.rows:
        yield line, row if isinstance(row, Mapping) else dict(zip(table.names or [], row, strict=True)), str(path)


def _dialogues(path: str | Path) -> list[Any] | None:
    """Return DREAM's items, lists of turns, questions and an id; None for other files."""
    data = json_document(path)
    return data if isinstance(data, list) and data and isinstance(data[0], list) else None


def _json(text: str, path: Path) -> Any:
    try:
        return json_value(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}", hint="RACE has one object a file.", path=path) from None


def _renamed(row: Any, columns: Columns) -> Mapping[str, Any]:
    """Return a row under the usual names."""
    if not isinstance(row, Mapping):
        raise DataError("only a table has columns to name", hint="Leave --columns out.")
    found = dict(row)
    roles = ((columns.text, QUESTIONS), (columns.pair, CONTEXTS), (columns.label, ANSWERS), (columns.id, IDS))
    for key, names in roles:
        if key is None:
            continue
        if key not in row:
            raise DataError(f"there is no column {key!r}", hint=nearest(str(key), row))
        for name in [name for name in found if name.lower() in names]:
            del found[name]
        found[names[0]] = row[cast(str, key)]
    return found


def _records(row: Any, line: int, *, labelled: bool) -> list[Record]:
    if isinstance(row, list):
        told = len(row) == 3 and isinstance(row[0], list) and isinstance(row[1], list)
        if not told or not all(isinstance(question, Mapping) for question in row[1]):
            raise DataError("not DREAM's layout", hint="[[turns], [{question, choice, answer}], id]")
        text = "\n".join(str(turn) for turn in row[0])
        return [
            _record(q, text, f"{row[2]}-{i}", line, labelled=labelled, answers="options") for i, q in enumerate(row[1])
        ]
    if not isinstance(row, Mapping):
        raise DataError(f"an item is {described(row)}", hint="An object.")
    if isinstance(row.get("questions"), list):
        return _race(row, line, labelled=labelled)
    names = {name.lower(): name for name in row}
    own_id = next((row[names[n]] for n in IDS if n in names), None)
    return [_record(row, _cell(row, CONTEXTS), own_id, line, labelled=labelled)]


def _race(row: Mapping[str, Any], line: int, *, labelled: bool) -> list[Record]:
    questions, answers = row["questions"], row.get("answers") if labelled else None
    parallel = []
    for what, found in (("lists of options", row.get("options")), ("answers", answers)):
        if what == "answers" and found is None:
            found = [None] * len(questions)  # noqa: PLW2901 - to be answered
        if not isinstance(found, list) or len(found) != len(questions):
            many = f"{len(found)}" if isinstance(found, list) else "no"
            raise DataError(f"{len(questions)} questions and {many} {what}", hint="One each.")
        parallel.append(found)
    name = str(row.get("id", ""))
    return [
        _record(
            {"question": question, "options": own, "answer": answer},
            row.get("article"), f"{name}-{i}", line, labelled=labelled, answers="letters",
        )
        for i, (question, own, answer) in enumerate(zip(questions, *parallel, strict=True))
    ]  # fmt: skip


def _cell(row: Mapping[str, Any], candidates: Sequence[str]) -> Any:
    names = {name.lower(): name for name in row}
    return next((row[names[c]] for c in candidates if c in names), None)


def _record(
    row: Mapping[str, Any], context: Any, own_id: Any, line: int, *, labelled: bool, answers: Answers = "either"
) -> Record:
    question, (options, names) = _cell(row, QUESTIONS), _options(row)
    if isinstance(question, Mapping):  # ARC as published: {"stem": ..., "choices": [...]}
        question, (options, names) = _cell(question, QUESTIONS), _options(question)
    if not isinstance(question, str) or not (context is None or isinstance(context, str)):
        raise DataError("a question or what it is about is no text", hint='{"question": "...", "article": "..."}')
    if len(options) < 2:
        raise DataError(f"the question {question!r:.60} has {len(options)} options", hint="At least two texts.")
    empty = next(
        (n for n, option in enumerate(options, start=1) if not isinstance(option, str) or not option.strip()), 0
    )
    if empty:
        raise DataError(
            f"option {empty} of the question {question!r:.60} is no text",
            hint="Fewer options are fine; empty ones are not.",
        )
    answer, part = _cell(row, ANSWERS) if labelled else None, _PART.match(str(own_id))
    meant: Answers = "letters" if part else answers
    missing = answer is None or answer == "" or answer != answer  # noqa: PLR0124 - NaN, as tables of numbers write it
    label = None if missing else str(_number(answer, options, names, question, meant))
    extra: dict[str, Any] = {"options": tuple(options)} | ({"part": part[1]} if part else {})
    return Record(question, context or None, label, identifier(own_id), line, extra)


def _options(row: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    """Return the options, and their names where the data say them.

    They are a list, ARC's texts and labels in either of its layouts, a list as text, or columns A, B, C, ..., the last of which
    may be empty.
    """
    found = _cell(row, OPTIONS)
    if isinstance(found, str):
        try:
            found = json_value(found)
        except ValueError:
            found = [part.strip() for part in found.split("|")]
    if isinstance(found, list) and found and all(isinstance(one, Mapping) for one in found):
        found = {key: [one.get(key) for one in found] for key in ("text", "label")}
    if isinstance(found, Mapping):
        texts, names = (value if isinstance(value, list) else [] for value in (found.get("text"), found.get("label")))
        return texts, [str(name) for name in names] if len(names) == len(texts) and None not in names else []
    if found is None:
        columns = {name.upper(): name for name in row}
        found = [row[columns[x]] for x in string.ascii_uppercase if x in columns]
        while found and (found[-1] is None or found[-1] == ""):
            found.pop()
    return list(found) if isinstance(found, list | tuple) else [], []


def _number(answer: Any, options: Sequence[str], names: Sequence[str], question: str, answers: Answers) -> int:
    if isinstance(answer, bool) or (isinstance(answer, float) and answer.is_integer()):  # as tables with gaps have 1
        answer = int(answer)
    text = str(answer).strip()
    if text in names:
        return list(names).index(text)
    place = _place(text, len(options))
    itself = _same(answer, options) if isinstance(answer, str) else None
    if answers == "either" and itself is not None and place is not None and itself != place:
        raise DataError(
            f"the answer {answer!r} of {question!r:.60} is option {itself + 1} as a text and option {place + 1} as a place",
            hint='Give the options names, and answer by them: "choices": {"text": [...], "label": ["A", "B"]}.',
        )
    found = (place, itself) if answers == "letters" else (itself, place)
    for number in found:
        if number is not None:
            return number
    raise DataError(
        f"the answer {answer!r:.40} of {question!r:.60} is none of its {len(options)} options",
        hint="A letter, a number from 0, or the option itself.",
    )


def _same(answer: str, options: Sequence[str]) -> int | None:
    """Return the option that an answer is, letter by letter or but for white space at the ends; None where it is none."""
    alike = [number for number, option in enumerate(options) if option.strip() == answer.strip()]
    return min(alike, key=lambda number: options[number] != answer, default=None)


def _place(text: str, count: int) -> int | None:
    """Return which of some options a letter or a number from 0 means; None where it is neither."""
    if len(text) == 1 and text.upper() in string.ascii_uppercase[:count]:
        return string.ascii_uppercase.index(text.upper())
    return int(text) if text.isdecimal() and int(text) < count else None
