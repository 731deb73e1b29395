"""Entities: tag schemes, layouts, words and pieces, whole-entity figures."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from litebert.errors import ConfigError, DataError, UsageError
from litebert.model.heads import IGNORED
from litebert.tasks.examples import TextSettings, WindowCount, collate
from litebert.tasks.ner.data import WORDS, Span, Tagged, has_words, iter_tagged, read_tagged, tagged_words, words_of
from litebert.tasks.ner.tags import bio_tags, entities_of, parsed_tag
from litebert.tasks.ner.task import NerTask, first_tokens, of_tokens
from litebert.tasks.reading.records import Record, parse_columns
from litebert.text import AlbertTokenizer

TEXT = "Peter Blackburn lives in Brussels, near the U.S. embassy."


@pytest.fixture(scope="module")
def tokenizer():
    return AlbertTokenizer.bundled()


# --- Tags -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-A I-A O B-B", [(0, 2, "A"), (3, 4, "B")]),  # IOB2
        ("I-A I-A O I-B", [(0, 2, "A"), (3, 4, "B")]),  # IOB1
        ("I-A B-A I-A", [(0, 1, "A"), (1, 3, "A")]),  # IOB1: two that touch
        ("B-A E-A S-B O S-B", [(0, 2, "A"), (2, 3, "B"), (4, 5, "B")]),  # BIOES
        ("B-A L-A U-A I-A", [(0, 2, "A"), (2, 3, "A"), (3, 4, "A")]),  # BILOU, and an I that begins
        ("O I-A I-B I-B", [(1, 2, "A"), (2, 4, "B")]),
        ("B-A B-A", [(0, 1, "A"), (1, 2, "A")]),
        ("", []),
        ("O O", []),
    ],
)
def test_schemes(tags, expected):
    assert entities_of(tags.split()) == expected


def test_tags_and_back():
    draw = np.random.default_rng(0)
    for _ in range(50):
        cuts = np.sort(draw.choice(20, 6, replace=False)).tolist()
        spans = [(a, b, str(draw.choice(["X", "Y"]))) for a, b in zip(cuts[::2], cuts[1::2], strict=True)]
        assert entities_of(bio_tags(spans, 20)) == spans


def test_what_is_no_tag():
    assert parsed_tag("O") == ("O", "") and parsed_tag("I-geo-loc") == ("I", "geo-loc")
    assert all(parsed_tag(tag) is None for tag in ("", "X-A", "B", "B-", "B- A", "o", "PER"))
    assert parsed_tag("B-job title") == ("B", "job title"), "annotation programs allow spaces"


# --- Files ----------------------------------------------------------------------------------------------------------------


def test_conll_columns(tmp_path):
    path = tmp_path / "eng.testa"
    path.write_text(
        "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n\n\nPeter NNP I-NP I-PER\nB NNP I-NP I-PER\n"
    )
    one, two = read_tagged(path, labels_required=True)
    assert (
        one.text == "EU rejects"
        and one.label == Tagged((Span(0, 2, "ORG"),))
        and one.extra == {WORDS: ((0, 2), (3, 10))}
    )
    assert two.text == "Peter B" and two.label.entities == (Span(0, 7, "PER"),) and (one.line, two.line) == (3, 7)
    tabs = tmp_path / "wnut.conll"
    tabs.write_text("New York\tB-loc\nis\tO\n")
    (record,) = read_tagged(tabs, labels_required=True)
    assert words_of(record) == [(0, 8), (9, 11)]


def test_json_spans_and_words(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [
        {
            "text": TEXT,
            "entities": [{"start": 25, "end": 33, "label": "LOC", "word": "brussels"}, [0, 15, "PER"]],
            "id": 7,
        },
        {"tokens": ["Peter", "left"], "ner_tags": ["B-PER", "O"]},
        {"text": "nothing", "entities": []},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    one, two, three = read_tagged(path, labels_required=True)
    assert one.label == Tagged((Span(0, 15, "PER"), Span(25, 33, "LOC"))) and one.id == 7
    assert two.text == "Peter left" and two.label.entities == (Span(0, 5, "PER"),) and three.label == Tagged(())


def test_what_annotation_programs_write(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [
        {"id": 1, "text": TEXT, "label": [[0, 15, "PER"], [25, 33, "LOC"]]},  # doccano
        {"text": TEXT, "entities": [{"id": 3, "label": "PER", "start_offset": 0, "end_offset": 15}], "relations": []},
        {"text": TEXT, "label": [{"start": 0, "end": 15, "text": TEXT[:15], "labels": ["PER"]}]},  # Label Studio
        {"text": TEXT, "spans": [{"start": 0, "end": 15, "token_start": 0, "token_end": 1, "label": "PER"}]},  # Prodigy
        {"text": TEXT, "label": []},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, *others, none = read_tagged(path, labels_required=True)
    assert first.label == Tagged((Span(0, 15, "PER"), Span(25, 33, "LOC")))
    assert all(one.label == Tagged((Span(0, 15, "PER"),)) for one in others) and none.label == Tagged(())
    path.write_text('{"text": "abc", "label": "spam"}\n{"text": "abc", "label": ["a"]}\n')
    assert [one.label for one in read_tagged(path, labels_required=False)] == [None, None], "labels of other tasks"


def test_prodigy_s_words_and_what_was_turned_down(tmp_path):
    words = [
        {"text": text, "start": start, "end": start + len(text), "id": i}
        for i, (text, start) in enumerate([("Ann", 0), (" ", 3), ("b", 5)])
    ]
    good = {
        "text": "Ann  b",
        "tokens": words,
        "spans": [{"start": 0, "end": 3, "label": "job title "}],
        "answer": "accept",
    }
    path = tmp_path / "a.jsonl"
    path.write_text(
        "".join(json.dumps(row) + "\n" for row in (good, {**good, "answer": "reject"}, {**good, "answer": "ignore"}))
    )
    warnings = []
    (record,) = read_tagged(path, labels_required=True, warnings=warnings)
    assert record.label.entities == (Span(0, 3, "job title"),) and record.extra[WORDS] == ((0, 3), (5, 6))
    assert warnings == [f"{path}: 2 texts that were turned down (answer) are left out (first: line 2)"]
    task = NerTask.from_records([record], {})
    assert task.labels == ("O", "B-job title", "I-job title") and NerTask.from_dict(task.to_dict()) == task
    found = list(NerTask.stream(path, columns=None, format=None, warnings=[]))
    assert [r.label for r in found] == [None] * 3, "each row is answered"
    path.write_text(json.dumps({**good, "tokens": [{"text": "b", "start": 5, "end": 9}]}))
    with pytest.raises(DataError, match="a word is"):
        read_tagged(path, labels_required=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"tokens": ["Ann", "lives"], "ner_tags": [1, 0]}\n'),
        ("a.conll", "Ann NNP\nlives VBZ\n"),
        ("a.jsonl", '{"text": "Ann lives", "tokens": ["Ann", "lives"], "tags": ["B-PER", null]}\n'),
    ],
)
def test_tags_are_not_read_to_be_answered(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    (record,) = NerTask.stream(path, columns=None, format=None, warnings=[])
    assert (record.text, record.label, record.extra[WORDS]) == ("Ann lives", None, ((0, 3), (4, 9)))
    with pytest.raises(DataError, match="no tag"):
        read_tagged(path, labels_required=True)


def test_words_alone_are_enough_to_be_answered(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("Peter\nleft\n\nhome\n")
    first, second = read_tagged(path, labels_required=False)
    assert (first.text, second.text) == ("Peter left", "home") and first.label is second.label is None
    assert [first.text[a:b] for a, b in words_of(first)] == ["Peter", "left"]
    path.write_text("Peter\nleft O\n")
    assert read_tagged(path, labels_required=False)[0].text == "Peter left", (
        "further columns are passed over, as elsewhere"
    )


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.conll", "EU X-ORG\n", "line 1 ends with 'X-ORG', which is no tag"),
        ("a.conll", "EU\n", "line 1 has one column"),
        ("a.conll", "Peter NNP I-NP I-PER\nRome NNP I-NP\n", "line 2 has 3 columns where the first has 4"),
        ("a.conll", "\n\n", "no sentence"),
        ("a.jsonl", '{"text": "abc", "entities": [{"start": 1, "end": 9, "label": "A"}]}', "1 to 9 of a text of 3"),
        ("a.jsonl", '{"text": "abc", "entities": [[0, 2, "A"], [1, 3, "A"]]}', "'ab' and 'bc' overlap"),
        ("a.jsonl", '{"text": "abc", "entities": [{"start": "0", "end": 1, "label": "A"}]}', "an entity is"),
        (
            "a.jsonl",
            '{"text": "ä Köln now", "entities": [{"start": 3, "end": 8, "label": "A", "text": "Köln"}]}',
            "an entity at 3 to 8 is 'öln n' in the text, not 'Köln'",
        ),
        ("a.jsonl", '{"text": "abc", "label": [{"start": 0, "end": 1, "labels": ["A", "B"]}]}', "an entity is"),
        ("a.jsonl", '{"text": "abc", "category": "b"}', "without entities; there is 'text', 'category'"),
        ("a.jsonl", '{"tokens": ["a"], "tags": ["O", "O"]}', "1 words and 2 tags"),
        ("a.jsonl", '{"tokens": ["a"], "tags": [3]}', "3 is no tag"),
        ("a.jsonl", '{"tokens": ["a", ""], "tags": ["O", "O"]}', "a word is no text"),
        ("a.jsonl", '{"entities": []}', "there is no text"),
        ("a.jsonl", '{"text": "a", "entities": 5}', "the entities are a number"),
    ],
)
def test_bad_files(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=re.escape(says)) as caught:
        read_tagged(path, labels_required=True)
    assert str(caught.value.path).endswith(name)


# --- Words and pieces -----------------------------------------------------------------------------------------------------


def test_words_of_raw_text():
    words = [TEXT[a:b] for a, b in words_of(Record(TEXT))]
    assert words == ["Peter", "Blackburn", "lives", "in", "Brussels", ",", "near", "the", "U.S", ".", "embassy", "."]
    cut = Record(TEXT, label=Tagged((Span(0, 3, "X"),)))
    assert [TEXT[a:b] for a, b in tagged_words(cut)][:2] == ["Pet", "er"], "ends of entities are ends of words"


def test_where_no_spaces_are_every_character_is_a_word():
    """Else a run of them is one word, and no name in it can be found."""
    text = "我在北京大学, iPhoneを"
    words = [text[a:b] for a, b in words_of(Record(text))]
    assert words == ["我", "在", "北", "京", "大", "学", ",", "iPhone", "を"]


def test_words_that_begin_in_one_token_are_one():
    words = [(0, 1), (1, 2), (2, 3), (4, 6), (7, 8), (8, 9)]
    assert of_tokens(words, [0, 0, 1, 2, None, None]) == (
        [(0, 2), (2, 3), (4, 6), (7, 8), (8, 9)],
        [0, 1, 2, None, None],
    )


def test_gold_ends_help_in_training_only(tokenizer, tmp_path):
    """A model that is scored must not be told where entities end: it is asked without that."""
    path = tmp_path / "a.jsonl"
    path.write_text(
        json.dumps({"text": "UK-based firms left Rome", "entities": [[0, 2, "ORG"], [20, 24, "LOC"]]}) + "\n"
    )
    warnings = []
    (record,) = NerTask.read(path, columns=None, options={}, labels_required=True, warnings=warnings)
    assert warnings == ["a.jsonl: 1 of 2 entities begin or end inside a word, where none can be found (first: 'UK')"]
    task = NerTask.from_records([record], {})
    asked, scored = (
        task.examples([one], tokenizer, TextSettings(), count=WindowCount())[0].detail
        for one in (Record(record.text), record)
    )
    assert asked == scored and [record.text[a:b] for a, b in asked.words] == ["UK-based", "firms", "left", "Rome"]
    (trained,) = task.training_examples([record], tokenizer, TextSettings(), count=WindowCount())
    tags = [task.labels[tag] for tag in trained.target[trained.target != IGNORED]]
    assert tags == ["B-ORG", "O", "O", "O", "B-LOC"], "UK, -based, firms, left, Rome"


def test_given_words_stay_what_they_are_when_labels_are_gone(tokenizer, tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("in O\nthe O\nU.S. B-LOC\n. O\n")
    (record,) = read_tagged(path, labels_required=False)
    task = NerTask(("O", "B-LOC", "I-LOC"))
    (example,) = task.examples([replace(record, label=None)], tokenizer, TextSettings(), count=WindowCount())
    assert [record.text[a:b] for a, b in example.detail.words] == ["in", "the", "U.S.", "."]


def test_types_that_the_model_does_not_know_are_told(tokenizer):
    record = Record("Peter left", label=Tagged((Span(0, 5, "PER"),)))
    task = NerTask(("O", "B-LOC", "I-LOC"))
    examples = task.examples([record], tokenizer, TextSettings(), count=WindowCount())
    (note,) = task.score([np.zeros((1, 16, 3), dtype=np.float32)], [record], examples).evaluation.notes
    assert "'PER' (1)" in note


def test_first_tokens():
    offsets = [(0, 3), (3, 5), (5, 5), (6, 9), (9, 15)]
    assert first_tokens([(0, 5), (6, 15), (16, 18)], offsets) == [0, 3, None]
    assert first_tokens([(0, 2), (2, 5)], [(0, 5)]) == [0, 0]


def long_record(rng):
    names, fill = ["Brussels", "Paris", "London"], ["river", "stone", "walked", "slowly", "because"]
    words, spans, at = [], [], 0
    for _ in range(150):
        word = str(rng.choice(names if rng.random() < 0.2 else fill))
        if word in names:
            spans.append(Span(at, at + len(word), "LOC"))
        words.append(word)
        at += len(word) + 1
    return Record(" ".join(words), label=Tagged(tuple(spans)))


def test_every_word_is_trained_once_and_read_back(tokenizer):
    """Scores that are the targets give the entities back, across windows."""
    rng = np.random.default_rng(0)
    records = [long_record(rng) for _ in range(5)]
    task = NerTask.from_records(records, {})
    settings, count = TextSettings(max_length=32, stride=8), WindowCount()
    examples = task.examples(records, tokenizer, settings, count=count)
    trained = task.training_examples(records, tokenizer, settings, count=WindowCount())
    assert count.windowed == 5 and len(trained) == sum(len(e.windows) for e in examples)
    outputs, at = [], 0
    for example, record in zip(examples, records, strict=True):
        targets = [t.target for t in trained[at : at + len(example.windows)]]
        at += len(example.windows)
        assert sum(int((t != IGNORED).sum()) for t in targets) == len(words_of(record))
        scores = np.zeros((len(targets), 32, len(task.labels)), dtype=np.float32)
        for row, target in enumerate(targets):
            places = np.flatnonzero(target != IGNORED)
            scores[row, places, target[places]] = 9.0
        outputs.append(scores)
    for answer, record in zip(task.answer(outputs, examples), records, strict=True):
        assert [(e.start, e.end, e.entity_group) for e in answer.entities] == [
            (s.start, s.end, s.label) for s in record.label.entities
        ]
        assert all(record.text[e.start : e.end] == e.word and e.score > 0.99 for e in answer.entities)
    assert task.score(outputs, records, examples).main == 1.0


def test_batches_pad_tags_and_the_loss_ignores_the_rest(tokenizer):
    rng = np.random.default_rng(1)
    records = [long_record(rng), Record("Paris", label=Tagged((Span(0, 5, "LOC"),)))]
    task = NerTask.from_records(records, {})
    examples = task.training_examples(records, tokenizer, TextSettings(max_length=32), count=WindowCount())
    batch = collate([examples[0], examples[-1]], tokenizer.pad_id)
    assert batch["labels"].shape == batch["input_ids"].shape and (batch["labels"][1, 3:] == IGNORED).all()
    logits = torch.randn(*batch["labels"].shape, len(task.labels))
    chosen = batch["labels"] != IGNORED
    expected = -logits.log_softmax(-1)[chosen].gather(1, batch["labels"][chosen][:, None]).sum()
    assert float(task.loss(logits, batch)) == pytest.approx(float(expected), rel=1e-5)
    assert task.weight(batch) == int(chosen.sum())


def test_figures_are_of_whole_entities(tokenizer):
    """Half an entity is a wrong one and a missed one; so is one of another type."""
    record = Record("Peter Blackburn in Brussels", label=Tagged((Span(0, 15, "PER"), Span(19, 27, "LOC"))))
    task = NerTask(("O", "B-LOC", "I-LOC", "B-PER", "I-PER"))
    examples = task.examples([record], tokenizer, TextSettings(max_length=32), count=WindowCount())
    scores = np.zeros((1, 32, 5), dtype=np.float32)
    for place, tag in zip(examples[0].detail.places, ("B-PER", "O", "O", "B-LOC"), strict=True):
        scores[0, place[1], task.labels.index(tag)] = 9
    metrics = task.score([scores], [record], examples).evaluation
    assert metrics.metrics == {"f1": 0.5, "precision": 0.5, "recall": 0.5}
    assert [row["f1"] for row in metrics.per_label] == [1.0, 0.0] and metrics.worst[
        0
    ].predicted == "PER: Peter; LOC: Brussels"


def test_bad_tasks(tokenizer):
    with pytest.raises(DataError, match="no entity"):
        NerTask.from_records([Record("a", label=Tagged(()))], {})
    with pytest.raises(ConfigError, match="no option"):
        NerTask.from_records([], {"kind": "single"})
    with pytest.raises(ConfigError, match="no tag"):
        NerTask.from_dict({"labels": ["O", "PER"]})
    with pytest.raises(DataError, match="'PER' is none of the model's"):
        record = Record("Peter", label=Tagged((Span(0, 5, "PER"),)))
        NerTask(("O", "B-LOC", "I-LOC")).training_examples([record], tokenizer, TextSettings(), count=WindowCount())
    with pytest.raises(DataError, match="not two"):
        NerTask(("O",)).examples([Record("a", "b")], tokenizer, TextSettings(), count=WindowCount())


def test_columns_are_refused_not_unheeded(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "Paris", "body": "Rome", "entities": []}) + "\n")
    with pytest.raises(UsageError, match="fixed names"):
        NerTask.read(path, columns=parse_columns("text=body"), options={}, labels_required=True, warnings=[])
    assert [r.text for r in NerTask.stream(path, columns=parse_columns("text=body"), format=None, warnings=[])] == [
        "Rome"
    ]


def test_texts_are_read_as_they_are_asked_for(tmp_path):
    path = tmp_path / "a.jsonl"
    good = json.dumps({"tokens": ["Peter", "ran"]})
    path.write_text((good + "\n") * 200 + json.dumps({"tokens": ["one", 2]}) + "\n")
    records = iter_tagged(path, labels_required=False)
    assert [next(records).text for _ in range(200)] == ["Peter ran"] * 200
    with pytest.raises(DataError, match="a word is no text") as error:
        next(records)
    assert error.value.line == 201


@pytest.mark.parametrize(
    ("name", "content", "format", "expected"),
    [
        ("a.conll", "Peter O\n", None, True),
        ("a.txt", "Peter O\n", "conll", True),
        ("a.txt", "Peter ran\n", None, False),
        ("a.jsonl", '{"tokens": ["Peter"]}\n', None, True),
        ("a.jsonl", '{"text": "Peter"}\n', None, False),
        ("a.csv", "tokens\nPeter\n", None, False),
    ],
)
def test_which_files_say_what_their_words_are(tmp_path, name, content, format, expected):
    (tmp_path / name).write_text(content)
    assert has_words(tmp_path / name, format) is expected
