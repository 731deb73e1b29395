"""What is to be answered is read row by row: nobody has to wait for the end of a file, and what came before a bad row is kept."""

import itertools
import json
import sys
from types import SimpleNamespace

import pytest

from litebert.errors import DataError
from litebert.tasks.choice.task import ChoiceTask
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.ner.task import NerTask
from litebert.tasks.qa.task import QaTask
from litebert.tasks.reading import rows
from litebert.tasks.rerank.task import RerankTask
from litebert.tasks.summarize.task import SummarizeTask

QUESTION = {"question": "who?", "context": "it was he"}
CHOICE = {"question": "who?", "options": ["he", "she"], "article": "it was he"}
KINDS = [
    (QaTask, QUESTION),
    (ChoiceTask, CHOICE),
    (ClassifyTask, {"text": "a"}),
    (SummarizeTask, {"text": "One. Two."}),
]
ASKED = KINDS[:2]


def stream(task, path, **more):
    return task.stream(path, **{"columns": None, "format": None, "warnings": [], **more})


def lines(row, count):
    return [json.dumps({**row, "id": str(number)}) for number in range(count)]


@pytest.fixture
def typed(monkeypatch):
    """Let standard input be any iterable of lines."""
    return lambda given: monkeypatch.setattr(
        sys, "stdin", SimpleNamespace(buffer=(f"{line}\n".encode() for line in given))
    )


@pytest.mark.parametrize(("task", "row"), KINDS)
def test_a_line_of_standard_input_is_a_record_before_the_next_is_written(typed, task, row):
    written = []

    def endless():
        for number in itertools.count():
            written.append(number)
            yield json.dumps({**row, "id": str(number)})

    typed(endless())
    for number, record in zip(range(5), stream(task, "-"), strict=False):
        assert record.id == str(number) and len(written) == number + 1


@pytest.mark.parametrize(("task", "row"), ASKED)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "-"])
@pytest.mark.parametrize("bad", ["{", "3", '{"id": "x"}'])
def test_what_comes_before_a_bad_line_is_read_and_the_line_is_named(tmp_path, typed, task, row, name, bad):
    given = [*lines(row, 2), "", bad, *lines(row, 1)]
    path = "-" if name == "-" else tmp_path / name
    typed(given) if name == "-" else path.write_text("\n".join(given) + "\n")
    found = []
    with pytest.raises(DataError) as caught:
        for record in stream(task, path):
            found.append(record.id)
    assert found == ["0", "1"] and caught.value.line == 4


@pytest.mark.parametrize("task", [QaTask, ChoiceTask])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_tables_break_off_where_they_are_bad(tmp_path, task, name):
    path, cell = tmp_path / name, "," if name == "a.csv" else "\t"
    table = [["question", "context", "A", "B"], ["who?", "it was he", "he", "she"], ["who?", "short"]]
    path.write_text("".join(cell.join(row) + "\n" for row in table))
    found = stream(task, path)
    assert next(found).text == "who?"
    with pytest.raises(DataError) as caught:
        next(found)
    assert caught.value.line == 3


@pytest.mark.parametrize(("task", "row"), ASKED)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_long_file_is_not_read_before_it_is_asked_for(tmp_path, monkeypatch, task, row, name):
    path, read = tmp_path / name, []
    path.write_text("\n".join(lines(row, 1000)) + "\n")
    whole = rows.text_lines
    monkeypatch.setattr(rows, "text_lines", lambda path: (read.append(1) or line for line in whole(path)))
    assert next(stream(task, path)).id == "0" and len(read) <= rows.PEEK + 4


def test_one_document_is_read_as_before(tmp_path):
    squad, dream, race = tmp_path / "dev.json", tmp_path / "dream.json", tmp_path / "race"
    asked = [{"id": "a", "question": "who?", "answers": [{"text": "nobody", "answer_start": 7}]}]
    squad.write_text(json.dumps({"data": [{"paragraphs": [{"context": "it was he", "qas": asked}]}]}))
    (record,) = stream(QaTask, squad)
    assert (record.text, record.pair, record.label, record.id) == ("who?", "it was he", None, "a")
    dream.write_text(json.dumps([[["M: Hi."], [{"question": "Who?", "choice": ["A man", "Both"]}], "1"]], indent=1))
    assert [r.pair for r in stream(ChoiceTask, dream)] == ["M: Hi."]
    race.mkdir()
    for number in (1, 2):
        passage = {"id": f"high{number}.txt", "article": f"a{number}", "questions": ["q"], "options": [["x", "y"]]}
        (race / f"{number}.txt").write_text(json.dumps(passage))
    assert [r.pair for r in stream(ChoiceTask, race)] == ["a1", "a2"]
    (race / "2.txt").write_text("{")
    found = stream(ChoiceTask, race)
    assert next(found).pair == "a1"
    with pytest.raises(DataError, match=r"2\.txt"):
        next(found)


@pytest.mark.parametrize("pretty", [None, 1])
def test_an_array_of_objects_is_a_table(tmp_path, pretty):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([QUESTION, QUESTION], indent=pretty))
    assert len(list(stream(QaTask, path))) == 2
    path.write_text("\n" + json.dumps(QUESTION) + "\n\n")
    with pytest.raises(DataError, match="holds an object with the keys"):
        list(stream(QaTask, path))


@pytest.mark.parametrize("task", [QaTask, ChoiceTask])
def test_a_file_without_rows_is_told(tmp_path, task):
    path = tmp_path / "a.csv"
    path.write_text("question,context,A,B\n")
    with pytest.raises(DataError, match="has no question"):
        list(stream(task, path))


def test_ids_of_an_endless_table_are_not_remembered_those_of_an_official_file_are(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(2 * [json.dumps({**QUESTION, "id": "a"})]))
    assert [r.id for r in stream(QaTask, path)] == ["a", "a"]
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps({"data": [{"paragraphs": [{"context": "c", "qas": 2 * [{"id": "a", "question": "q"}]}]}]})
    )
    with pytest.raises(DataError, match="is that of question 1, too"):
        list(stream(QaTask, path))


@pytest.mark.parametrize(("task", "row"), [KINDS[0], KINDS[2]])
def test_an_id_may_come_with_a_later_object(typed, task, row):
    typed([json.dumps(row), json.dumps({**row, "id": "b"}), json.dumps(row)])
    assert [r.id for r in stream(task, "-")] == [None, "b", None]


def test_a_second_text_may_come_with_a_later_object(typed):
    typed(['{"text": "a"}', '{"text": "b", "text_pair": "c", "label": 3}', '{"text": "d"}'])
    assert [(r.text, r.pair) for r in stream(ClassifyTask, "-")] == [("a", None), ("b", "c"), ("d", "")]


@pytest.mark.parametrize(
    ("task", "row"),
    [
        (ChoiceTask, {**CHOICE, "answer": "he"}),
        (ClassifyTask, {"text": "a", "label": "x"}),
        (NerTask, {"text": "a", "entities": []}),
    ],
)
def test_ids_of_several_records_are_told(tmp_path, task, row):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({**row, "id": own}) + "\n" for own in ("p", "q", "q")))
    warnings = []
    assert len(task.read(path, columns=None, options={}, labels_required=True, warnings=warnings)) == 3
    assert any("1 ids are those of several records (first: 'q')" in warning for warning in warnings)


@pytest.mark.parametrize(("task", "row"), [(SummarizeTask, {"text": " "}), (RerankTask, {"query": "who?", "text": ""})])
def test_empty_texts_are_answered_and_told(tmp_path, task, row):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps(dict.fromkeys(row, "It was he.")) + "\n")
    warnings = []
    assert len(list(stream(task, path, warnings=warnings))) == 2
    assert warnings == [f"{path}: 1 row without text (first: line 1)"]
