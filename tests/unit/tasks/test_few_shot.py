"""Few examples a label: which pairs are made, what is learnt of them, what is answered."""

import json
from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from litebert.errors import ConfigError, DataError
from litebert.tasks.classify.few_shot import FewShotTask
from litebert.tasks.embed.losses import contrastive
from litebert.tasks.examples import TextSettings, WindowCount, collate
from litebert.tasks.reading.records import Record
from litebert.text import AlbertTokenizer

WORDS = ["ship", "sea", "bread", "soup", "candle", "lamp", "horse", "dog", "door", "window"]


@pytest.fixture(scope="module")
def tokenizer():
    return AlbertTokenizer.bundled()


def records(*counts):
    return [
        Record(f"{WORDS[i % 10]} {WORDS[(i // 10) % 10]}", label=f"l{n}")
        for n, count in enumerate(counts)
        for i in range(count)
    ]


def pairs(tokenizer, task, found):
    return task.training_examples(found, tokenizer, TextSettings(max_length=16, stride=0), count=WindowCount())


def test_each_record_meets_partners_of_its_label(tokenizer):
    found = records(5, 6)
    task = FewShotTask.from_records(found, {"partners": 3})
    examples = pairs(tokenizer, task, found)
    assert Counter(e.target for e in examples) == {0: 15, 1: 18}
    ids = {
        tuple(e.windows[0][0])
        for e in task.examples(found[:5], tokenizer, TextSettings(max_length=16), count=WindowCount())
    }
    for example in examples[:15]:
        first, second = (tuple(window[0]) for window in example.windows)
        assert first in ids and second in ids and first != second
    assert len({tuple(e.windows[1][0]) for e in examples[:3]}) == 3  # partners differ


def test_so_many_of_each_label(tokenizer):
    found = records(30, 9, 2)
    examples = pairs(tokenizer, FewShotTask.from_records(found, {"per_label": 4, "partners": 2}), found)
    assert Counter(e.target for e in examples) == {0: 8, 1: 8, 2: 4}


def test_a_lone_record_is_its_own_partner(tokenizer):
    found = records(3, 1)
    examples = [e for e in pairs(tokenizer, FewShotTask.from_records(found, {"partners": 2}), found) if e.target == 1]
    assert len(examples) == 2 and examples[0].windows[0] == examples[0].windows[1]


def test_one_label_is_refused(tokenizer):
    found = records(3, 3)
    task = FewShotTask.from_records(found, {})
    with pytest.raises(DataError, match="fewer than two labels"):
        pairs(tokenizer, task, found[:3])


@pytest.mark.parametrize("options", [{"partners": 0}, {"per_label": "8"}, {"kind": "regression"}, {"partner": 3}])
def test_options_are_checked(options):
    with pytest.raises(ConfigError):
        FewShotTask.from_records([Record("a", label=1.0), Record("b", label=2.0)], options)


def test_loss_reads_first_texts_and_partners_in_turn(tokenizer):
    found = [
        Record("ship sea " * 12, label="a"),
        Record("bread", label="b"),
        Record("sea", label="a"),
        Record("soup", label="b"),
    ]
    task = FewShotTask.from_records(found, {"partners": 1})
    batch = collate(pairs(tokenizer, task, found), tokenizer.pad_id)
    assert len(batch["owner"]) > 8  # a long text has windows
    torch.manual_seed(0)
    logits, vectors = torch.randn(len(batch["owner"]), 2), F.normalize(torch.randn(len(batch["owner"]), 5), dim=-1)

    def model(*_):
        return type("Out", (), {"logits": logits, "sentence_embedding": vectors})

    both = task.logits(model, batch)
    assert both.shape == (8, 7)
    rows = (batch["owner"] == 0) & (batch["group"] == 0)
    assert torch.allclose(both[0], torch.cat([logits, vectors], -1)[rows].mean(0), atol=1e-6)
    labels = batch["labels"]
    units = F.normalize(both[:, 2:], dim=-1)
    expected = contrastive(units[0::2], units[1::2], labels, 0.1)
    expected = (
        expected
        + (
            F.cross_entropy(both[0::2, :2], labels, reduction="sum")
            + F.cross_entropy(both[1::2, :2], labels, reduction="sum")
        )
        / 2
    )
    assert task.loss(both, batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_it_is_kept():
    task = FewShotTask.from_records(records(3, 3), {"per_label": 2, "partners": 5})
    data = json.loads(json.dumps(task.to_dict()))
    again = FewShotTask.from_dict(data)
    assert data["name"] == "few-shot" and again == task and isinstance(again, FewShotTask)


def test_a_pair_is_as_far_from_a_teacher_as_its_texts():
    task = FewShotTask.from_records(records(3, 3), {})
    ours, theirs = torch.randn(1, 2), torch.randn(1, 2)
    pair, taught = (torch.cat([x, torch.zeros(1, 4)], dim=1).repeat(2, 1) for x in (ours, theirs))
    assert task.distance(pair, taught).item() == pytest.approx(task.distance(ours, theirs).item(), rel=1e-5)
