"""Question answering: layouts, windows, spans, SQuAD's official figures."""

import json
import re
import string
import zipfile
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from litebert.errors import ConfigError, DataError
from litebert.tasks.datasets import hold_out
from litebert.tasks.examples import TextSettings, WindowCount
from litebert.tasks.qa.data import Gold, located, read_questions
from litebert.tasks.qa.metrics import best_threshold, scored
from litebert.tasks.qa.task import ConditionalQaTask, QaTask
from litebert.tasks.qa.windows import best_conditional_spans, best_spans, encode_questions, with_targets
from litebert.tasks.reading.records import Record, parse_columns
from litebert.text import AlbertTokenizer

CONTEXT = "The Norman dynasty had a major political impact. Normans came from Denmark, Iceland and Norway in the 10th century."


@pytest.fixture(scope="module")
def tokenizer():
    return AlbertTokenizer.bundled()


def squad(*questions, context=CONTEXT):
    return {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": list(questions)}]}]}


DENMARK = ("Denmark", CONTEXT.index("Denmark"))


def question(number=0, answers=(DENMARK,), **more):
    items = [{"text": text, "answer_start": start} for text, start in answers]
    return {"id": f"q{number}", "question": "Where did the Normans come from?", "answers": items, **more}


def written(tmp_path, data, name="dev.json"):
    path = tmp_path / name
    path.write_text(json.dumps(data))
    return path


def read(path, **more):
    warnings = []
    return read_questions(path, labels_required=True, warnings=warnings, **more), warnings


# --- Layouts --------------------------------------------------------------------------------------------------------------


def test_official_layout(tmp_path):
    (one, two), warnings = read(
        written(tmp_path, squad(question(), question(1, [], is_impossible=True, plausible_answers=[{"text": "x"}])))
    )
    assert (one.text, one.pair, one.id) == ("Where did the Normans come from?", CONTEXT, "q0")
    assert one.label == Gold(("Denmark",), (CONTEXT.index("Denmark"),)) and two.label == Gold() and warnings == []


def test_packed_files_are_unpacked(tmp_path):
    path = tmp_path / "dev.json.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("dev.json", json.dumps(squad(question())))
    assert read(path)[0][0].label.texts == ("Denmark",)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other.json", "{}")
    with pytest.raises(DataError, match="holds 2 files"):
        read(path)
    path.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match="no readable zip"):
        read(path)


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "context": CONTEXT, "answers": {"text": ["Denmark"], "answer_start": [70]}},
        {"question": "q", "context": CONTEXT, "answers": [{"text": "Denmark", "answer_start": 70}]},
        {"question": "q", "context": CONTEXT, "answers": ["Denmark"]},
        {"query": "q", "passage": CONTEXT, "answer": "Denmark", "answer_start": 70},
        {"question": "q", "context": CONTEXT, "answer": "Denmark"},
    ],
)
def test_tables(tmp_path, row):
    path = tmp_path / "table.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (record,), _ = read(path)
    assert record.label == Gold(("Denmark",), (CONTEXT.index("Denmark"),)) and record.pair == CONTEXT


@pytest.mark.parametrize("start", [22, [22], "[22]", 22.0])
def test_answers_in_a_list_with_places_in_another_column(tmp_path, start):
    path = tmp_path / "table.jsonl"
    row = {"question": "q", "context": "The cat saw the other cat.", "answers": ["cat"], "answer_start": start}
    path.write_text(json.dumps(row) + "\n")
    (record,), _ = read(path)
    assert record.label == Gold(("cat",), (22,))
    path.write_text(json.dumps({**row, "answers": ["cat", "cat"]}) + "\n")
    with pytest.raises(DataError, match="one answer_start for each"):
        read(path)


def test_a_table_says_what_has_no_answer(tmp_path):
    path = tmp_path / "table.jsonl"
    row = {"id": [1], "question": "q", "context": CONTEXT, "answers": ["Denmark"], "is_impossible": True}
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "id": 2, "is_impossible": False}) + "\n")
    (one, two), warnings = read(path)
    assert one.label == Gold() and one.id == "[1]" and two.label.texts == ("Denmark",)
    assert any("1 questions are said to be impossible" in w for w in warnings)


def test_csv_with_answers_as_text(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(
        'id,question,context,answer,answer_start\n1,q,"Denmark, and Norway",Norway,13\n2,r,"Denmark, and Norway",,\n'
    )
    (one, two), _ = read(path)
    assert one.label == Gold(("Norway",), (13,)) and two.label == Gold()


@pytest.mark.parametrize(("cell", "start"), [("29", 29), ("29.0", 29), ("", 13), ("nan", 13)])
def test_places_of_answers_as_tables_write_them(tmp_path, cell, start):
    path = tmp_path / "table.csv"
    path.write_text(
        f'question,context,answer,answer_start\nq,"Denmark, and Norway; not the Norway you know",Norway,{cell}\n'
    )
    (record,), warnings = read(path)
    assert record.label == Gold(("Norway",), (start,)) and warnings == []


def test_an_answer_that_looks_like_json_is_one(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('question,context,answer\nq,"As others said [12], it rained.",[12]\nr,"A {} is empty.",{}\n')
    one, two = read(path)[0]
    assert one.label == Gold(("[12]",), (15,)) and two.label == Gold(("{}",), (2,))


def test_answers_are_not_read_to_be_answered(tmp_path):
    """Whatever stands there: in other words, at the wrong place, malformed."""
    path = tmp_path / "table.jsonl"
    rows = [
        {"question": "q", "context": CONTEXT, "answers": a}
        for a in (["in other words"], 3, {"text": ["a"], "answer_start": []})
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    warnings = []
    records = list(QaTask.stream(path, columns=None, format=None, warnings=warnings))
    assert [r.label for r in records] == [None] * 3 and warnings == []


def test_columns_by_name_and_by_position(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("Denmark, and Norway\twhere?\tNorway\n")
    (record,), _ = read(path, columns=parse_columns("text=1,pair=0,label=2"))
    assert (record.text, record.label) == ("where?", Gold(("Norway",), (13,)))
    path.write_text("body\tasked\tsaid\n" + path.read_text())
    (record,), _ = read(path, columns=parse_columns("text=asked,pair=body,label=said"))
    assert record.label.texts == ("Norway",)
    with pytest.raises(DataError, match="there is no column 'ask'"):
        read(path, columns=parse_columns("text=ask,pair=body,label=said"))
    lines = tmp_path / "lines.txt"
    lines.write_text("why?\n")
    with pytest.raises(DataError, match="one column, and a question needs a context"):
        read(lines)


def test_answers_are_looked_for_where_they_are_said_to_be():
    assert located("a b a b a", "a", 4) == 4
    assert located("a b a b a", "a", 5) == 4, "the nearest one"
    assert located("a b a b a", "a", None) == 0
    assert located("a b", "c", 0) is None and located("a b", "a", -3) == 0
    assert located("this is it", "is", None) == 5, "not the end of another word"
    assert located("island is it", "is", None) == 7 and located("island is it", "is", 0) == 0
    assert located("北京大学", "京", None) == 1, "where words have no spaces, any"


def test_wrong_offsets_and_lost_answers_are_told(tmp_path):
    data = squad(question(), question(1, [("Norway", 3)]), question(2, [("Sweden", 0)]), question(3))
    records, warnings = read(written(tmp_path, data))
    assert records[1].label.starts == (CONTEXT.index("Norway"),) and records[2].label is None
    assert any("1 questions left without a label" in w and "q2" in w for w in warnings)
    assert any("1 answers stand elsewhere" in w for w in warnings)
    with pytest.raises(DataError, match="2 of 2 questions have answers that are not in their context"):
        read(written(tmp_path, squad(question(1, [("Sweden", 0)]), question(2, [("Sweden", 0)]))))


def test_an_answer_that_only_the_passage_words_otherwise_counts_in_scores(tmp_path, asked):
    data = squad(question(0, [DENMARK, ("the Danish kingdom", 3)]), question(1, [("Sweden", 0)]), question(2))
    records, warnings = read(written(tmp_path, data))
    assert records[0].label == Gold(("Denmark",), (DENMARK[1],), ("the Danish kingdom",))
    assert any("1 answers are not in their context, others of their questions are" in w for w in warnings)
    task, _, examples, outputs = asked
    one = replace(records[0], label=Gold(("Norway",), (0,), ("Denmark",)))
    score = task.score(outputs[:1], [one], examples[:1])
    assert score.main == 1.0 and score.evaluation.notes == []
    score = task.score(outputs[:1] * 2, [one, records[1]], examples[:1] * 2)
    assert score.evaluation.notes == ["1 of 2 questions are scored: of the rest no right answer is known"]


def test_an_impossible_question_with_answers_counts_as_impossible_and_is_told(tmp_path):
    odd = {**question(1, [("Norway", CONTEXT.index("Norway"))]), "is_impossible": True}
    records, warnings = read(written(tmp_path, squad(question(), odd, {**question(2, []), "is_impossible": True})))
    assert records[1].label.texts == () and any("1 questions are said to be impossible" in w for w in warnings)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (squad(question(), question()), "the id 'q0' of question 2 is that of question 1"),
        (squad({"id": "a", "question": "q"}), "'a' has no answers"),
        (squad(question(), context=" "), "has no context"),
        (squad({**question(), "question": None}), "has no question"),
        (squad({**question(), "answers": "x" and 3}), "answers of question 'q0' are a number"),
        (squad({**question(), "answers": [{"text": 3}]}), "an answer of question 'q0'"),
        (squad({**question(), "answers": [3]}), "an answer of question 'q0'"),
        (squad({**question(), "answers": {"text": 5}}), "one answer_start for each"),
        (squad({**question(), "answers": [{"text": "Denmark", "answer_start": "70"}]}), "an answer of question 'q0'"),
        (
            squad({**question(), "answers": {"text": ["Denmark", "Norway"], "answer_start": [70]}}),
            "one answer_start for each",
        ),
        ({"data": [{"paragraphs": [{"qas": []}, {"context": "x"}]}]}, "SQuAD's layout"),
        ({"data": []}, "has no question"),
        ([{"q": "x", "r": "y"}], "no column recognised as the question"),
    ],
)
def test_bad_files(tmp_path, data, says):
    with pytest.raises(DataError, match=re.escape(says)):
        read(written(tmp_path, data))


# --- Windows and spans ----------------------------------------------------------------------------------------------------


def long_context(rng, sentences=40):
    words = ["river", "stone", "bridge", "winter", "orange", "music", "window", "garden", "letter", "silver"]
    return " ".join(" ".join(rng.choice(words, 8)).capitalize() + "." for _ in range(sentences))


def test_windows_cover_the_passage_and_each_token_is_central_once(tokenizer):
    context = long_context(np.random.default_rng(0))
    count = WindowCount()
    settings = TextSettings(max_length=64, stride=16)
    (example,) = encode_questions([Record("What is it?", context)], tokenizer, settings, count=count)
    passage = example.detail
    whole = tokenizer.encode(context)
    central = np.zeros(len(whole) - 2, dtype=int)
    for (ids, types), window in zip(example.windows, passage.windows, strict=True):
        assert len(ids) <= 64 and len(ids) == len(types) and types == sorted(types)
        here = slice(window.first, window.first + window.central.size)
        assert ids[window.at : window.at + window.central.size] == whole.ids[1:-1][here]
        central[here] += window.central
    assert (central == 1).all() and len(example.windows) > 4 and count.windowed == 1


def test_a_long_question_is_cut_and_counted(tokenizer):
    count = WindowCount()
    settings = TextSettings(max_length=128)
    (example,) = encode_questions([Record("why " * 200, CONTEXT)], tokenizer, settings, count=count)
    assert count.truncated == 1 and example.windows[0][1].count(0) <= 64 + 2


def test_every_target_is_found_again(tokenizer):
    """The span of the target's tokens, read back from the text, holds the answer, whatever window it is seen in."""
    rng = np.random.default_rng(1)
    context = long_context(rng)
    words = [(m.start(), m.end()) for m in re.finditer(r"\w+", context)]
    golds, records = [], []
    for _ in range(60):
        first = int(rng.integers(len(words) - 3))
        start, end = words[first][0], words[first + int(rng.integers(1, 3))][1]
        golds.append(Gold((context[start:end],), (start,)))
        records.append(Record("what", context, label=golds[-1]))
    examples = encode_questions(records, tokenizer, TextSettings(max_length=64, stride=16), count=WindowCount())
    for example, gold in zip(examples, golds, strict=True):
        targets = [e.target for e in with_targets([example], [gold])]
        seen = [(t, w) for t, w in zip(targets, example.detail.windows, strict=True) if t[2]]
        assert seen and all(t == (0, 0, 0) for t in targets if not t[2])
        for (start, end, _), window in seen:
            a, b = example.detail.characters(start - window.at + window.first, end - window.at + window.first)
            assert context[a:b] == gold.texts[0]


def test_best_spans_against_brute_force(tokenizer):
    rng = np.random.default_rng(2)
    context = long_context(rng, 12)
    (example,) = encode_questions(
        [Record("what", context)], tokenizer, TextSettings(max_length=48, stride=12), count=WindowCount()
    )
    passage, length = example.detail, max(len(ids) for ids, _ in example.windows)
    scores = rng.normal(size=(len(example.windows), length, 2)).astype(np.float32)
    found, null = best_spans(passage, scores, most=400, longest=5)
    best = {}
    for window, values in zip(passage.windows, scores, strict=True):
        for a in range(window.central.size):
            for b in range(a, min(a + 5, window.central.size)):
                if window.central[a]:
                    place = passage.characters(window.first + a, window.first + b)
                    text = context[slice(*place)]
                    score = values[window.at + a, 0] + values[window.at + b, 1]
                    best[text] = max(best.get(text, -np.inf), score)
    assert null == pytest.approx((scores[:, 0, 0] + scores[:, 0, 1]).min())
    expected = sorted(best.values(), reverse=True)[:400]
    assert [span.score for span in found] == pytest.approx(expected, abs=1e-5)
    assert all(context[s.start : s.end] == context[s.start : s.end].strip() for s in found)
    few, _ = best_spans(passage, scores, most=3, longest=5)
    assert 0 < len(few) <= 3 and few[0].score <= found[0].score


# --- The official figures -------------------------------------------------------------------------------------------------


def official(predicted, golds, version):
    """SQuAD's scripts, told again from their definition: (exact match, F1) of one question."""

    def words(text):
        text = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    def overlap(a, b):
        a, b = words(a), words(b)
        if version == 2 and (not a or not b):
            return float(a == b)
        same = sum((Counter(a) & Counter(b)).values())
        return 0.0 if not same else 2 * (same / len(a)) * (same / len(b)) / (same / len(a) + same / len(b))

    if version == 2:
        golds = [g for g in golds if words(g)] or [""]
    return max(float(words(predicted) == words(g)) for g in golds), max(overlap(predicted, g) for g in golds)


@pytest.mark.parametrize("version", [1, 2])
def test_figures_are_the_official_ones(version):
    golds = [("the Normans", "Normans"), ("A",), ("10th century", "the 10th-century"), ("Denmark, Iceland",), ("an",)]
    golds += [()] if version == 2 else []
    for predicted in ("normans!", "a", "10th", "Iceland and Denmark", "", "the", "Normans of the 10th century"):
        figures = scored([predicted] * len(golds), golds, empty=version == 2)
        for i, right in enumerate(golds):
            assert (figures.exact[i], figures.f1[i]) == pytest.approx(official(predicted, right, version))


def test_the_best_threshold_against_all_thresholds():
    rng = np.random.default_rng(3)
    for _ in range(20):
        null, figures, answerable = rng.normal(size=30), rng.random(30), rng.random(30) < 0.5
        best, threshold = best_threshold(null, figures, answerable)

        def mean(limit, null=null, figures=figures, answerable=answerable):
            answered = null <= limit
            return np.where(answered, np.where(answerable, figures, 0), ~answerable).mean()

        assert best == pytest.approx(max(mean(limit) for limit in [*null, null.min() - 1]))
        assert mean(threshold) == pytest.approx(best)


# --- The task -------------------------------------------------------------------------------------------------------------


def test_a_question_without_any_span_sets_no_threshold():
    figures, there = np.array([1.0, 1.0, 0.0]), np.array([True, True, False])
    best, threshold = best_threshold(np.array([-2.0, 3.0, np.inf]), figures, there)
    assert best == 1 and threshold == 4.0
    assert best_threshold(np.array([np.inf]), np.array([1.0]), np.array([True]))[1] == 0.0


def outputs_for(example, start, end, height=5.0):
    """Scores that are highest for a span of characters."""
    length = max(len(ids) for ids, _ in example.windows)
    scores = np.zeros((len(example.windows), length, 2), dtype=np.float32)
    for row, window in enumerate(example.detail.windows):
        for i in range(window.central.size):
            a, b = example.detail.offsets[window.first + i]
            scores[row, window.at + i] = height * (a <= start < b), height * (a < end <= b)
    return scores


@pytest.fixture(scope="module")
def asked(tokenizer):
    records = [
        Record("Where from?", CONTEXT, Gold(("Denmark",), (CONTEXT.index("Denmark"),))),
        Record("When?", CONTEXT, Gold(("10th century",), (CONTEXT.index("10th"),))),
        Record("Who?", CONTEXT, Gold()),
    ]
    task = QaTask.from_records(records, {})
    examples = task.examples(records, tokenizer, TextSettings(max_length=64), count=WindowCount())
    places = [(r.label.starts[0], r.label.starts[0] + len(r.label.texts[0])) for r in records[:2]]
    outputs = [outputs_for(e, *p) for e, p in zip(examples, [*places, (4, 10)], strict=True)]
    outputs[2][:, 0] = 2.0  # no answer, but the best span is better still
    return task, records, examples, outputs


def test_answers_are_parts_of_the_context(asked):
    task, records, examples, outputs = asked
    for record, answer in zip(records, task.answer(outputs, examples), strict=True):
        data = answer.to_dict()
        assert CONTEXT[data["start"] : data["end"]] == data["answer"]
        assert sum(choice["score"] for choice in data["scores"]) == pytest.approx(1, abs=0.01)
        assert record.label.texts == () or data["answer"] == record.label.texts[0]


def test_the_threshold_is_searched(asked):
    task, records, examples, outputs = asked
    assert task.unanswerable
    before, after = (t.score(outputs, records, examples) for t in (task, task.tune(outputs, records, examples)))
    assert before.main == pytest.approx(2 / 3) and after.main == 1.0
    assert after.evaluation.metrics["f1_no_answer"] == 1.0 and after.evaluation.baseline == {"f1": pytest.approx(1 / 3)}
    tuned = task.tune(outputs, records, examples)
    assert tuned.answer(outputs, examples)[2].to_dict()["answer"] == "" and tuned.threshold < 0
    assert QaTask.from_dict(tuned.to_dict()) == tuned


def test_loss_is_the_mean_of_both_sides_and_ignores_padding(asked):
    task = asked[0]
    torch.manual_seed(0)
    labels = torch.tensor([[3, 5, 1], [0, 0, 0]])
    logits, mask = torch.randn(2, 16, 2), torch.ones(2, 16, dtype=torch.bool)
    mask[1, 10:] = False
    found = task.loss(logits, {"labels": labels, "attention_mask": mask})
    logp = [logits[0].log_softmax(0), logits[1, :10].log_softmax(0)]
    expected = -(logp[0][3, 0] + logp[0][5, 1] + logp[1][0, 0] + logp[1][0, 1]) / 2
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_unlabelled_questions_are_not_trained_on(tokenizer):
    records = [Record("a?", CONTEXT), Record("b?", CONTEXT, Gold(("Norway",), (CONTEXT.index("Norway"),)))]
    task = QaTask.from_records(records, {})
    found = task.training_examples(records, tokenizer, TextSettings(max_length=64), count=WindowCount())
    assert len(found) == 1 and found[0].target[2] == 1 and not task.unanswerable


def test_held_out_questions_without_a_known_answer_are_refused():
    known = Record("b?", CONTEXT, Gold(("Norway",), (CONTEXT.index("Norway"),)))
    QaTask().check_held_out([Record("a?", CONTEXT), known])
    with pytest.raises(DataError, match="no held-out question"):
        QaTask().check_held_out([Record("a?", CONTEXT)])


@pytest.mark.parametrize("options", [{"n_best": 0}, {"longest_answer": "x"}, {"best": 3}])
def test_bad_options(options):
    with pytest.raises(ConfigError):
        QaTask.from_records([], options)


def test_a_question_without_context_is_refused(tokenizer):
    with pytest.raises(DataError, match="needs a context"):
        QaTask().examples([Record("a?")], tokenizer, TextSettings(), count=WindowCount())


def test_questions_on_one_passage_are_held_out_together():
    records = [Record(f"q{i}", f"passage {i // 5}", Gold()) for i in range(50)]
    train, dev = hold_out(records, 0.2, QaTask.source)
    assert len(dev) == 10 and not {r.pair for r in train} & {r.pair for r in dev}


# --- ALBERT's head for SQuAD 2.0 ------------------------------------------------------------------------------------------


def test_best_conditional_spans_against_brute_force(tokenizer):
    rng = np.random.default_rng(5)
    context = long_context(rng, 12)
    (example,) = encode_questions(
        [Record("what", context)], tokenizer, TextSettings(max_length=48, stride=12), count=WindowCount()
    )
    passage, length = example.detail, max(len(ids) for ids, _ in example.windows)
    scores = rng.normal(size=(len(example.windows), length, 2 + 5)).astype(np.float32)
    found, none = best_conditional_spans(passage, scores, most=20, longest=6, beams=4)
    best = {}
    for window, values in zip(passage.windows, torch.from_numpy(scores).double(), strict=True):
        starts = values[:, 0].log_softmax(0)
        for k, start in enumerate(starts.topk(5).indices.tolist()):
            ends = values[:, 2 + k].log_softmax(0)
            for end in ends.topk(4).indices.tolist():
                a, b = start - window.at, end - window.at
                inside = 0 <= a < window.central.size and a <= b < window.central.size
                if inside and window.central[a] and b - a + 1 <= 6:
                    text = context[slice(*passage.characters(window.first + a, window.first + b))]
                    best[text] = max(best.get(text, -np.inf), float(starts[start] + ends[end]))
    assert none == pytest.approx(scores[:, 0, 1].min())
    assert len(best) > 3
    assert {context[s.start : s.end]: s.score for s in found} == pytest.approx(best, abs=1e-6)


def test_whether_there_is_an_answer_is_decided_by_its_own_logit(asked):
    _, records, examples, _ = asked
    task = QaTask.from_records(records, {"head": "conditional"})
    assert isinstance(task, ConditionalQaTask) and task.unanswerable
    outputs = []
    for example, none in zip(examples, (1.0, 1.5, 2.5), strict=True):
        length = max(len(ids) for ids, _ in example.windows)
        scores = np.zeros((1, length, 7), np.float32)
        place = {0: "Denmark", 1: "10th century", 2: "Normans"}[len(outputs)]
        shape = outputs_for(example, CONTEXT.index(place), CONTEXT.index(place) + len(place))
        scores[:, :, 0], scores[:, :, 2:] = shape[..., 0], shape[..., 1:]
        scores[:, 0, 1] = none
        outputs.append(scores)
    tuned, score = task.tune_and_score(outputs, records, examples)
    assert score.main == 1.0 and tuned.threshold == pytest.approx(2.0)  # between 1.5 and 2.5
    assert [answer.to_dict()["answer"] for answer in tuned.answer(outputs, examples)] == ["Denmark", "10th century", ""]
    assert QaTask.from_dict(json.loads(json.dumps(tuned.to_dict()))) == tuned


def test_the_loss_is_googles(asked):
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 16, 3), torch.tensor([[3, 5, 1], [0, 0, 0]])
    found = ConditionalQaTask(unanswerable=True).loss(logits, {"labels": labels})
    spans = -sum(logits[i, :, c].log_softmax(0)[labels[i, j]] for i in (0, 1) for c, j in ((0, 0), (2, 1)))
    none = torch.nn.functional.softplus(logits[0, 0, 1]) + torch.nn.functional.softplus(-logits[1, 0, 1])
    assert float(found) == pytest.approx(float(0.5 * spans + 0.5 * none), rel=1e-5)
