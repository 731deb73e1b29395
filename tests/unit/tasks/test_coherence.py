"""Coherence: which label is which, what is kept of long pairs, how one text is split."""

import pytest
import torch

from litebert.errors import ConfigError, DataError
from litebert.tasks.base import Passes
from litebert.tasks.coherence import _encode, split_in_two
from litebert.tasks.model_folder import load_zero_shot
from litebert.tasks.records import Record
from litebert.text import AlbertTokenizer

PAIRS = [
    ("The sun rose.", "It was warm."),
    ("It was warm.", "The sun rose."),
    ("a b c " * 40, "One."),
    ("x", "d e f " * 40),
]


@pytest.fixture(scope="module")
def loaded(pretrained):
    return load_zero_shot(pretrained, "coherence")


@pytest.fixture(scope="module")
def tokenizer():
    return AlbertTokenizer.bundled()


def ask(loaded, pairs, **passes):
    return loaded.answer([Record(text=a, pair=b) for a, b in pairs], Passes(**passes), {})


@pytest.mark.parametrize(("bias", "label"), [([3.0, 0.0], "in_order"), ([0.0, 3.0], "swapped")])
def test_class_0_is_in_order(bias, label, pretrained):
    loaded = load_zero_shot(pretrained, "coherence")
    loaded.model.sentence_order.weight.data.zero_()
    loaded.model.sentence_order.bias.data = torch.tensor(bias)
    (answer,) = ask(loaded, PAIRS[:1])
    other = {"in_order": "swapped", "swapped": "in_order"}[label]
    high = pytest.approx(torch.tensor([3.0, 0.0]).softmax(0)[0].item())
    assert answer.to_dict() == {
        "label": label, "score": high,
        "scores": [{"label": label, "score": high}, {"label": other, "score": pytest.approx(1 - high.expected)}],
    }  # fmt: skip


def test_the_probability_is_that_of_the_pretraining_model_and_of_transformers(loaded, pretrained, tokenizer):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AlbertForPreTraining.from_pretrained(pretrained).eval()
    for (first, second), answer in zip(PAIRS[:2], ask(loaded, PAIRS[:2]), strict=True):
        encoding = tokenizer.encode(first, second)
        inputs = {"input_ids": torch.tensor([encoding.ids]), "token_type_ids": torch.tensor([encoding.type_ids])}
        with torch.inference_mode():
            for model in (loaded.model, theirs):
                expected = model(**inputs).sop_logits.softmax(-1)[0, 0].item()
                assert dict(answer.scores)["in_order"] == pytest.approx(expected, abs=1e-5)
    one, two = ask(loaded, PAIRS[:2])
    assert dict(one.scores)["in_order"] != pytest.approx(dict(two.scores)["in_order"], abs=1e-3)  # the order counts


def test_batches_answer_as_each_pair_alone(loaded):
    together = ask(loaded, PAIRS, tokens=40)
    for pair, answer in zip(PAIRS, together, strict=True):
        (alone,) = ask(loaded, [pair])
        assert dict(answer.scores) == pytest.approx(dict(alone.scores), abs=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (10, 10, (10, 10)),
        (40, 5, (24, 5)),
        (5, 40, (5, 24)),
        (40, 40, (15, 14)),
        (18, 30, (15, 14)),
        (12, 30, (12, 17)),
    ],
)
def test_long_pairs_keep_what_is_near_their_meeting(first, second, kept, tokenizer):
    numbers = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    words = lambda n: [numbers[i % 10] for i in range(n)]  # noqa: E731
    record = Record(text=" ".join(words(first)), pair=" ".join(words(second)))
    ids, types = _encode(tokenizer, record, 32)
    pieces = [tokenizer.id_to_piece(i).lstrip("▁") for i in ids]
    a, b = kept
    assert pieces == ["[CLS]", *words(first)[first - a :], "[SEP]", *words(second)[:b], "[SEP]"]
    assert types == [0] * (a + 2) + [1] * (b + 1) and len(ids) == min(32, first + second + 3)


@pytest.mark.parametrize(
    ("text", "halves"),
    [
        ("One is here. Two is there.", ("One is here.", "Two is there.")),
        (" It rained. We stayed in and read for hours! Then it stopped. ",
         ("It rained. We stayed in and read for hours!", "Then it stopped.")),
        ("A short one. And here is a sentence that is a good deal longer than the rest? Yes. No.",
         ("A short one.", "And here is a sentence that is a good deal longer than the rest? Yes. No.")),  # 30 against 35
        ("first line\nsecond line", ("first line", "second line")),
    ],
)  # fmt: skip
def test_one_text_is_split_near_its_middle(text, halves):
    assert split_in_two(text) == halves


def test_one_text_answers_as_its_halves(loaded):
    (whole,) = loaded.answer([Record(text="One is here. Two is there.")], Passes(), {})
    (halves,) = ask(loaded, [("One is here.", "Two is there.")])
    assert dict(whole.scores) == pytest.approx(dict(halves.scores))


@pytest.mark.parametrize(
    "record", [Record(text="One sentence.", line=4), Record(text="", line=4), Record(text="a", pair=" ", line=4)]
)
def test_what_has_no_order_is_refused_with_its_line(record, loaded):
    with pytest.raises(DataError) as raised:
        loaded.answer([record], Passes(), {})
    assert raised.value.line == 4


def test_options_are_refused(loaded):
    with pytest.raises(ConfigError, match="top_k"):
        loaded.answer([Record(text="a", pair="b")], Passes(), {"top_k": 3})
