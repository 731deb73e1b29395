"""Questions over a passage with their answers: SQuAD's official JSON, and tables with a question, a context and answers.

The official layout is ``{"data": [{"paragraphs": [{"context", "qas": [{"id", "question", "answers", "is_impossible"}]}]}]}``, of
SQuAD 1.1, 2.0 and all data sets that follow it (XQuAD). A table has one question a row: the answers as ``{"text": [...],
"answer_start": [...]}``, as a list of ``{"text", "answer_start"}``, or as one text with or without an ``answer_start`` column.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litebert.errors import DataError, nearest
from litebert.tasks.reading.columns import Columns
from litebert.tasks.reading.records import Record, StructuredLabel
from litebert.tasks.reading.rows import STDIN, open_table, text_lines

QUESTIONS = ("question", "query", "text")
CONTEXTS = ("context", "passage", "paragraph", "document", "text_pair", "pair")
ANSWERS = ("answers", "answer", "answer_text", "label")
STARTS = ("answer_start", "start")
IDS = ("id", "qid", "question_id", "guid", "index")


@dataclass(frozen=True, slots=True)
class Gold(StructuredLabel):
    """The right answers of a question.

    Attributes:
        texts: Each as it stands in the context; none where the context has no answer.
        starts: First character of each.
    """

    texts: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()


@dataclass
class _Report:
    """What was found wrong, to be told once."""

    moved: int = 0
    lost: int = 0
    first_lost: str = ""


def read_questions(
    path: str | Path, *, columns: Columns | None = None, format: str | None = None, labels_required: bool,
    warnings: list[str],
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
        if record.id is not None and seen.setdefault(record.id, number) != number:
            raise DataError(
                f"the id {record.id!r} of question {number} is that of question {seen[record.id]}, too",
                hint="Ids name questions; leave the column out if they do not.", path=path, line=record.line,
            )  # fmt: skip
        records.append(record)
    if not records:
        raise DataError(f"{path} has no question", hint="Expected SQuAD's JSON or a table of questions.", path=path)
    _tell(report, len(records), path, warnings)
    return records


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
        label = Gold()
    elif raw.answers is not None:
        label = _gold(raw.answers, raw.context, where, path, raw.line, report)
    elif labels_required:
        raise DataError(
            f"{where} has no answers", hint='One without an answer says so: "answers": [].', path=path, line=raw.line
        )
    return Record(text=raw.question, pair=raw.context, label=label, id=raw.id, line=raw.line)


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
    return Gold(tuple(text for text, _ in kept), tuple(place for _, place in kept))


def _pairs(answers: Any, where: str, path: str | Path, line: int | None) -> list[tuple[str, int | None]]:
    """Return texts and the first characters they are said to have, from any of the layouts."""
    if isinstance(answers, Mapping):
        texts, starts = answers.get("text"), answers.get("answer_start")
        if isinstance(texts, str):
            texts, starts = [texts], [starts]
        answers = [
            {"text": t, "answer_start": s}
            for t, s in zip(texts or [], starts or [None] * len(texts or []), strict=False)
        ]
    items = [{"text": answers}] if isinstance(answers, str) else answers
    if not isinstance(items, list | tuple):
        raise DataError(f"the answers of {where} are a {type(answers).__name__}", hint="A list.", path=path, line=line)
    found: list[tuple[str, int | None]] = []
    for item in items:
        text, start = (item, None) if isinstance(item, str) else (item.get("text"), item.get("answer_start"))
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


def located(context: str, text: str, start: int | None) -> int | None:
    """Return where an answer stands: as said, else its occurrence nearest to that; None if it does not occur.

    Args:
        context: The passage.
        text: The answer.
        start: Its first character as the data say; None if they do not.
    """
    said = 0 if start is None else start
    if said >= 0 and context.startswith(text, said):
        return said
    places = []
    at = context.find(text)
    while at >= 0:
        places.append(at)
        at = context.find(text, at + 1)
    return min(places, key=lambda place: abs(place - said), default=None)


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
    if report.moved:
        warnings.append(
            f"{name}: {report.moved} answers stand elsewhere in their context than said; the nearest is taken"
        )


# --- Layouts ------------------------------------------------------------------------------------------------------------


def _official(path: str | Path) -> Iterator[_Raw] | None:
    """Return the questions of an official file; None if it is no JSON of that layout."""
    stem = str(path).lower()
    for suffix in (".gz", ".xz", ".bz2", ".zst", ".zip"):
        stem = stem.removesuffix(suffix)
    if str(path) == STDIN or not stem.endswith(".json"):
        return None
    text = "\n".join(line for _, line in text_lines(path))
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None  # perhaps JSON Lines; the table reader says what is wrong
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


def _rows(path: str | Path, columns: Columns | None, format: str | None, *, labels_required: bool) -> Iterator[_Raw]:
    given = columns or Columns()
    named = given.keys()
    by_position = any(isinstance(key, int) for key in named)
    table = open_table(path, format=format, header=not by_position, columned=bool(named))
    there = table.names or [str(position) for position in range(table.width if by_position else 0)]
    if len(there) < 2:
        raise DataError(
            f"{table.name} has one column, and a question needs a context",
            hint='Give JSON Lines: {"question": ..., "context": ...}, or CSV with those columns.', path=table.name,
        )  # fmt: skip
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

    question = column(given.text, QUESTIONS, "the question", needed=True)
    context = column(given.pair, CONTEXTS, "the context", needed=True)
    answers = column(given.label, ANSWERS, "the answers", needed=labels_required)
    start = column(None, STARTS, "the first character", needed=False)
    identifier = column(given.id, IDS, "the id", needed=False)

    def cells() -> Iterator[_Raw]:
        for line, row in table.rows:
            cell = row if isinstance(row, Mapping) else dict(zip(there, row, strict=True))
            value = _answers(cell.get(str(answers)), cell.get(str(start)) if start else None)
            yield _Raw(cell.get(str(question)), cell.get(str(context)), value, cell.get(str(identifier)), line)

    return cells()


def _answers(value: Any, start: Any) -> Any:
    """Return a cell's answers: a list or an object that a table without types holds as text, else one text."""
    if isinstance(value, str) and value.strip().startswith(("{", "[")):
        try:
            return json.loads(value)
        except ValueError:
            pass
    if isinstance(value, str):
        if not value.strip():
            return []
        return [{"text": value, "answer_start": int(start) if str(start or "").strip().isdigit() else None}]
    return value
