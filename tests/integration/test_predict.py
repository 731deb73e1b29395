"""Answers over files and from Python: every input form, order, long texts, equality with transformers."""

import io
import json
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

import litebert
from litebert.errors import DataError

TEXTS = ["a great film", "", "it was awful, poor and sad", "we saw it " * 60, "fine"]


@pytest.fixture(scope="module")
def pipe(model):
    return litebert.load(model)


def scores(answers):
    return np.array([[dict(a.scores)[label] for label in ("neg", "pos")] for a in answers])


def written(folder, kind):
    path = folder / f"q.{kind}"
    if kind == "txt":
        path.write_text("".join(t + "\n" for t in TEXTS))
    elif kind == "csv":
        path.write_text("id,text\n" + "".join(f'{i},"{t}"\n' for i, t in enumerate(TEXTS)))
    elif kind == "tsv":
        path.write_text("id\ttext\n" + "".join(f"{i}\t{t}\n" for i, t in enumerate(TEXTS)))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in enumerate(TEXTS)))
    else:
        parquet.write_table(pa.table({"id": list(range(len(TEXTS))), "text": TEXTS}), path)
    return path


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "jsonl", "parquet"])
def test_every_format_gives_one_answer_a_row_in_order(kind, call, model, pipe, tmp_path):
    outcome = call("predict", model, written(tmp_path, kind))
    assert outcome.code == 0 and outcome.err.count("\n") == outcome.err.count("1 row without text") == 1
    expected = [a.to_dict() for a in pipe(TEXTS)]
    assert [(row["label"], pytest.approx(row["score"], abs=1e-5)) for row in outcome.lines] == [
        (e["label"], e["score"]) for e in expected
    ]
    if kind != "txt":
        assert [str(row["id"]) for row in outcome.lines] == [str(i) for i in range(len(TEXTS))]


@pytest.mark.parametrize("name", [(), ("-",)])
def test_standard_input(name, call, model, pipe, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(TEXTS).encode())))
    outcome = call("predict", model, *name)
    assert len(outcome.lines) == len(TEXTS) and outcome.lines[2]["label"] == pipe(TEXTS[2]).label


def test_output_file_and_nothing_on_stdout(call, model, tmp_path):
    answers = tmp_path / "answers.jsonl"
    outcome = call("predict", model, written(tmp_path, "csv"), "--output", answers)
    assert outcome.code == 0 and outcome.out == "" and "wrote 5 answers" in outcome.err
    assert len(answers.read_text().splitlines()) == 5


def test_a_failed_run_leaves_the_old_output(call, model, tmp_path):
    answers, bad = tmp_path / "answers.jsonl", tmp_path / "bad.csv"
    answers.write_text("old\n")
    bad.write_text("text,n\n" + "good,1\n" * 2100 + "one,two,three\n")
    outcome = call("predict", model, bad, "--output", answers)
    assert outcome.code == 3 and "2102" in outcome.err
    assert answers.read_text() == "old\n" and sorted(p.name for p in tmp_path.iterdir()) == ["answers.jsonl", "bad.csv"]


def test_labels_in_the_file_are_not_looked_at(call, data, model, tmp_path):
    assert len(call("predict", model, data / "multi.jsonl").lines) == 60  # lists, where the model has single labels
    odd = tmp_path / "odd.csv"
    odd.write_text("text,label\ngood,unheard-of\n")
    assert call("predict", model, odd).code == 0


def test_input_forms_and_typed_answers(pipe, pair_model):
    one, many = pipe("a great film"), pipe(["a great film"])
    assert isinstance(many, list) and one == many[0] and pipe([]) == []
    assert one.to_dict().keys() == {"label", "score", "scores"}
    assert one.score == max(s for _, s in one.scores) and sum(s for _, s in one.scores) == pytest.approx(1)
    pairs = litebert.load(pair_model)
    forms = [("a b", "c d"), {"text": "a b", "text_pair": "c d"}]
    assert pairs(forms[0]) == pairs(forms[1])
    assert pairs(("c d", "a b")) != pairs(forms[0])


@pytest.mark.parametrize("wrong", [None, 3, [1], [None], {"x": 1}, [("a", "b", "c")], ["a", ("a", "b")]])
def test_what_is_no_text_is_refused(wrong, pipe):
    with pytest.raises(DataError):
        pipe(wrong)


def test_batching_does_not_change_answers(pipe):
    texts = [*TEXTS, *("film " * n for n in range(1, 40))]
    assert np.abs(scores(pipe(texts)) - scores([pipe(t) for t in texts])).max() < 1e-5


def test_a_long_text_is_the_mean_of_all_its_windows(pipe):
    text = " ".join(["a great film"] * 20 + ["it was awful"] * 20)
    loaded = pipe.loaded
    windows = loaded.tokenizer.encode_windows(text, None, max_length=32, stride=14)
    assert len(windows) > 5
    logits = []
    with torch.inference_mode():
        for w in reversed(windows):  # their order does not matter
            out = loaded.model(torch.tensor([list(w.ids)]), None, torch.tensor([list(w.type_ids)]))
            logits.append(out.logits[0].double().numpy())
    mean = np.mean(logits, axis=0)
    expected = np.exp(mean) / np.exp(mean).sum()
    assert np.abs(scores([pipe(text)])[0] - expected).max() < 1e-5
    assert scores([pipe(text + " great" * 30)])[0] != pytest.approx(scores([pipe(text)])[0], abs=1e-9)  # the end counts


def test_the_folder_answers_alike_in_transformers(pipe, model, multi_model, value_model):
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(model).eval()
    assert theirs.config.id2label == {0: "neg", 1: "pos"}
    texts = ["a great film", "it was awful, Poor AND sad"]
    with torch.inference_mode():
        logits = theirs(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    assert np.abs(torch.softmax(logits, -1).numpy() - scores(pipe(texts))).max() < 1e-5
    kinds = {multi_model: "multi_label_classification", value_model: "regression", model: "single_label_classification"}
    for folder, kind in kinds.items():
        assert transformers.AutoConfig.from_pretrained(folder).problem_type == kind


def test_several_labels_and_values(multi_model, value_model):
    answer = litebert.load(multi_model)("a great film").to_dict()
    limits = dict(
        zip(
            *(json.loads((multi_model / "litebert.json").read_text())["task"][k] for k in ("labels", "thresholds")),
            strict=True,
        )
    )
    assert set(answer["labels"]) == {s["label"] for s in answer["scores"] if s["score"] >= limits[s["label"]]}
    value = litebert.load(value_model)(("a film", "a film")).to_dict()
    assert value.keys() == {"label", "score"} and value["label"] == "score"


def test_what_the_reader_found_is_told(model, tmp_path, call):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "good \\ud83d film"}\n{"text": "bad"}\n')
    outcome = call("predict", model, path)
    assert len(outcome.lines) == 2 and "warning: " in outcome.err and "U+FFFD" in outcome.err


def test_rows_without_text_are_answered_and_told(model, tmp_path, call):
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n{"text": null}\n{"text": " "}\n')
    (tmp_path / "b.txt").write_text("good\n\nbad\n")
    outcome = call("predict", model, tmp_path / "a.jsonl", tmp_path / "b.txt")
    assert len(outcome.lines) == 6
    assert f"warning: {tmp_path / 'a.jsonl'}: 2 rows without text (first: line 2)" in outcome.err
    assert f"warning: {tmp_path / 'b.txt'}: 1 row without text (first: line 2)" in outcome.err


def test_what_stands_before_a_bad_row_is_answered(call, model, pipe, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("text,n\na great film,1\nso sad,2\none,two,three\nfine,4\n")
    outcome = call("predict", model, bad)
    assert outcome.code == 3 and "bad.csv:4" in outcome.err
    assert [line["label"] for line in outcome.lines] == [answer.label for answer in pipe(["a great film", "so sad"])]
