"""Labels and options that cannot be meant as they stand: told, and nothing more."""

import json

import pytest

from litebert.tasks.choice.task import ChoiceTask
from litebert.tasks.classify.odd_labels import odd_labels
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.reading.records import Record


def of(*rows):
    return [Record(text, pair, label, line=2 + n) for n, (text, pair, label) in enumerate(rows)]


def test_one_text_with_two_labels():
    (said,) = odd_labels(of(("a", None, "x"), ("b", None, "y"), ("a", None, "y"), ("a", None, "z"), ("b", None, "y")))
    assert said.startswith("1 text has different labels in different places (line 2 x, line 4 y)")
    (said,) = odd_labels(of(*[(text, None, label) for text in "abcde" for label in "xy"]))
    assert said.startswith("5 texts have") and said.count("line") == 6, "three of them are named"


@pytest.mark.parametrize(
    "rows",
    [
        [("a", None, "x"), ("a", None, "x")],
        [("a", "b", "x"), ("a", "c", "y"), ("a", None, "z")],
        [("a", None, ("x", "y")), ("a", None, ("y", "x"))],
        [("a", None, "x"), ("b", None, "y z")],
        [],
    ],
)
def test_what_is_not_odd(rows):
    assert odd_labels(of(*rows)) == []


def test_several_labels_are_compared_as_sets():
    (said,) = odd_labels(of(("a", None, ("x", "y")), ("a", None, ())))
    assert "line 2 x|y, line 3 none" in said


def test_names_that_differ_in_their_spelling_only():
    rows = of(("a", None, "Very good"), ("b", None, "very  good"), ("c", None, ("bad", "BAD ")), ("d", None, "fine"))
    assert odd_labels(rows) == [
        "labels that differ in case or spaces only are different labels: 'BAD ' and 'bad'; 'Very good' and 'very  good'"
    ]


def test_a_file_to_learn_from_is_looked_at_and_one_to_answer_is_not(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("text,label\nsame,good\nother,bad\nsame,bad\nelse,Bad\n")
    for required, kind, expected in ((True, "single", 2), (False, "single", 0)):
        warnings = []
        ClassifyTask.read(path, columns=None, options={"kind": kind}, labels_required=required, warnings=warnings)
        assert len(warnings) == expected
    path.write_text("text,label\nsame,1\nsame,2\n")
    warnings = []
    ClassifyTask.read(path, columns=None, options={"kind": "regression"}, labels_required=True, warnings=warnings)
    assert warnings == [], "values of one text may differ"


def test_an_option_that_is_offered_twice_is_told(tmp_path):
    path, warnings = tmp_path / "q.jsonl", []
    rows = [
        {"question": "Where?", "options": ["here", "there"], "answer": 0},
        {"question": "When?", "options": ["now", "now"], "answer": 1},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ChoiceTask.read(path, columns=None, options={}, labels_required=True, warnings=warnings)
    assert warnings == ["1 question offers the same option twice (the first in line 2)"]
