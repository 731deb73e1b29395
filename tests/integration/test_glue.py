"""GLUE end to end on handmade files: official layouts in, official metrics, a submission out; every task can be trained."""

import json

import pytest

from litebert.tasks.official.glue import GLUE

LABELS = {"binary": ["0", "1"], "entailment": ["entailment", "not_entailment"]}


def cell(task, column, label, i):
    words = "good" if i % 2 else "bad"
    return {
        "label": label, "score": label, "Quality": label, "is_duplicate": label, "gold_label": label, "index": str(i),
        "id": str(i), "qid1": "1", "qid2": "2", "#1 ID": "1", "#2 ID": "2",
    }.get(column, f"a {words} thing {i}")  # fmt: skip


def label_of(task, i):
    return f"{(i % 2) * 5.0:.3f}" if task.regression else task.labels[i % len(task.labels)]


def write_split(task, folder, name, rows=12):
    """One official file: the columns its layout names, plus those it has in the real one."""
    split = task.splits[name]
    path = folder / split.file
    if split.width:  # CoLA: source, label, mark, sentence
        path.write_text("".join(f"src\t{label_of(task, i)}\t\ta sentence {i}\n" for i in range(rows)))
        return
    columns = [c for c in dict.fromkeys((split.id, split.text, split.pair, split.label)) if isinstance(c, str)]
    lines = ["\t".join(columns)]
    lines += ["\t".join(cell(task, c, label_of(task, i), i) for c in columns) for i in range(rows)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def tiny(data):
    return f"random:{data / 'tiny.json'}"


@pytest.mark.parametrize("name", [n for n, t in GLUE.items() if t.trainable])
def test_train_evaluate_and_submit(call, tmp_path, tiny, name):
    task = GLUE[name]
    folder = tmp_path / task.folder
    folder.mkdir()
    for split in task.splits:
        write_split(task, folder, split)
    out = tmp_path / "out"
    settings = ["--set", "training.steps=4", "--set", "text.max_length=32", "--batch-size", "6"]
    done = call("finetune", f"glue/{name}", "--model", tiny, "--data", folder, "--out", out, *settings, "--json")
    assert done.code == 0, done.err
    metrics = done.envelope["data"]["metrics"]
    assert next(iter(metrics)) == task.main
    assert set(task.metrics) <= set(metrics)
    stored = json.loads((out / "litebert.json").read_text())["task"]
    assert stored["labels"] == list(task.labels)  # F3: Google's order, used at prediction time

    judged = call("evaluate", out, "--data", folder, "--benchmark", f"glue/{name}", "--json")
    assert judged.code == 0, judged.err
    assert set(judged.envelope["data"]) == set(task.dev_splits)

    sent = call("predict", out, folder, "--benchmark", f"glue/{name}", "--output", tmp_path / "sent")
    assert sent.code == 0, sent.err
    files = sorted((tmp_path / "sent").iterdir())
    assert len(files) == sum(s.startswith("test") for s in task.splits)
    for path in files:
        head, *rows = path.read_text().splitlines()
        assert head == "index\tprediction" and len(rows) == 12
        answers = [row.split("\t")[1] for row in rows]
        if task.regression:
            assert all(0 <= float(a) <= 5 for a in answers)
        else:
            assert set(answers) <= set(task.labels)


def test_diagnostics_are_answered_by_a_model_for_mnli(call, tmp_path, tiny):
    for name in ("mnli", "ax"):
        folder = tmp_path / GLUE[name].folder
        folder.mkdir()
        for split in GLUE[name].splits:
            write_split(GLUE[name], folder, split)
    out = tmp_path / "out"
    call("finetune", "glue/mnli", "--model", tiny, "--data", tmp_path, "--out", out, "--set", "training.steps=2",
         "--set", "text.max_length=32", "--batch-size", "6")  # fmt: skip
    sent = call("predict", out, tmp_path, "--benchmark", "glue/ax", "--output", tmp_path / "sent")
    assert sent.code == 0, sent.err
    assert len((tmp_path / "sent" / "AX.tsv").read_text().splitlines()) == 13


def test_a_model_for_another_task_is_refused(call, tmp_path, tiny):
    for name in ("wnli", "rte"):
        folder = tmp_path / GLUE[name].folder
        folder.mkdir()
        for split in GLUE[name].splits:
            write_split(GLUE[name], folder, split)
    out = tmp_path / "out"
    call("finetune", "glue/wnli", "--model", tiny, "--data", tmp_path, "--out", out, "--set", "training.steps=2",
         "--set", "text.max_length=32", "--batch-size", "6")  # fmt: skip
    for command in (["evaluate", out, "--data", tmp_path], ["predict", out, tmp_path, "--output", tmp_path / "sent"]):
        refused = call(*command, "--benchmark", "glue/rte")
        assert refused.code == 2
        assert "entailment" in refused.err
        unheeded = call(*command, "--benchmark", "glue/wnli", "--columns", "text=0")
        assert unheeded.code == 2 and "--columns does not go with" in unheeded.err
    called = ["finetune", "glue/wnli", "--model", tiny, "--data", tmp_path, "--out", tmp_path / "other"]
    unheeded = call(*called, "--columns", "text=0,label=1")
    assert unheeded.code == 2 and "--columns does not go with glue/wnli" in unheeded.err
