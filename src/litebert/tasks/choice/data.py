"""Questions with options: RACE, DREAM, and any table or JSON Lines with a question, options and an answer.

An answer is a letter, a number from 0, or the option itself. The text that a question is about may be missing.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from litebert.errors import DataError
from litebert.tasks.reading.records import Record
from litebert.tasks.reading.rows import STDIN, open_table, text_lines

QUESTIONS = ("question", "query", "stem", "text")
CONTEXTS = ("article", "context", "passage", "dialogue", "document", "text_pair", "pair")
OPTIONS = ("options", "choices", "choice", "candidates")
ANSWERS = ("answer", "label", "answerkey", "gold", "correct")
IDS = ("id", "example_id", "qid", "index")


def read_choices(path: str | Path, *, format: str | None = None, labels_required: bool) -> list[Record]:
    """Read questions with options.

    Args:
        path: RACE's objects, DREAM's list, a table or JSON Lines; a folder holds RACE's files, one passage each.
        format: Of ``records.FORMATS`` where the name does not tell.
        labels_required: Refuse a question without an answer.

    Returns:
        Records with the question as ``text``, what it is about as ``pair`` (None without), the number of the right option as ``label``,
        and ``options`` and perhaps ``part`` in ``extra``.

    Raises:
        DataError: No question, fewer than two options, an answer that is none of them.
    """
    records: list[Record] = []
    for line, row, name in _objects(path, format):
        try:
            records += _records(row, line)
        except DataError as error:
            error.path, error.line = name, line
            raise
    if not records:
        raise DataError(f"{path} has no question", hint='{"question": ..., "options": [...], "answer": "A"}', path=path)
    missing = next((record for record in records if record.label is None), None) if labels_required else None
    if missing is not None:
        raise DataError(
            "a question has no answer", hint='"answer": "A", 0, or the option.', path=path, line=missing.line
        )
    return records


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
    table = open_table(path, format=format, header=True, columned=False)
    for line, row in table.rows:
        yield line, row if isinstance(row, Mapping) else dict(zip(table.names or [], row, strict=True)), str(path)


def _dialogues(path: str | Path) -> list[Any] | None:
    """Return DREAM's items, lists of turns, questions and an id; None for other files."""
    if str(path) == STDIN or not str(path).lower().endswith(".json"):
        return None
    try:
        data = json.loads("\n".join(line for _, line in text_lines(path)))
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, list) and data and isinstance(data[0], list) else None


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}", hint="RACE has one object a file.", path=path) from None


def _records(row: Any, line: int) -> list[Record]:
    if isinstance(row, list):
        if len(row) != 3 or not isinstance(row[0], list) or not isinstance(row[1], list):
            raise DataError("not DREAM's layout", hint="[[turns], [{question, choice, answer}], id]")
        text = "\n".join(str(turn) for turn in row[0])
        return [_record(q, text, f"{row[2]}-{i}", line) for i, q in enumerate(row[1])]
    if not isinstance(row, Mapping):
        raise DataError(f"an item is a {type(row).__name__}", hint="An object.")
    if isinstance(row.get("questions"), list):
        return _race(row, line)
    names = {name.lower(): name for name in row}
    identifier = next((row[names[n]] for n in IDS if n in names), None)
    return [_record(row, _cell(row, CONTEXTS), identifier, line)]


def _race(row: Mapping[str, Any], line: int) -> list[Record]:
    questions, options, answers = row["questions"], row.get("options"), row.get("answers")
    if not isinstance(options, list) or len(options) != len(questions):
        raise DataError(f"{len(questions)} questions and {len(options or [])} lists of options", hint="One each.")
    if answers is not None and (not isinstance(answers, list) or len(answers) != len(questions)):
        raise DataError(f"{len(questions)} questions and {len(answers)} answers", hint="One each.")
    name = str(row.get("id", ""))
    part = next((part for part in ("middle", "high") if name.startswith(part)), None)
    return [
        _record(
            {"question": question, "options": options[i], "answer": None if answers is None else answers[i]},
            row.get("article"), f"{name}-{i}", line, part,
        )
        for i, question in enumerate(questions)
    ]  # fmt: skip


def _cell(row: Mapping[str, Any], candidates: Sequence[str]) -> Any:
    names = {name.lower(): name for name in row}
    return next((row[names[c]] for c in candidates if c in names), None)


def _record(row: Mapping[str, Any], context: Any, identifier: Any, line: int, part: str | None = None) -> Record:
    question, options = _cell(row, QUESTIONS), _options(row)
    if not isinstance(question, str) or not (context is None or isinstance(context, str)):
        raise DataError("a question or what it is about is no text", hint='{"question": "...", "article": "..."}')
    if len(options) < 2 or any(not isinstance(option, str) for option in options):
        raise DataError(f"the question {question!r:.60} has {len(options)} options", hint="At least two texts.")
    answer = _cell(row, ANSWERS)
    label = None if answer is None or answer == "" else str(_number(answer, options, question))
    extra: dict[str, Any] = {"options": tuple(options)} | ({"part": part} if part else {})
    return Record(question, context or None, label, identifier, line, extra)


def _options(row: Mapping[str, Any]) -> list[Any]:
    """Return the options: a list, ARC's texts and labels, a list as text, or columns A, B, C, ..."""
    found = _cell(row, OPTIONS)
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            found = found.split("|")
    if isinstance(found, Mapping):
        found = found.get("text")
    if found is None:
        names = {name.upper(): name for name in row}
        letters = string.ascii_uppercase
        found = [row[names[x]] for x in letters if x in names]
    return list(found) if isinstance(found, list | tuple) else []


def _number(answer: Any, options: Sequence[str], question: str) -> int:
    if isinstance(answer, bool):
        answer = int(answer)
    text = str(answer).strip()
    if isinstance(answer, str) and answer in options:
        return list(options).index(answer)
    if len(text) == 1 and text.upper() in string.ascii_uppercase[: len(options)]:
        return string.ascii_uppercase.index(text.upper())
    if text.isdigit() and int(text) < len(options):
        return int(text)
    raise DataError(
        f"the answer {answer!r:.40} of {question!r:.60} is none of its {len(options)} options",
        hint="A letter, a number from 0, or the option itself.",
    )
