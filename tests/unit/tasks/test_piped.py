"""What training tells to try: an input that ``litebert predict`` takes from standard input for this task."""

import io
import sys

import pytest

from litebert.tasks.choice.task import ChoiceTask
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.ner.task import NerTask
from litebert.tasks.qa.task import QaTask
from litebert.tasks.reading.records import STDIN, Record
from litebert.tasks.rerank.task import RerankTask
from litebert.tasks.summarize.task import SummarizeTask

ONE = [Record(text="a", label="x"), Record(text="b", label="y")]
TWO = [Record(text="a", pair="b", label="x"), Record(text="c", pair="d", label="y")]
PARTS = {  # what a record has beside its text
    "one text": (ClassifyTask.from_records(ONE, {}), ""),
    "pairs": (ClassifyTask.from_records(TWO, {}), "pair"),
    "qa": (QaTask(), "pair"),
    "rerank": (RerankTask(), "pair"),
    "choice": (ChoiceTask(), "options"),
    "ner": (NerTask.from_records([], {"labels": ["PER"]}), ""),
    "summarize": (SummarizeTask(), ""),
}


@pytest.mark.parametrize("name", PARTS)
def test_what_is_told_to_try_has_all_parts(name, monkeypatch):
    task, part = PARTS[name]
    assert "'" not in task.piped()  # stands between apostrophes in a shell
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(task.piped().encode() + b"\n")))
    (record,) = task.stream(STDIN, columns=None, format=None, warnings=[])
    assert record.text
    assert (record.pair is not None) == (part == "pair")
    assert ("options" in str(record)) == (part == "options")
