"""Questions over a passage with their answers: SQuAD's official JSON, and tables with a question, a context and answers.

The official layout is ``{"data": [{"paragraphs": [{"context", "qas": [{"id", "question", "answers", "is_impossible"}]}]}]}``, of
SQuAD 1.1, 2.0 and all data sets that follow it (XQuAD). A table has one question a row: the answers as ``{"text": [...],
"answer_start": [...]}``, as a list of ``{"text", "answer_start"}``, or as one text with or without an ``answer_start`` column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from litebert.errors import DataError, described, nearest
from litebert.tasks.reading.columns import Columns
from litebert.tasks.reading.records import Record, StructuredLabel, identifier
from litebert.tasks.reading.rejected import reject
from litebert.tasks.reading.rows import PEEK, STDIN, Table, json_document, json_value, open_table

QUESTIONS = ("question", "query", "text")
CONTEXTS = ("context", "passage", "paragraph", "document", "text_pair", "pair")
ANSWERS = ("answers", "answer", "answer_text", "label")
STARTS = ("answer_start", "start")
IDS = ("id", "qid", "question_id", "guid", "index")
IMPOSSIBLE = ("is_impossible", "impossible")


@dataclass(frozen=True, slots=True)
class Gold(StructuredLabel):
    """The right answers of a question.

    Attributes:
        texts: Each as it stands in the context; none where the context has no answer.
        starts: First character of each.
        elsewhere: Further right answers that are not in the context; they count where answers are scored, and only there.
    """

    texts: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()
    elsewhere: tuple[str, ...] = ()


@dataclass
class _Report:
    """What was found wrong, to be told once."""

    moved: int = 0
    lost: int = 0
    elsewhere: int = 0
    first_lost: str = ""
    answered: int = 0


def read_questions(
    path: str | Path, *, columns: Columns | None = None, format: str | None = None, labels_required: bool, warnings: list[str]
) -> list[Record]:  # fmt: skip
    """Read questions.

    Args:
        path: Official JSON, or a table, packed or not.
        columns: Of a table: ``text`` is the question, ``pair`` the context, ``label`` the answers.
        format: Of a table whose name does not tell.
        labels_required: Refuse a question without answers that is not said to be unanswerable.
        warnings: Receives what is worth telling: answers that stood elsewhere, answers that are not in their context.

    Returns:
        Records with the question as ``text``, the context as ``pair``, a ``Gold`` or None as ``label``.

    Raises:
        DataError: No such layout, an id twice, a question without answers, most answers not in their contexts.
    """
    report = _Report()
    records: list[Record] = []
    seen: dict[Any, int] = {}
    source = _official(path) or _rows(path, columns, format, labels_required=labels_required)
    for number, raw in enumerate(source, start=1):
        record = _record(raw, number, path, report, labels_required=labels_required)
        _check_id(record, number, seen, path)
        records.append(record)
    if not records:
        raise _none(path)
    _tell(report, len(records), path, warnings)
    return records


def iter_questions(path: str | Path, *, columns: Columns | None = None, format: str | None = None) -> Iterator[Record]:
    """Yield questions to be answered one by one, whatever answers they have; arguments and errors as in ``read_questions``.

    A table is read row by row, and which ids it had is not remembered; an official file is one object, and parsed whole.
    """
    seen: dict[Any, int] | None = {} if (official := _official(path)) is not None else None
    source = official if official is not None else _rows(path, columns, format, labels_required=False)
    number = 0
    for number, raw in enumerate(source, start=1):
        try:
            record = _record(
                replace(raw, answers=None, impossible=False), number, path, _Report(), labels_required=False
            )
        except DataError as error:
            reject(error)
            continue
        if seen is not None:
            _check_id(record, number, seen, path)
        yield record
    if not number:
        raise _none(path)


def _none(path: str | Path) -> DataError:
    return DataError(f"{path} has no question", hint="Expected SQuAD's JSON or a table of questions.", path=path)


def _check_id(record: Record, number: int, seen: dict[Any, int], path: str | Path) -> None:
    if record.id is not None and seen.setdefault(record.id, number) != number:
        raise DataError(
            f"the id {record.id!r} of question {number} is that of question {seen[record.id]}, too",
            hint="Ids name questions; leave the column out if they do not.", path=path, line=record.line,
        )  # fmt: skip


@dataclass(frozen=True)
class _Raw:
    question: Any
    context: Any
    answers: Any  # None: none given
    id: Any
    line: int | None
    impossible: bool = False


def _record(raw: _Raw, number: int, path: str | Path, report: _Report, *, labels_required: bool) -> Record:
    where = f"question {number}" if raw.id is None else f"question {raw.id!r}"
    for what, value in (("question", raw.question), ("context", raw.context)):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{where} has no {what}", hint="Both must be text.", path=path, line=raw.line)
    label = None
    if raw.impossible:
        report.answered += isinstance(raw.answers, list | Mapping) and bool(_pairs(raw.answers, where, path, raw.line))
        label = Gold()
    elif raw.answers is not None:
        label = _gold(raw.answers, raw.context, where, path, raw.line, report)
    elif labels_required:
        raise DataError(
            f"{where} has no answers", hint='One without an answer says so: "answers": [].', path=path, line=raw.line
        )
    return Record(text=raw.question, pair=raw.context, label=label, id=identifier(raw.id), line=raw.line)


def _gold(answers: Any, context: str, where: str, path: str | Path, line: int | None, report: _Report) -> Gold | None:
    pairs = _pairs(answers, where, path, line)
    found = [(text, located(context, text, start)) for text, start in pairs]
    kept = [(text, place) for text, place in found if place is not None]
    report.moved += sum(
        place is not None and start is not None and place != start
        for (_, start), (_, place) in zip(pairs, found, strict=True)
    )
    if pairs and not kept:
        report.lost += 1
        report.first_lost = report.first_lost or where
        return None
    elsewhere = tuple(text for text, place in found if place is None)
    report.elsewhere += len(elsewhere)
    return Gold(tuple(text for text, _ in kept), tuple(place for _, place in kept), elsewhere)


def _pairs(answers: Any, where: str, path: str | Path, line: int | None) -> list[tuple[str, int | None]]:
    """Return texts and the first characters they are said to have, from any of the layouts."""
    if isinstance(answers, Mapping):
        texts, starts = answers.get("text"), answers.get("answer_start")
        if isinstance(texts, str):
            texts, starts = [texts], starts if isinstance(starts, list) else [starts]
        texts = texts or []
        many = len(texts) if isinstance(texts, list) else 0
        starts = starts or [None] * many
        if not isinstance(texts, list) or not isinstance(starts, list) or many != len(starts):
            raise DataError(
                f"{where} does not have one answer_start for each text", hint='{"text": ["..."], "answer_start": [12]}',
                path=path, line=line,
            )  # fmt: skip
        answers = [{"text": t, "answer_start": s} for t, s in zip(texts, starts, strict=True)]
    items = [{"text": answers}] if isinstance(answers, str) else answers
    if not isinstance(items, list | tuple):
        raise DataError(f"the answers of {where} are {described(answers)}", hint="A list.", path=path, line=line)
    found: list[tuple[str, int | None]] = []
    for item in items:
        given = item if isinstance(item, Mapping) else {"text": item}
        text, start = given.get("text"), _whole(given.get("answer_start"))
        if not isinstance(text, str) or not (start is None or isinstance(start, int)):
            raise DataError(
                f"an answer of {where} is {item!r:.80}",
                hint='{"text": "...", "answer_start": 12}',
                path=path,
                line=line,
            )
        if text.strip():
            found.append((text, start))
    return found


def _whole(value: Any) -> Any:
    """Return 12 for 12.0, as tables of numbers with gaps have it; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def located(context: str, text: str, start: int | None) -> int | None:
    """Return where an answer stands: as said, else its occurrence nearest to that, whole words first; None if it does not occur.

    Args:
        context: The passage.
        text: The answer.
        start: Its first character as the data say; None if they do not.
    """
    said = 0 if start is None else start
    if start is not None and said >= 0 and context.startswith(text, said):
        return said
    places = []
    at = context.find(text)
    while at >= 0:
        places.append(at)
        at = context.find(text, at + 1)
    return min(places, key=lambda at: (_cuts_words(context, at, at + len(text)), abs(at - said)), default=None)


def _cuts_words(context: str, start: int, end: int) -> bool:
    """Return whether a part of a text begins or ends between two letters or digits."""
    return any(
        0 < edge < len(context) and context[edge - 1].isalnum() and context[edge].isalnum() for edge in (start, end)
    )


def _tell(report: _Report, count: int, path: str | Path, warnings: list[str]) -> None:
    if report.lost > count // 2:
        raise DataError(
            f"{report.lost} of {count} questions have answers that are not in their context, the first {report.first_lost}",
            hint="An answer must be a part of the context, letter by letter.", path=path,
        )  # fmt: skip
    name = Path(path).name
    if report.lost:
        warnings.append(
            f"{name}: {report.lost} questions left without a label, their answers are not in the context ({report.first_lost})"
        )
    if report.elsewhere:
        warnings.append(
            f"{name}: {report.elsewhere} answers are not in their context, others of their questions are; they count in scores only"
        )
    if report.answered:
        warnings.append(
            f"{name}: {report.answered} questions are said to be impossible and have answers; they count as without one"
        )
    if report.moved:
        warnings.append(
            f"{name}: {report.moved} answers stand elsewhere in their context than said; the nearest is taken"
        )


# --- Layouts ------------------------------------------------------------------------------------------------------------


def _official(path: str | Path) -> Iterator[_Raw] | None:
    """Return the questions of an official file; None if it is no JSON of that layout."""
    data = json_document(path)
    return _paragraphs(data["data"], path) if isinstance(data, dict) and isinstance(data.get("data"), list) else None


def _paragraphs(articles: Sequence[Any], path: str | Path) -> Iterator[_Raw]:
    try:
        for article in articles:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    yield _Raw(
                        question["question"], paragraph["context"], question.get("answers"), question.get("id"), None,
                        bool(question.get("is_impossible", False)),
                    )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"not SQuAD's layout: {type(error).__name__} {error}",
            hint="data, paragraphs, qas, question, id.",
            path=path,
        ) from error


@dataclass(frozen=True)
class _Places:
    """Names of a table's columns; None for one that is not there."""

    question: str | None
    context: str | None
    answers: str | None
    start: str | None
    id: str | None
    impossible: str | None


def _rows(path: str | Path, columns: Columns | None, format: str | None, *, labels_required: bool) -> Iterator[_Raw]:
    given = columns or Columns()
    named = given.keys()
    by_position = any(isinstance(key, int) for key in named)
    peek = 1 if str(path) == STDIN else PEEK  # who writes one question may be waiting for its answer
    table = open_table(path, format=format, header=not by_position, columned=bool(named), peek=peek)
    there = table.names or [str(position) for position in range(table.width if by_position else 0)]
    if len(there) < 2:
        raise DataError(
            f"{table.name} has one column, and a question needs a context",
            hint='Give JSON Lines: {"question": ..., "context": ...}, or CSV with those columns.', path=table.name,
        )  # fmt: skip
    yield from _cells(table, there, _places(there, given, path, labels_required=labels_required))


def _cells(table: Table, there: list[str], places: _Places) -> Iterator[_Raw]:
    known = set(there)
    for line, row in table.rows:
        if isinstance(row, Mapping) and not known.issuperset(row):  # what is optional may come later
            known.update(row)
            more = _places(list(row), Columns(), table.name, labels_required=False, needed=False)
            places = replace(places, **{name: one for name, one in vars(more).items() if vars(places)[name] is None})
        cell = row if isinstance(row, Mapping) else dict(zip(there, row, strict=True))
        value = _answers(cell.get(str(places.answers)), cell.get(places.start) if places.start else None)
        impossible = _truth(cell.get(places.impossible)) if places.impossible else False
        question, context = cell.get(str(places.question)), cell.get(str(places.context))
        yield _Raw(question, context, value, cell.get(str(places.id)), line, impossible)


def _places(
    there: Sequence[str], given: Columns, path: str | Path, *, labels_required: bool, needed: bool = True
) -> _Places:
    names = {name.strip().lower(): name for name in reversed(there)}

    def column(wanted: Any, candidates: Sequence[str], what: str, *, needed: bool) -> str | None:
        if wanted is not None and str(wanted) not in there:
            raise DataError(f"there is no column {wanted!r}", hint=nearest(str(wanted), there), path=path)
        found = str(wanted) if wanted is not None else next((names[c] for c in candidates if c in names), None)
        if found is None and needed:
            raise DataError(
                f"no column recognised as {what}; there are {', '.join(there)}",
                hint="Name it: --columns text=QUESTION,pair=CONTEXT,label=ANSWERS", path=path, line=1,
            )  # fmt: skip
        return found

    return _Places(
        question=column(given.text, QUESTIONS, "the question", needed=needed),
        context=column(given.pair, CONTEXTS, "the context", needed=needed),
        answers=column(given.label, ANSWERS, "the answers", needed=labels_required),
        start=column(None, STARTS, "the first character", needed=False),
        id=column(given.id, IDS, "the id", needed=False),
        impossible=column(None, IMPOSSIBLE, "what has no answer", needed=False),
    )


def _answers(value: Any, start: Any) -> Any:
    """Return a cell's answers: a list or an object that a table without types holds as text, else one text."""
    if isinstance(value, str) and value.strip().startswith(("{", "[")):
        try:
            found = json_value(value)
        except ValueError:
            found = None
        items = found if isinstance(found, list) else [found]
        if all(isinstance(item, str) or (isinstance(item, Mapping) and "text" in item) for item in items):
            return _with_starts(found, start)  # else it only looks like JSON, as the answer [12] does
    if isinstance(value, str):
        return [{"text": value, "answer_start": _place(start)}] if value.strip() else []
    return _with_starts(value, start)


def _with_starts(answers: Any, start: Any) -> Any:
    """Return answers of which another column says where they begin as the official layout has them; others as they are."""
    if isinstance(start, str):
        try:
            start = json_value(start)
        except ValueError:
            start = None
    texts = isinstance(answers, list) and bool(answers) and all(isinstance(one, str) for one in answers)
    if not texts or start is None:
        return answers
    return {"text": answers, "answer_start": start if isinstance(start, list) else [start]}


def _truth(cell: Any) -> bool:
    """Return what a cell says of true and false; an empty one says false."""
    return str(cell).strip().lower() in ("true", "1", "1.0", "yes")


def _place(cell: Any) -> Any:
    """Return the number a cell holds; None for an empty one, anything else as it is, to be refused."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return cell
    return _whole(number) if math.isfinite(number) else None  # how tables of numbers write "missing"
