"""Coherence: which label is which, what is kept of long pairs, how one text is split; orders and drift."""

from itertools import permutations

import numpy as np
import pytest
import torch

import litebert
from litebert.errors import ConfigError, DataError
from litebert.tasks.base import Passes
from litebert.tasks.coherence import task as coherence
from litebert.tasks.coherence.drift import depths
from litebert.tasks.coherence.order import _improved, best_order, worth
from litebert.tasks.coherence.task import _encode, split_in_two
from litebert.tasks.model_folder import load_zero_shot
from litebert.tasks.reading.documents import of_sentences
from litebert.tasks.reading.records import Record
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
    pair = (" ".join(words(first)), " ".join(words(second)))
    ids, types = _encode(tokenizer, pair, 32)
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


# --- Order and drift ------------------------------------------------------------------------------------------------------


def preferences(order, rng, noise=0.0):
    """Log-odds of somebody who knows the order."""
    place = np.argsort(order)
    return np.sign(place[None] - place[:, None]) + noise * rng.normal(size=(len(order),) * 2)


@pytest.mark.parametrize("count", [1, 2, 5, 12, 13, 30])
def test_who_knows_the_order_gets_it_back(count):
    rng = np.random.default_rng(count)
    order = rng.permutation(count).tolist()
    assert best_order(preferences(order, rng)) == order
    assert best_order(preferences(order, rng).T) == order[::-1]


def test_up_to_a_dozen_the_best_of_all_orders_is_found():
    rng = np.random.default_rng(0)
    for count in (2, 3, 4, 6):
        for _ in range(10):
            preference = rng.normal(size=(count, count))
            best = max(worth(preference, list(p)) for p in permutations(range(count)))
            assert worth(preference, best_order(preference)) == pytest.approx(best)


def test_beyond_a_dozen_no_single_move_helps_and_little_is_lost():
    rng = np.random.default_rng(1)
    for _ in range(5):
        preference = rng.normal(size=(12, 12))
        near = _improved(preference - preference.T)
        assert worth(preference, near) >= 0.95 * worth(preference, best_order(preference))
        for sentence in range(12):
            rest = [k for k in near if k != sentence]
            moved = [worth(preference, [*rest[:place], sentence, *rest[place:]]) for place in range(12)]
            assert max(moved) <= worth(preference, near) + 1e-9


def test_nothing_known_changes_nothing():
    assert best_order(np.zeros((6, 6))) == list(range(6)) and best_order(np.zeros((20, 20))) == list(range(20))


TRUE = ["He woke up.", "He made tea.", "He drank it. It was hot.", "He left the house.", "He came back.", "He slept."]


def test_a_shuffled_paragraph_is_put_in_order(loaded, monkeypatch):
    """By somebody who knows the story; every ordered pair is asked once, and two documents do not mix."""
    asked = []

    def knows(_loaded, pairs, _passes, **_options):
        asked.extend(pairs)
        right = [TRUE.index(a) < TRUE.index(b) for a, b in pairs]
        return np.array([[2.0, 0.0] if yes else [0.0, 1.0] for yes in right], dtype=np.float32)

    monkeypatch.setattr(coherence, "order_logits", knows)
    shuffled = [3, 0, 5, 2, 4, 1]
    records = [of_sentences([TRUE[i] for i in shuffled]), of_sentences(TRUE[::-1][:2]), Record(""), Record("One.")]
    whole, two, nothing, one = loaded.answer(records, Passes(), {"mode": "order"})
    assert list(whole.sentences) == TRUE and [shuffled[k] for k in whole.order] == list(range(6))
    assert [records[0].text[a:b] for a, b in whole.spans] == TRUE and whole.text == " ".join(TRUE)
    assert whole.score == pytest.approx(1.5) and whole.given_score < whole.score
    assert two.order == (1, 0) and nothing.order == () and one.sentences == ("One.",)
    assert len(asked) == len(set(asked)) + 2 == 6 * 5 + 2  # the two of the second document are asked again


def test_orders_that_cannot_be_found(loaded):
    with pytest.raises(DataError, match="101 sentences") as caught:
        loaded.answer([Record("A b. " * 101, line=5)], Passes(), {"mode": "order"})
    assert caught.value.line == 5
    for mode in ("order", "drift"):
        with pytest.raises(DataError, match="one text"):
            loaded.answer([Record("a", pair="b")], Passes(), {"mode": mode})
    with pytest.raises(ConfigError, match="Did you mean 'order'"):
        loaded.answer([Record("a")], Passes(), {"mode": "ordre"})


RIVER = "The river rose in the night. The river flooded the bridge. People at the river left the bridge. The flooded river fell."
BREAD = (
    "Bread needs flour and yeast. Knead the flour and the yeast. Bake the bread until the flour is brown. Bread cools."
)


def test_a_change_of_subject_is_a_break(loaded):
    text = f"{RIVER}  {BREAD}"
    (answer,) = loaded.answer([Record(text)], Passes(), {"mode": "drift", "width": 2})
    assert len(answer.boundaries) == 7 and [b.sentence for b in answer.breaks] == [4]
    (found,) = answer.breaks
    assert text[found.position :].startswith("Bread needs") and found.score == answer.score
    assert answer.to_dict()["breaks"] == [answer.to_dict()["boundaries"][3]]
    (strict,) = loaded.answer([Record(text)], Passes(), {"mode": "drift", "width": 2, "strictness": 9.0})
    assert strict.breaks == ()


def test_depths_are_climbed_to_the_next_peak():
    """Hearst 1997, figure 4."""
    assert depths(np.array([0.5, 0.2, 0.6, 0.9, 0.4])) == pytest.approx([0, 0.3 + 0.7, 0.3, 0, 0.5])
    assert depths(np.array([])).shape == (0,)


@pytest.mark.parametrize("measure", ["words", "vectors", "order"])
def test_every_measure_scores_every_boundary(loaded, measure):
    records = [Record(RIVER), Record("One."), Record(""), Record(BREAD)]
    answers = loaded.answer(records, Passes(), {"mode": "drift", "measure": measure})
    assert [len(a.boundaries) for a in answers] == [3, 0, 0, 3] and answers[1].score == 1.0
    alone = loaded.answer([Record(BREAD)], Passes(), {"mode": "drift", "measure": measure})[0]
    assert [b.score for b in alone.boundaries] == pytest.approx([b.score for b in answers[3].boundaries], abs=1e-5)
    assert all(0 <= b.score <= 1 for b in alone.boundaries) and len({b.score for b in alone.boundaries}) > 1


def test_the_bundled_model_orders_and_drifts():
    pipe = litebert.load("litebert-small-en", task="coherence", precision="fp32")
    order = pipe({"sentences": TRUE[::-1]}, mode="order")
    assert sorted(order.order) == list(range(6)) and order.score >= order.given_score
    found = pipe([f"{RIVER} {BREAD}", RIVER], mode="drift", measure="vectors")
    assert [len(one.boundaries) for one in found] == [7, 3]
