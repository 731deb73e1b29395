"""Reranking: layouts, lists, losses over pairs and queries, ranking figures."""

import itertools
import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from litebert.config import AlbertConfig
from litebert.errors import ConfigError, DataError, MachineError, UsageError
from litebert.model.heads import AlbertForSequenceClassification
from litebert.tasks.base import predict_outputs
from litebert.tasks.datasets import hold_out, read_splits, some_of
from litebert.tasks.examples import TextSettings, WindowCount, collate
from litebert.tasks.official.table import OFFICIAL
from litebert.tasks.reading.records import Record, parse_columns
from litebert.tasks.rerank import ranking
from litebert.tasks.rerank.data import UNORDERED, iter_pairs, read_pairs
from litebert.tasks.rerank.queries import counted
from litebert.tasks.rerank.ranking import random_average_precision, ranking_figures
from litebert.tasks.rerank.scoring import score_pairs
from litebert.tasks.rerank.task import Relevance, RerankTask, ranked
from litebert.text import AlbertTokenizer

DATA = Path(os.environ.get("LITEBERT_DATA", "/nowhere"))
PLAIN = "who ?\ta man\t1\nwho ?\ta dog\t0\nwhen ?\tnow\t0\n"


@pytest.fixture(scope="module")
def tokenizer():
    return AlbertTokenizer.bundled()


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    config = AlbertConfig(
        vocab_size=tokenizer.vocab_size, embedding_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, id2label={0: "relevance"},
    )  # fmt: skip
    return AlbertForSequenceClassification(config).eval()


def read(path, text=None, **more):
    if text is not None:
        path.write_text(text if isinstance(text, str) else "".join(json.dumps(row) + "\n" for row in text))
    warnings = []
    return read_pairs(path, labels_required=more.pop("labels_required", True), warnings=warnings, **more), warnings


def told(records):
    return [(r.text, r.pair, r.label) for r in records]


THREE = [("who ?", "a man", 1.0), ("who ?", "a dog", 0.0), ("when ?", "now", 0.0)]

# --- Layouts --------------------------------------------------------------------------------------------------------------


def test_plain_columns_with_and_without_a_header(tmp_path):
    records, warnings = read(tmp_path / "a.txt", PLAIN)
    assert told(records) == THREE and [r.line for r in records] == [1, 2, 3]
    (warning,) = warnings
    assert warning.startswith("a.txt: of 2 queries 1 have no relevant text and 0 have no other: they take no part")
    assert warning.endswith("which are those of 1")
    assert told(read(tmp_path / "b.txt", "Question\tSentence\tLabel\n" + PLAIN)[0]) == THREE
    assert told(read(tmp_path / "c.tsv", "query\ttext\trelevance\n" + PLAIN)[0]) == THREE
    positions = parse_columns("text=0,pair=1,label=2")
    assert told(read(tmp_path / "d.tsv", PLAIN, columns=positions)[0]) == THREE
    (lone, *_), _ = read(tmp_path / "e.txt", "who ?\ta man\n", labels_required=False)
    assert lone.label is None


def test_wikiqa_s_own_files_group_by_the_question_s_id(tmp_path):
    (tmp_path / "WikiQA-dev.tsv").write_text(
        "QuestionID\tQuestion\tDocumentID\tDocumentTitle\tSentenceID\tSentence\tLabel\n"
        "Q1\twho ?\tD1\tA\tD1-0\ta man\t1\nQ1\twho ?\tD1\tA\tD1-1\ta dog\t0\nQ2\twho ?\tD1\tA\tD1-0\ta man\t0\n"
    )
    records = OFFICIAL["wikiqa"].read(tmp_path, "dev", warnings=[])
    assert [r.extra["query_id"] for r in records] == ["Q1", "Q1", "Q2"] and records[1].id == "D1-1"
    assert counted(records).queries == 2 and OFFICIAL["wikiqa"].available(tmp_path) == ["dev"]


def test_objects_with_a_query_s_texts(tmp_path):
    rows = [
        {"query": "who ?", "positives": ["a man"], "negatives": ["a dog", "a cat"], "id": 7},
        {"query": "when ?", "positive": "now", "negative": {"text": "a cat"}},
    ]
    records, _ = read(tmp_path / "a.jsonl", rows)
    assert [(r.pair, r.label, r.id) for r in records] == [
        ("a man", 1.0, "7-0"), ("a dog", 0.0, "7-1"), ("a cat", 0.0, "7-2"), ("now", 1.0, None), ("a cat", 0.0, None),
    ]  # fmt: skip
    assert all(r.extra[UNORDERED] for r in records) and records[0].extra["query_id"] == 7
    assert [r.label for r in iter_pairs(tmp_path / "a.jsonl", ignore_labels=True)] == [None] * 5


def test_later_objects_may_have_other_keys(tmp_path):
    rows = [{"query": f"who {n} ?", "positives": ["a man"]} for n in range(70)]
    rows += [{"query": "who ?", "positives": ["a man"], "negatives": ["b", "c"], "query_id": [1]}]
    rows += [{"query": "when ?", "text": "now", "label": 1}]
    records, _ = read(tmp_path / "a.jsonl", rows)
    assert told(records[70:]) == [
        ("who ?", "a man", 1.0),
        ("who ?", "b", 0.0),
        ("who ?", "c", 0.0),
        ("when ?", "now", 1.0),
    ]
    assert records[70].extra["query_id"] == "[1]"
    with pytest.raises(DataError, match="a pair has no label"):
        read(tmp_path / "b.jsonl", [*rows, {"query": "what ?", "positve": ["x"]}])


def test_objects_with_candidates(tmp_path):
    rows = [{"query": "who ?", "texts": ["a man", "a dog"], "labels": [2, 0]}]
    rows.append(
        {"query": "when ?", "texts": [{"text": "now", "label": 1}, {"text": "a cat", "label": "0"}], "labels": [9, 9]}
    )
    records, _ = read(tmp_path / "a.jsonl", rows)
    assert [r.label for r in records] == [2.0, 0.0, 1.0, 0.0] and UNORDERED not in records[0].extra
    assert len(read(tmp_path / "b.jsonl", [{"query": "who ?", "texts": ["a", "b"]}], labels_required=False)[0]) == 2


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"query": "q", "text": "t", "label": "yes"}, "the label 'yes' is no number"),
        ({"query": "q", "text": "t", "label": -1}, "the label -1 is no number"),
        ({"query": "q", "text": "t", "label": float("nan")}, "is no number"),
        ({"query": "q", "text": "t"}, "no column recognised as the label"),
        ({"query": "q", "text": "t", "label": None}, "a pair has no label"),
        ({"query": "q", "text": 3, "label": 1}, "the text is a number (3)"),
        ({"query": ["q"], "text": "t", "label": 1}, "the query is a list"),
        ({"query": "q", "label": 1}, "no column recognised as the text"),
        ({"label": 1, "passage": "t"}, "no column recognised as the query"),
        ({"query": "q", "texts": ["a", "b"], "labels": [1]}, "2 candidates and 1 labels"),
        ({"query": "q", "texts": ["a", "b"], "labels": [1, "x"]}, "the label 'x' is no number"),
        ({"query": "", "text": "t", "label": 1}, "no pair of a query and a text"),
    ],
)
def test_bad_rows(tmp_path, row, says):
    with pytest.raises(DataError, match=re.escape(says)) as caught:
        read(tmp_path / "a.jsonl", [row])
    assert str(caught.value.path).endswith("a.jsonl")


def test_bad_files(tmp_path):
    for name, text, says in (
        ("a.txt", "a line\n", "has 1 columns, and neither a header"),
        ("b.txt", "1\tq\tt\t0\n", "has 4 columns, and neither a header"),
        ("c.tsv", PLAIN, "no column recognised as the query; there are who ?, a man, 1"),
    ):
        with pytest.raises(DataError, match=re.escape(says)):
            read(tmp_path / name, text)
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(DataError, match="no column 'nothing'"):
        read(tmp_path / "d.tsv", "query\ttext\tlabel\nq\tt\t1\n", columns=parse_columns("label=nothing"))


def test_ids_belong_to_one_query_and_one_text(tmp_path):
    twice = [{"query": "q", "text": t, "label": 1, "id": 5} for t in "ab"]
    with pytest.raises(DataError, match="the id 5 stands twice under the query 'q'"):
        read(tmp_path / "a.jsonl", twice)
    with pytest.raises(DataError, match="the query id 1 of 'b' is that of 'a', too"):
        read(tmp_path / "b.jsonl", [{"qid": 1, "query": q, "text": "t", "label": 1} for q in "ab"])
    document = [{"query": q, "text": "t", "label": 1, "doc_id": 5} for q in "ab"]
    assert len(read(tmp_path / "c.jsonl", document)[0]) == 2


def test_what_is_odd_is_counted(tmp_path):
    rows = [("q", "a", 1), ("q", "a", 0), ("q", " ", 0), ("", "x", 0), ("p", "b", 1)]
    records, warnings = read(tmp_path / "a.csv", "query,text,label\n" + "".join(f"{q},{t},{y}\n" for q, t, y in rows))
    assert len(records) == 3
    assert warnings[:2] == [
        "a.csv: 2 rows without a query or a text skipped (first: line 4)",
        "a.csv: 1 texts stand twice under their query, 1 of them with another label",
    ]
    assert "of 2 queries 0 have no relevant text and 1 have no other" in warnings[2]
    assert len(list(iter_pairs(tmp_path / "a.csv"))) == 5  # to be answered, each row


@pytest.mark.skipif(not DATA.is_dir(), reason="LITEBERT_DATA does not name a folder with the public data sets")
@pytest.mark.parametrize(
    ("split", "pairs", "queries", "relevant", "both"),
    [("train", 20_360, 2_118, 873, 857), ("dev", 2_733, 296, 126, 122), ("test", 6_165, 633, 243, 237)],
)
def test_wikiqa_as_published(split, pairs, queries, relevant, both):
    """The counts of Yang et al. 2015, and of the sets that later papers call clean."""
    records = OFFICIAL["wikiqa"].read(DATA / "wikiqa", split, warnings=[])
    counts = counted(records)
    assert (len(records), counts.queries, counts.queries - counts.without, counts.graded) == (
        pairs,
        queries,
        relevant,
        both,
    )


@pytest.mark.skipif(not DATA.is_dir(), reason="LITEBERT_DATA does not name a folder with the public data sets")
def test_quora_as_published():
    records = OFFICIAL["quora"].read(DATA / "quora-bimpm", "test", warnings=[])
    assert len(records) == 10_000 and sum(r.label for r in records) == 5_000


# --- Records to examples --------------------------------------------------------------------------------------------------


def pair(query="who ?", text="a man", label=1.0, **extra):
    return Record(query, text, label, extra=extra)


def encode(task, records, tokenizer, training=False, **text):
    settings, count = TextSettings(**{"max_length": 32, **text}), WindowCount()
    make = task.training_examples if training else task.examples
    return make(records, tokenizer, settings, count=count), count


def test_the_input_is_query_then_text(tokenizer):
    (example,), _ = encode(RerankTask(), [pair()], tokenizer)
    whole = tokenizer.encode("who ?", "a man")
    assert example.windows == ((whole.ids, whole.type_ids),) and example.target == 1.0
    graded = RerankTask(top_grade=4.0)
    assert [e.target for e in encode(graded, [pair(label=y) for y in (0.0, 1.0, 4.0, 9.0)], tokenizer)[0]] == [
        0,
        0.25,
        1,
        1,
    ]
    with pytest.raises(DataError, match="there is only one"):
        encode(RerankTask(), [Record("who ?")], tokenizer)


def test_a_long_text_takes_its_best_window_and_each_sees_the_query(tokenizer, model):
    task, long = RerankTask(), pair(text="river stone cold winter " * 30)
    (example,), count = encode(task, [long], tokenizer, stride=4)
    assert count.windowed == 1 and len(example.windows) > 3
    query = tokenizer.encode("who ?", "x").ids[:4]
    assert all(ids[:4] == query and len(ids) <= 32 for ids, _ in example.windows)
    short = encode(task, [pair()], tokenizer)[0][0]
    found = predict_outputs(task, model, [example, short], pad_id=tokenizer.pad_id)
    with torch.inference_mode():
        one = [float(model(torch.tensor([i]), token_type_ids=torch.tensor([t])).logits) for i, t in example.windows]
    assert found[0] == pytest.approx([max(one)], abs=1e-5) and found[0].shape == (1,)
    assert task.answer(found, [example, short])[0].score == pytest.approx(1 / (1 + math.exp(-max(one))), abs=1e-5)


def test_listwise_lists_hold_both_kinds_and_leave_no_text_out(tokenizer):
    task = RerankTask("listwise", top_grade=2.0, list_length=4)
    records = [pair(text=f"text {i}", label=float(i < 3)) for i in range(11)]
    records += [pair("alone ?", "x", 1.0), pair("never ?", "y", 0.0), pair("few ?", "u", 2.0), pair("few ?", "v", 1.0)]
    examples, _ = encode(task, records, tokenizer, training=True)
    assert [len(e.windows) for e in examples] == [4, 3, 4, 3, 2] and all(len(e.target) == 4 for e in examples)
    assert [sum(y > 0 for y in e.target) for e in examples] == [2, 1, 2, 1, 2]
    seen = {tuple(ids) for e in examples for ids, _ in e.windows}
    assert seen == {tuple(tokenizer.encode(r.text, r.pair).ids) for r in records if r.text in ("who ?", "few ?")}
    with pytest.raises(DataError, match="no query has texts of different relevance"):
        encode(task, records[11:13], tokenizer, training=True)


# --- Loss -----------------------------------------------------------------------------------------------------------------


def test_cross_entropy_is_a_pair_s_own(tokenizer, model):
    task = RerankTask(top_grade=2.0)
    examples, _ = encode(task, [pair(label=2.0), pair(text="a dog", label=1.0), pair(text="no", label=0.0)], tokenizer)
    batch = collate(examples, tokenizer.pad_id)
    logits = task.logits(model, batch).detach()
    p, y = torch.sigmoid(logits[:, 0]), torch.tensor([1.0, 0.5, 0.0])
    expected = -(y * p.log() + (1 - y) * (1 - p).log()).sum()
    assert float(task.loss(logits, batch)) == pytest.approx(float(expected), rel=1e-5)
    assert task.chance(examples) == pytest.approx(math.log(2)) and task.weight(batch) == 3
    assert float(task.distance(logits, logits.detach())) == pytest.approx(0, abs=1e-5)
    assert bool(task.stands(logits, logits + 0.001).all()) and not bool(task.stands(logits, logits + 1).any())


def test_listwise_loss_is_over_the_texts_of_a_query(tokenizer, model):
    """Of the best windows, without the places that a shorter list leaves free."""
    task = RerankTask("listwise", list_length=8)
    one = [pair(text=t, label=y) for t, y in (("a man", 2.0), ("a dog " * 40, 0.0), ("a cat", 1.0))]
    two = [pair("when ?", "now", 0.0), pair("when ?", "then", 1.0)]
    settings = {"max_length": 32, "stride": 4}
    examples, _ = encode(task, one + two, tokenizer, training=True, **settings)
    batch = collate(examples, tokenizer.pad_id)
    logits = task.logits(model, batch).detach()
    assert logits.shape == (2, 3) and float(logits[1, 2]) == -math.inf
    alone = [
        task.logits(model, collate(encode(task, [r], tokenizer, **settings)[0], tokenizer.pad_id)).item()
        for r in one + two
    ]
    order = sorted(range(3), key=lambda i: one[i].label == 0)  # lists put relevant texts first
    first = torch.tensor([alone[i] for i in order]).log_softmax(0)
    second = torch.tensor([alone[4], alone[3]]).log_softmax(0)
    share = torch.tensor([one[i].label for i in order]) / 3
    assert float(task.loss(logits, batch)) == pytest.approx(float(-(share * first).sum() - second[0]), rel=1e-4)
    assert task.chance(examples) == pytest.approx((math.log(3) + math.log(2)) / 2)
    task.loss(task.logits(model, batch), batch).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    model.zero_grad(set_to_none=True)
    assert float(task.distance(logits, logits.detach())) == pytest.approx(0, abs=1e-5)


# --- Figures --------------------------------------------------------------------------------------------------------------


def test_figures_by_hand():
    grades = [np.array([0, 1, 0, 1]), np.array([2, 0]), np.array([0, 0]), np.array([1])]
    scores = [np.array([4.0, 3.0, 2.0, 1.0]), np.array([1.0, 2.0]), np.array([1.0, 0.0]), np.array([1.0])]
    found = ranking_figures(grades, scores)
    assert found.by_query == pytest.approx({0: 0.5, 1: 0.5})  # (1/2 + 2/4) / 2; the last two cannot be ranked wrongly
    gain = (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))
    assert found.metrics == pytest.approx({"map": 0.5, "mrr": 0.5, "ndcg@10": (gain + 1 / math.log2(3)) / 2})
    assert ranking_figures(grades[2:], scores[2:]).metrics == {}


def test_equal_scores_gain_nothing_from_the_order():
    worst = ranking_figures([np.array([0, 1])], [np.array([0.0, 1.0]) * 0]).metrics
    assert ranking_figures([np.array([1, 0])], [np.zeros(2)]).metrics == worst and worst["mrr"] == 0.5


@pytest.mark.parametrize(("relevant", "texts"), [(1, 4), (2, 5), (3, 4)])
def test_random_order_is_the_mean_over_all_orders(relevant, texts):
    grades = np.array([1] * relevant + [0] * (texts - relevant))
    orders = [np.array(order, dtype=float) for order in itertools.permutations(range(texts))]
    mean = ranking_figures([grades] * len(orders), orders).metrics["map"]
    assert random_average_precision(relevant, texts) == pytest.approx(mean)


def test_score_of_rankings():
    records = [pair(text=t, label=y) for t, y in (("a", 0.0), ("b", 1.0), ("c", 0.0))] + [pair("x ?", "d", 0.0)]
    score = RerankTask().score([np.array([v]) for v in (3.0, 2.0, 1.0, -1.0)], records, [])
    assert score.main == score.evaluation.metrics["map"] == 0.5 and score.evaluation.main_metric == "map"
    assert score.evaluation.metrics["accuracy"] == 0.5
    assert score.evaluation.baseline == pytest.approx({"order given": 0.5, "random order": (1 + 1 / 2 + 1 / 3) / 3})
    (worst,) = score.evaluation.worst
    assert (worst.pair, worst.gold) == ("a", "place 2: b")
    listwise = RerankTask("listwise").score([np.array([v]) for v in (3.0, 2.0, 1.0, -1.0)], records, [])
    assert set(listwise.evaluation.metrics) == {"map", "mrr", "ndcg@10"}
    unordered = [pair(text=r.pair, label=r.label, **{UNORDERED: True}) for r in records[:3]]
    assert "order given" not in RerankTask().score([np.zeros(1)] * 3, unordered, []).evaluation.baseline


def test_score_of_pairs_that_stand_alone():
    records = [pair(f"q{i}", "t", y) for i, y in enumerate((1.0, 0.0, 0.0, 1.0))]
    logits = np.array([2.0, -1.0, 1.0, 3.0])
    evaluation = score_pairs(logits, records, metric="accuracy", top_grade=1.0).evaluation
    expected = {"accuracy": 0.75, "f1": 0.8, "average_precision": 1.0}
    assert {k: evaluation.metrics[k] for k in expected} == pytest.approx(expected)
    assert evaluation.metrics["loss"] == pytest.approx(np.log1p(np.exp([-2.0, -1.0, 1.0, -3.0])).mean())
    assert evaluation.baseline == {"accuracy": 0.5}
    with pytest.raises(DataError, match="so there is no map"):
        score_pairs(logits, records, metric="map", top_grade=1.0)


def test_fractions_count_from_one_half():
    records = [pair(text=t, label=y) for t, y in (("a", 0.4), ("b", 0.9))]
    assert score_pairs(np.array([1.0, 2.0]), records, metric="map", top_grade=1.0).main == 1.0
    assert score_pairs(np.array([2.0, 1.0]), records, metric="map", top_grade=1.0).main == 0.5


# --- The task -------------------------------------------------------------------------------------------------------------


def test_options():
    graded = RerankTask.from_records([pair(label=3.0), pair(text="b", label=0.0)], {})
    assert graded.to_dict() == {
        "name": "rerank", "loss": "cross-entropy", "metric": "map", "top_grade": 3.0, "list_length": 16,
    }  # fmt: skip
    assert RerankTask.from_dict(graded.to_dict()) == graded
    assert RerankTask.from_records([pair(), pair("other ?", "b", 0.0)], {}).metric == "accuracy"
    assert RerankTask.of_foreign(["LABEL_0"], "") == RerankTask()
    for options, says in (
        ({"los": "listwise"}, "Did you mean 'loss'"),
        ({"loss": "listwize"}, "Did you mean 'listwise'"),
        ({"loss": "listwise", "metric": "accuracy"}, "no metric 'accuracy'"),
        ({"list_length": 1}, "at least 2"),
        ({"top_grade": "high"}, "no rerank task"),
    ):
        with pytest.raises(ConfigError) as caught:
            RerankTask.from_records([pair(), pair(text="b", label=0.0)], options)
        assert says in str(caught.value)
    with pytest.raises(DataError, match="no text of the training data is relevant"):
        RerankTask.from_records([pair(label=0.0)], {})
    with pytest.raises(ConfigError, match="this model has 2"):
        RerankTask.of_foreign(["no", "yes"], "")


def test_named_benchmarks_take_options_of_the_task_or_refuse_them(tmp_path):
    (tmp_path / "train.txt").write_text(PLAIN)
    (tmp_path / "dev.txt").write_text(PLAIN)
    more = dict(train=None, dev=None, data=str(tmp_path), columns=None, dev_fraction=0.1, limit=None)
    assert read_splits("wikiqa", options={"loss": "listwise"}, **more).task == RerankTask("listwise")
    assert read_splits("quora", options={}, **more).task.metric == "accuracy"
    with pytest.raises(UsageError, match="conll2003 has no option 'labels'"):
        read_splits("conll2003", options={"labels": ["PER"]}, **more)
    with pytest.raises(UsageError, match="the model answers rerank"):
        OFFICIAL["squad/v1"].of_model(RerankTask())
    with pytest.raises(DataError, match=r"has no WikiQA-test\.tsv or test\.txt"):
        OFFICIAL["wikiqa"].files(tmp_path, "test")


def test_queries_are_held_out_whole():
    records = [pair(f"q{i % 20}", f"t{i}", float(i % 3 == 0)) for i in range(100)]
    train, dev = hold_out(records, 0.2, RerankTask.source)
    assert {r.text for r in train}.isdisjoint(r.text for r in dev) and len({r.text for r in dev}) == 4
    assert RerankTask.source(pair(query_id=3)) == 3


def test_ranked():
    found = ranked([Relevance(0.2), Relevance(0.9), Relevance(0.2)], ["a", "b", "c"])
    assert [r.to_dict() for r in found] == [
        {"index": 1, "score": 0.9, "text": "b"}, {"index": 0, "score": 0.2, "text": "a"}, {"index": 2, "score": 0.2, "text": "c"},
    ]  # fmt: skip
    assert len(ranked([Relevance(0.2)] * 3, ["a", "b", "c"], 2)) == 2


def test_without_the_library_training_is_refused_at_once(tokenizer, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ir_measures", None)
    with pytest.raises(MachineError, match="ir-measures"):
        encode(RerankTask(), [pair()], tokenizer, training=True)
    assert ranking.METRICS == ("map", "mrr", "ndcg@10") and encode(RerankTask(), [pair()], tokenizer)[0]


def test_copies_are_held_out_together():
    records = [Record(f"text {n % 50}", label=str(n % 2)) for n in range(200)]
    train, dev = hold_out(records, 0.1)
    assert not {r.text for r in train} & {r.text for r in dev}
    assert len(train) + len(dev) == 200 and {r.label for r in dev} == {"0", "1"}
    train, dev = hold_out([Record("the same", label="a")] * 20, 0.1)
    assert (len(train), len(dev)) == (18, 2), "where there is nothing else"


def test_some_records_keep_the_texts_of_a_query_together():
    records = [Record(f"query {n // 4}", pair=f"text {n}", label="1") for n in range(40)]
    found = some_of(records, 10, RerankTask.source)
    assert len(found) == 8 and found == [r for r in records if r.text in {one.text for one in found}]
    assert found == some_of(records, 10, RerankTask.source), "always the same"
    assert len(some_of(records, 1, RerankTask.source)) == 4, "one query at least"
    assert some_of(records, 100, RerankTask.source) == records and len(some_of(records, 10)) == 10
