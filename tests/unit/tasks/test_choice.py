"""Questions with options: layouts, Google's input layout, scores over options."""

import json
import re

import numpy as np
import pytest
import torch

from litebert.config import AlbertConfig
from litebert.errors import ConfigError, DataError
from litebert.model.heads import AlbertForMultipleChoice
from litebert.tasks.base import predict_outputs
from litebert.tasks.choice.data import read_choices
from litebert.tasks.choice.task import ChoiceTask
from litebert.tasks.datasets import hold_out
from litebert.tasks.examples import TextSettings, WindowCount, collate
from litebert.tasks.official.table import OFFICIAL
from litebert.tasks.reading.records import Record, parse_columns
from litebert.text import AlbertTokenizer

RACE = {
    "id": "middle3.txt", "article": "Light is reflected.", "questions": ["We see _ .", "What is it about?"],
    "options": [["light", "heat"], ["Colours", "Light", "Heat"]], "answers": ["A", "B"],
}  # fmt: skip
DREAM = [[["M: Hello.", "W: Bye."], [{"question": "Who?", "choice": ["A man", "Both"], "answer": "Both"}], "1-2"]]


@pytest.fixture(scope="module")
def tokenizer():
    return AlbertTokenizer.bundled()


def written(tmp_path, rows, name):
    path = tmp_path / name
    text = json.dumps(rows) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text)
    return path


def test_race_in_both_shapes(tmp_path):
    one, two = read_choices(written(tmp_path, [RACE], "dev.jsonl"), labels_required=True)
    assert (one.text, one.pair, one.label, one.id) == ("We see _ .", "Light is reflected.", "0", "middle3.txt-0")
    assert two.extra == {"options": ("Colours", "Light", "Heat"), "part": "middle"} and two.label == "1"
    (tmp_path / "race" / "dev" / "middle").mkdir(parents=True)
    (tmp_path / "race" / "dev" / "middle" / "3.txt").write_text(json.dumps(RACE))
    assert OFFICIAL["race"].read(tmp_path / "race", "dev", warnings=[]) == [one, two]
    assert OFFICIAL["race"].available(tmp_path / "race") == ["dev"]
    (tmp_path / "race" / "test-high.jsonl").write_text(json.dumps(RACE))
    (tmp_path / "race" / "test-middle.jsonl").write_text(json.dumps(RACE))
    assert len(OFFICIAL["race"].read(tmp_path / "race", "test", warnings=[])) == 4


def test_ids_are_numbers_or_text(tmp_path):
    rows = [{"id": own, "question": "q", "options": "a | b", "answer": "b"} for own in ([1], 7)]
    records = read_choices(written(tmp_path, rows, "a.jsonl"), labels_required=True)
    assert [r.id for r in records] == ["[1]", 7] and records[0].extra["options"] == ("a", "b")


def test_dream(tmp_path):
    (record,) = read_choices(written(tmp_path, DREAM, "dev.json"), labels_required=True)
    assert (record.pair, record.label, record.id) == ("M: Hello.\nW: Bye.", "1", "1-2-0")


@pytest.mark.parametrize("answer", ["B", "b", 1, "1", 1.0, "heat", " heat "])
def test_answers(tmp_path, answer):
    rows = [{"question": "What?", "options": ["light", "heat"], "answer": answer}]
    (record,) = read_choices(written(tmp_path, rows, "a.jsonl"), labels_required=True)
    assert record.label == "1" and record.pair is None


def test_an_answer_that_may_mean_two_options(tmp_path):
    """RACE has such a question (high9830, blood types) and means letters; DREAM means the option; nobody knows of other files."""
    options = ["B", "A", "AB", "O"]
    race = {**RACE, "questions": ["Which?"], "options": [options], "answers": ["A"]}
    assert read_choices(written(tmp_path, [race], "race.jsonl"), labels_required=True)[0].label == "0"
    row = {"question": "Which?", "options": options, "answer": "A"}
    one = written(tmp_path, [{**row, "example_id": "high9830.txt"}], "row.jsonl")
    assert read_choices(one, labels_required=True)[0].label == "0"
    dream = [[["M: Hello."], [{"question": "Which?", "choice": options, "answer": "A"}], "1-2"]]
    assert read_choices(written(tmp_path, dream, "dream.json"), labels_required=True)[0].label == "1"
    with pytest.raises(DataError, match=r"'A' of 'Which.' is option 2 as a text and option 1 as a place"):
        read_choices(written(tmp_path, [row], "any.jsonl"), labels_required=True)
    number = {"question": "How many?", "options": ["3", "0", "1", "2"], "answer": "1"}
    with pytest.raises(DataError, match="option 3 as a text and option 2 as a place"):
        read_choices(written(tmp_path, [number], "any.jsonl"), labels_required=True)
    places = written(tmp_path, [{**number, "answer": 1}, {**number, "options": ["0", "1", "2"]}], "any.jsonl")
    assert [record.label for record in read_choices(places, labels_required=True)] == ["1", "1"]


def test_tables(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('question,context,A,B,C,answer\n"Which?","A text",x,y,z,C\n')
    (record,) = read_choices(path, labels_required=True)
    assert record.extra["options"] == ("x", "y", "z") and record.label == "2" and record.pair == "A text"


def test_columns_by_other_names(tmp_path):
    """A column that is named is the one that counts, whatever else is there."""
    row = {"question": "no", "frage": "Which?", "text": "about", "options": ["x", "y"], "answer": "A", "richtig": "B"}
    path = written(tmp_path, [row], "a.jsonl")
    columns = parse_columns("text=frage,pair=text,label=richtig")
    (record,) = read_choices(path, columns=columns, labels_required=True)
    assert (record.text, record.pair, record.label) == ("Which?", "about", "1")
    with pytest.raises(DataError, match="there is no column 'fragen'"):
        read_choices(path, columns=parse_columns("text=fragen"), labels_required=True)


def test_tables_with_questions_of_fewer_options(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('question,A,B,C,answer\n"Which?",x,y,z,C\n"Which?",x,y,,B\n')
    records = read_choices(path, labels_required=True)
    assert [record.extra["options"] for record in records] == [("x", "y", "z"), ("x", "y")]


@pytest.mark.parametrize("key", ["1", 1, "2"])
def test_arc_counts_from_one_where_its_labels_do(tmp_path, key):
    """Some of ARC's questions name their options 1 to 4; the answer is one of these names, not a number from 0."""
    choices = {"text": ["light", "heat", "rain", "wind"], "label": ["1", "2", "3", "4"]}
    rows = [{"id": "a", "question": "What?", "choices": choices, "answerKey": key}]
    rows.append({**rows[0], "choices": {**choices, "label": ["A", "B", "C", "D"]}, "answerKey": "AB"[int(key) - 1]})
    stem = {"stem": "What?", "choices": [{"text": t, "label": n} for t, n in zip(*choices.values(), strict=True)]}
    rows.append({"id": "b", "question": stem, "answerKey": key})
    for record in read_choices(written(tmp_path, rows, "a.jsonl"), labels_required=True):
        assert record.label == str(int(key) - 1) and record.extra["options"] == tuple(choices["text"])


def test_race_s_parts_are_told_from_a_question_a_line(tmp_path):
    row = {"example_id": "high19088.txt", "article": "a", "question": "q", "options": ["x", "y"], "answer": "A"}
    one, two = read_choices(
        written(tmp_path, [row, {**row, "example_id": "highland-7"}], "a.jsonl"), labels_required=True
    )
    assert one.extra["part"] == "high" and "part" not in two.extra


def test_answers_are_not_read_to_be_answered(tmp_path):
    rows = [{"question": "What?", "options": ["light", "heat"], "answer": "nobody knows"}, {**RACE, "answers": ["A"]}]
    path = written(tmp_path, rows, "a.jsonl")
    assert [r.label for r in ChoiceTask.stream(path, columns=None, format=None, warnings=[])] == [None] * 3


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": "q", "options": ["a"], "answer": 0}, "has 1 options"),
        ({"question": "q", "options": ["a", " ", "b"], "answer": 0}, "option 2 of the question 'q' is no text"),
        ({"question": "q", "answer": 0}, "has 0 options"),
        ({"question": "q", "options": ["a", 3], "answer": 0}, "option 2 of the question 'q' is no text"),
        ({"question": "q", "options": ["a", "b"], "answer": "c"}, "is none of its 2 options"),
        ({"question": "q", "options": ["a", "b"], "answer": 2}, "is none of its 2 options"),
        ({"question": "q", "options": ["a", "b"]}, "no answer"),
        ({"options": ["a", "b"], "answer": 0}, "is no text"),
        ({**RACE, "options": [["a", "b"]]}, "2 questions and 1 lists of options"),
        ({**RACE, "answers": ["A"]}, "2 questions and 1 answers"),
        ({**RACE, "answers": 5}, "2 questions and no answers"),
        ({**RACE, "options": 5}, "2 questions and no lists of options"),
        ({"question": "q", "options": ["a", "b"], "answer": float("nan")}, "no answer"),
    ],
)
def test_bad_rows(tmp_path, row, says):
    path = written(tmp_path, [row], "a.jsonl")
    with pytest.raises(DataError, match=re.escape(says)) as caught:
        read_choices(path, labels_required=True)
    assert str(caught.value.path).endswith("a.jsonl")


def record(question="We see _ .", article="Light is reflected.", options=("light", "heat", "a cold winter"), label="0"):
    return Record(question, article, label, extra={"options": tuple(options)})


def test_the_layout_is_google_s(tokenizer):
    (example,) = ChoiceTask().examples([record()], tokenizer, TextSettings(max_length=64), count=WindowCount())
    assert example.groups == (0, 1, 2) and example.target == 0
    for (ids, types), option in zip(example.windows, ("light", "heat", "a cold winter"), strict=True):
        whole = tokenizer.encode("Light is reflected.", f"We see {option} .")
        assert (ids, types) == (whole.ids, whole.type_ids)
    (drawn,) = ChoiceTask().examples(
        [record("We see ____ .")], tokenizer, TextSettings(max_length=64), count=WindowCount()
    )
    assert drawn.windows == example.windows, "one gap"
    (behind,) = ChoiceTask().examples([record("What?")], tokenizer, TextSettings(max_length=64), count=WindowCount())
    assert behind.windows[1][0] == tokenizer.encode("Light is reflected.", "What? heat").ids


def test_long_questions_keep_their_end_and_long_articles_are_windowed(tokenizer):
    count = WindowCount()
    long = record("why " * 300 + "_", "river stone " * 200)
    (example,) = ChoiceTask().examples([long], tokenizer, TextSettings(max_length=64, stride=8), count=count)
    assert (
        count.windowed == count.truncated == 1
        and len(example.windows) % 3 == 0
        and list(example.groups) == sorted(example.groups)
    )
    assert all(len(ids) <= 64 for ids, _ in example.windows)
    assert {tuple(ids[-2:-1]) for ids, _ in example.windows[: len(example.windows) // 3]} == {
        tuple(tokenizer.encode("why light").ids[-2:-1])
    }
    (few,) = ChoiceTask().training_examples([long], tokenizer, TextSettings(max_length=64, max_windows=2), count=count)
    assert few.groups == (0, 0, 1, 1, 2, 2) and count.truncated == 2
    cut = TextSettings(max_length=64, long_text="truncate")
    (one,) = ChoiceTask().examples([long], tokenizer, cut, count=count)
    assert one.groups == (0, 1, 2) and count.truncated == 3


def test_a_long_question_is_cut_and_counted(tokenizer):
    count = WindowCount()
    records = [record("why " * 300 + "_"), record()]
    ChoiceTask().training_examples(records, tokenizer, TextSettings(max_length=512), count=count)
    assert (count.truncated, count.windowed) == (1, 0)


def test_questions_with_different_numbers_of_options_share_a_batch(tokenizer):
    """A question's logits do not depend on its neighbours, and an option's are the best of its windows."""
    torch.manual_seed(0)
    config = AlbertConfig(
        vocab_size=tokenizer.vocab_size, embedding_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    model = AlbertForMultipleChoice(config).eval()
    records = [record(), record("What?", "river stone " * 60, ("one", "two"), "1")]
    task = ChoiceTask()
    examples = task.examples(records, tokenizer, TextSettings(max_length=48, stride=8), count=WindowCount())
    found = predict_outputs(task, model, examples, pad_id=tokenizer.pad_id)
    assert [len(row) for row in found] == [3, 2]
    for row, example in zip(found, examples, strict=True):
        best = [-np.inf] * len(example.detail)
        for (ids, types), group in zip(example.windows, example.groups, strict=True):
            with torch.inference_mode():
                logit = model(torch.tensor([[ids]]), token_type_ids=torch.tensor([[types]])).logits.item()
            best[group] = max(best[group], logit)
        assert row == pytest.approx(best, abs=1e-5)
    batch = collate(examples, tokenizer.pad_id)
    logits = task.logits(model, batch)
    expected = sum(-torch.from_numpy(row).log_softmax(-1)[int(r.label)] for row, r in zip(found, records, strict=True))
    assert float(task.loss(logits, batch).detach()) == pytest.approx(float(expected), rel=1e-4)
    assert torch.isfinite(task.distance(logits, logits.detach()))


def test_figures_by_part():
    parts = ["middle", "middle", "high", "high"]
    records = [Record("q", "t", "0", extra={"options": ("a", "b"), "part": part}) for part in parts]
    outputs = [np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([2.0, 0.0]), np.array([1.0, 0.5])]
    examples = [type("E", (), {"detail": ("a", "b")})() for _ in records]
    score = ChoiceTask().score(outputs, records, examples)
    told = {name: value for name, value in score.evaluation.metrics.items() if name.startswith("accuracy")}
    assert told == {"accuracy": 0.75, "accuracy_high": 1.0, "accuracy_middle": 0.5}
    answer = ChoiceTask().answer(outputs[:1], examples[:1])[0].to_dict()
    assert answer["label"] == "A" and answer["answer"] == "a" and len(answer["scores"]) == 2


def test_bad_calls(tokenizer):
    with pytest.raises(ConfigError, match="no option"):
        ChoiceTask.from_records([], {"labels": ["a"]})
    with pytest.raises(DataError, match="has no options"):
        ChoiceTask().examples([Record("q")], tokenizer, TextSettings(), count=WindowCount())


def test_questions_without_an_article_are_not_one_source():
    """They were held out all together or not at all."""
    records = [Record(f"q{i}", None, "0") for i in range(60)]
    records += [Record(f"q{i}", f"article {i // 5}", "0") for i in range(60, 100)]
    train, dev = hold_out(records, 0.25, ChoiceTask.source)
    assert 10 <= len(dev) <= 40 and not {r.pair for r in train if r.pair} & {r.pair for r in dev}
    assert any(r.pair is None for r in dev) and any(r.pair is None for r in train)


def test_one_question_with_other_options_is_no_copy():
    rows = [Record("Which is true?", label="0", extra={"options": (f"a{n}", f"b{n}")}) for n in range(40)]
    train, dev = hold_out(rows, 0.1, ChoiceTask.source, ChoiceTask.content)
    assert (len(train), len(dev)) == (36, 4)
    train, dev = hold_out(rows * 2, 0.1, ChoiceTask.source, ChoiceTask.content)
    assert not {r.extra["options"] for r in train} & {r.extra["options"] for r in dev}


def test_shares_are_calibrated_on_held_out_questions():
    """Logits that are three times too sure; questions have two or three options."""
    draw = np.random.default_rng(0)
    true = [draw.normal(size=2 + n % 2) for n in range(400)]
    labels = [int(draw.choice(len(row), p=np.exp(row) / np.exp(row).sum())) for row in true]
    outputs = [(3 * row).astype(np.float32) for row in true]
    records = [
        Record("q", label=str(label), extra={"options": ("a", "b", "c")[: len(row)]})
        for row, label in zip(true, labels, strict=True)
    ]
    examples = [type("E", (), {"detail": record.extra["options"]})() for record in records]
    tuned, score = ChoiceTask().tune_and_score(outputs, records, examples)
    assert tuned.temperature == pytest.approx(3, rel=0.2)
    figures = score.evaluation.metrics
    assert figures["ece"] < 0.08 < figures["uncalibrated_ece"] and figures["nll"] < figures["loss"]
    assert (
        score.evaluation.ece == figures["ece"] and score.evaluation.uncalibrated and next(iter(figures)) == "accuracy"
    )
    one, same = tuned.answer(outputs[:1], examples[:1])[0], ChoiceTask().answer(outputs[:1], examples[:1])[0]
    assert one.label == same.label and one.score < same.score
    assert ChoiceTask.from_dict(tuned.to_dict()) == tuned and ChoiceTask.from_dict({"name": "choice"}) == ChoiceTask()
    with pytest.raises(ConfigError, match="a temperature of 0"):
        ChoiceTask.from_dict({"temperature": 0})
    few, score = ChoiceTask().tune_and_score(outputs[:20], records[:20], examples[:20])
    assert few == ChoiceTask() and "uncalibrated_ece" not in score.evaluation.metrics
