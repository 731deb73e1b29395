"""Rows that cannot be read or answered, written apart while the others are answered."""

import json

import pytest

import litebert
from litebert.checkpoint.pretrained import read_source
from litebert.tasks.choice.task import ChoiceTask
from litebert.tasks.examples import TextSettings
from litebert.tasks.model_folder import save_task_model
from litebert.tasks.ner.task import NerTask
from litebert.tasks.qa.task import QaTask
from litebert.tasks.rerank.task import RerankTask
from litebert.text import AlbertTokenizer

QUESTION = {"question": "who?", "context": "it was he"}
CHOICE = {"question": "who?", "options": ["he", "she"]}
TASKS = {
    "qa": (QaTask(), QUESTION, {"question": "who?", "context": " "}),
    "choice": (ChoiceTask(), CHOICE, {"question": "who?", "options": ["he"]}),
    "ner": (NerTask.from_records([], {"labels": ["PER"]}), {"tokens": ["it", "was"]}, {"tokens": ["it", 3]}),
    "rerank": (RerankTask(), {"query": "who?", "text": "he"}, {"query": "who?", "text": 5}),
    "summarize": (None, {"text": "One is. Two are."}, {"text": 5}),
    "fill-mask": (None, {"text": "a [MASK]"}, {"text": "none"}),
    "coherence": (None, {"sentences": ["One.", "Two."]}, {"sentences": "One."}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models with random weights, by task."""
    home, tokenizer = tmp_path_factory.mktemp("models"), AlbertTokenizer.bundled()
    for name, (task, *_) in TASKS.items():
        if task is not None:
            source = read_source("random:nano", **task.config_changes())
            model = task.model_class.from_source(source)
            save_task_model(home / name, task, model, tokenizer, TextSettings(), provenance={})
    return home


def asked(folder, name):
    if TASKS[name][0] is not None:
        return (folder / name,)
    more = ("--set", "mode=order") if name == "coherence" else ()
    return ("litebert-small-en", "--task", name, *more)


def written(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


@pytest.mark.parametrize("name", TASKS)
def test_the_others_are_answered(folder, call, tmp_path, name):
    _, good, bad = TASKS[name]
    path = written(tmp_path / "a.jsonl", [good, bad, "{", good, "[1]", bad, good])
    apart = tmp_path / "rejected.jsonl"
    model, *more = asked(folder, name)
    outcome = call("predict", model, path, *more, "--rejected", apart)
    assert outcome.code == 0 and len(outcome.lines) == 3
    assert len({json.dumps(rounded(line)) for line in outcome.lines}) == 1, "as if nothing had been between them"
    rows = [json.loads(line) for line in apart.read_text().splitlines()]
    assert sorted(row["line"] for row in rows) == [2, 3, 5, 6]
    assert all(row["file"] == str(path) and row["error"] for row in rows)
    assert f"4 rows were rejected: {apart} says why" in outcome.err
    stopped = call("predict", model, path, *more)
    assert stopped.code == 3 and len(stopped.lines) <= 1, "without it the first one ends the work"


def test_tables_of_ragged_rows_and_what_the_envelope_says(call, tmp_path):
    (tmp_path / "a.csv").write_text("id,text\n1,a [MASK]\n2,b,c\n3,b [MASK]\n")
    apart, out = tmp_path / "rejected.jsonl", tmp_path / "out.jsonl"
    ask = (
        "predict",
        "litebert-small-en",
        tmp_path / "a.csv",
        "--task",
        "fill-mask",
        "--rejected",
        apart,
        "--output",
        out,
    )
    data = call(*ask, "--json").envelope
    assert (
        data["data"]["records"] == 2 and data["data"]["rejected"] == 1 and "1 row was rejected" in data["warnings"][0]
    )
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["1", "3"]
    assert "3 columns where the first row has 2" in json.loads(apart.read_text())["error"]
    (tmp_path / "a.csv").write_text("id,text\n1,a [MASK]\n")
    assert call(*ask, "--json").envelope["data"]["rejected"] == 0 and apart.read_text() == ""


@pytest.mark.parametrize("window", ["1", "2"])
def test_windows(call, tmp_path, window):
    rows = [{"id": n, "text": "a [MASK]" if n % 3 else "none"} for n in range(8)]
    path, apart = written(tmp_path / "a.jsonl", rows), tmp_path / "rejected.jsonl"
    outcome = call("predict", "litebert-small-en", path, "--task", "fill-mask", "--window", window, "--rejected", apart)
    assert [line["id"] for line in outcome.lines] == [1, 2, 4, 5, 7]
    assert [json.loads(line)["line"] for line in apart.read_text().splitlines()] == [1, 4, 7]


def test_parts(folder, call, tmp_path):
    path = written(tmp_path / "a.jsonl", [QUESTION, "{", QUESTION, {**QUESTION, "context": ""}])
    apart, out = tmp_path / "rejected.jsonl", tmp_path / "out.jsonl"
    outcome = call("predict", folder / "qa", path, "--output", out, "--resume", "--rejected", apart)
    assert outcome.code == 0 and len(out.read_text().splitlines()) == 2 and len(apart.read_text().splitlines()) == 2


def test_what_is_wrong_with_a_whole_file_ends_it(folder, call, tmp_path):
    apart = tmp_path / "rejected.jsonl"
    outcome = call("predict", folder / "qa", tmp_path / "none.jsonl", "--rejected", apart)
    assert outcome.code == 3 and "no file" in outcome.err
    path = written(tmp_path / "a.jsonl", ["{", "{"])
    outcome = call("predict", folder / "qa", path, "--rejected", apart)
    assert outcome.code == 3 and len(apart.read_text().splitlines()) >= 1
    for more in (("--explain",), ("--benchmark", "glue/mrpc")):
        outcome = call("predict", folder / "qa", path, *more, "--rejected", apart)
        assert outcome.code == 2 and "--rejected goes neither" in outcome.err
    assert call("predict", folder / "qa", path, "--rejected", tmp_path).code == 2
    for taken in (path, tmp_path / "out.jsonl"):
        outcome = call("predict", folder / "qa", path, "--rejected", taken, "--output", tmp_path / "out.jsonl")
        assert outcome.code == 2 and "read or written already" in outcome.err
    assert path.read_text() == "{\n{\n"


def test_nobody_takes_them_in_python(folder):
    with pytest.raises(litebert.errors.DataError):
        litebert.load(folder / "qa")({"question": "who?", "context": " "})
