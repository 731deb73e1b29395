"""Fill-mask: masks in texts of any length, targets, options; against transformers' pipeline on the same weights."""

import pytest
import torch

from litebert.errors import ConfigError, DataError, UsageError
from litebert.tasks.base import Passes
from litebert.tasks.fill_mask.task import Filling, Fillings, _encode, _start, target_ids
from litebert.tasks.fill_mask.words import around
from litebert.tasks.model_folder import load_zero_shot
from litebert.tasks.reading.records import Record
from litebert.text import AlbertTokenizer
from tests.pretrained_folders import pretrained_folder


@pytest.fixture(scope="module")
def loaded(pretrained):
    return load_zero_shot(pretrained, "fill-mask")


@pytest.fixture(scope="module")
def ask(loaded):
    def ask_it(*texts, passes=None, **options):
        return loaded.answer([Record(text=text) for text in texts], passes or Passes(), options)

    return ask_it


@pytest.fixture(scope="module")
def tokenizer():
    return AlbertTokenizer.bundled()


def pieces(tokenizer, text):
    return [tokenizer.id_to_piece(i) for i in _encode(tokenizer, Record(text=text))]


# Reading --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Rome is [MASK] now", "▁rome ▁is [MASK] ▁now"),
        ("Rome is [MASK].", "▁rome ▁is [MASK] ."),  # no lone space before the full stop
        ("[MASK]ing!?", "[MASK] ing ! ?"),
        ("[MASK][MASK] [MASK]", "[MASK] [MASK] [MASK]"),
        ("x\n[MASK]\n", "▁x [MASK]"),
        ("[MASK]日本 x", "[MASK] <unk> ▁x"),
        ("[MASK] .", "[MASK] ▁ ."),  # the writer put a space there
        ("[SEP] [MASK] <pad>", "▁[ s ep ] [MASK] ▁ < pad >"),  # only the mask is special
    ],
)
def test_pieces_around_masks(text, expected, tokenizer):
    found = pieces(tokenizer, text)
    assert found[0] == "[CLS]" and found[-1] == "[SEP]"
    if "[SEP]" in text:
        assert found.count("[SEP]") == 1 and "<pad>" not in found
    else:
        assert found[1:-1] == expected.split()


def test_a_masked_word_leaves_the_rest_of_the_pieces_as_they_were(tokenizer):
    for word in ("rome", "walk", "no"):
        text = f"They said {word}, then “{word}” and {word}."
        whole = [p if p != f"▁{word}" else "[MASK]" for p in tokenizer.encode(text).pieces]
        assert pieces(tokenizer, text.replace(f" {word}", " [MASK]")) == whole


@pytest.mark.parametrize("text", ["", "no mask", "[mask]", "MASK", "<mask>"])
def test_no_mask_is_an_error_that_shows_one(text, ask):
    with pytest.raises(DataError, match="no mask") as raised:
        ask("a [MASK]", text)
    assert "[MASK]" in raised.value.hint


def test_a_pair_is_refused_with_its_line(loaded):
    with pytest.raises(DataError, match="one text") as raised:
        loaded.answer([Record(text="a [MASK]", pair="b", line=7)], Passes(), {})
    assert raised.value.line == 7


# Answers --------------------------------------------------------------------------------------------------------------

TEXTS = ["Paris is the [MASK] of France.", "[MASK] Ünïcode (yes)", "“quotes” 2010, and 5,000 [MASK]", "don't [MASK]"]
SEVERAL = ["[MASK] and [MASK] went", "a [MASK] [MASK]"]


@pytest.fixture(scope="module")
def theirs(pretrained):
    transformers = pytest.importorskip("transformers")
    model = transformers.AlbertForMaskedLM.from_pretrained(pretrained).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(pretrained)
    return transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)


def same(ours, expected):
    assert isinstance(ours, list) and len(ours) == len(expected)
    for one, other in zip(ours, expected, strict=True):
        if isinstance(other, list):
            same(one, other)
        else:
            assert one.to_dict() == {**other, "score": pytest.approx(other["score"], rel=1e-4)}


@pytest.mark.parametrize("text", TEXTS + SEVERAL)
def test_answers_are_those_of_transformers(text, ask, theirs):
    same(ask(text)[0], theirs(text))
    same(ask(text, top_k=2)[0], theirs(text, top_k=2))


def test_targets_are_those_of_transformers_where_it_gets_them_right(ask, theirs):
    words = ["▁small", "▁king", "▁big"]
    same(ask(TEXTS[0], targets=["small", "king", "big"])[0], theirs(TEXTS[0], targets=words))


def test_several_texts_answer_as_each_alone(ask):
    texts = [*TEXTS, *SEVERAL, "[MASK] " * 40, "a word " * 50 + "[MASK]"]
    together = ask(*texts, passes=Passes(tokens=64))
    for text, answer in zip(texts, together, strict=True):
        (alone,) = ask(text)
        assert flat(answer) == pytest.approx(flat(alone), rel=1e-4)


def flat(answer):
    return [one.score for one in answer] if isinstance(answer[0], Filling) else [s for a in answer for s in flat(a)]


def test_a_long_text_is_read_around_its_mask(ask, loaded):
    before, after = "the long story went on " * 30, " and on it went again" * 30
    (answer,) = ask(f"Start {before}[MASK]{after} end.")
    ids = _encode(loaded.tokenizer, Record(text=f"Start {before}[MASK]{after} end."))
    at = ids.index(loaded.tokenizer.mask_id)
    window = [ids[0], *ids[at - 15 : at + 15], ids[-1]]  # 32 positions, the mask in the middle
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([window])).logits[0, 16]
    scores = logits.softmax(-1)
    assert answer[0].token == int(scores.argmax()) and answer[0].score == pytest.approx(float(scores.max()), rel=1e-4)
    assert answer[0].sequence.startswith("start the long") and answer[0].sequence.endswith("again end.")


@pytest.mark.parametrize("length", [31, 32, 33, 34, 100])
def test_every_mask_is_inside_its_window(length):
    for at in range(1, length - 1):
        start = _start(at, length, 32)
        assert 0 <= start <= max(0, length - 32) and 1 <= at - start <= min(length, 32) - 2


def test_masks_at_both_ends_of_a_long_text(ask):
    (answer,) = ask("[MASK] " + "word " * 100 + "[MASK]")
    assert len(answer) == 2
    assert answer[0][0].sequence.endswith("[MASK][SEP]") and "[MASK]" not in answer[0][0].sequence[:-11]
    assert answer[1][0].sequence.startswith("[CLS][MASK]") and not answer[1][0].sequence.endswith("[MASK][SEP]")


def test_the_length_it_was_trained_with_counts(tmp_path):
    short = load_zero_shot(pretrained_folder(tmp_path / "m", info={"text": {"max_length": 16}}), "fill-mask")
    seen = []
    short.model.albert.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    short.answer([Record(text="word " * 60 + "[MASK]")], Passes(), {})
    assert seen == [16]


def test_rows_beyond_the_vocabulary_are_never_answers(tmp_path):
    loaded = load_zero_shot(pretrained_folder(tmp_path / "m", vocab_size=30100), "fill-mask")
    loaded.model.predictions.bias.data[30000:] = 100
    (answer,) = loaded.answer([Record(text="a [MASK]")], Passes(), {"top_k": 30100})
    assert len(answer) == 30000 and sum(one.score for one in answer) == pytest.approx(1, abs=1e-4)


def test_as_json(ask):
    one, two = ask("a [MASK]", "[MASK] [MASK]", top_k=2)
    assert one.to_dict() == {**one[0].to_dict(), "scores": [one[0].to_dict(), one[1].to_dict()]}
    assert two.to_dict() == {"masks": [two[0].to_dict(), two[1].to_dict()]} and isinstance(two[0], Fillings)


# Targets and options ----------------------------------------------------------------------------------------------------


def test_a_target_is_a_word_and_not_the_ending_spelt_like_it(tokenizer):
    assert {"able", "▁able"} <= set(tokenizer.vocabulary)
    found = target_ids(tokenizer, ["Able", "▁big", "big", "."])
    assert [tokenizer.id_to_piece(i) for i in found] == ["▁able", "▁big", "."]


@pytest.mark.parametrize(
    ("targets", "says"),
    [([], "empty"), (["antidisestablishment"], "pieces"), (["日"], "vocabulary"), ([""], "vocabulary")],
)
def test_targets_that_cannot_be_scored(targets, says, ask):
    with pytest.raises(UsageError, match=says):
        ask("a [MASK]", targets=targets)


def test_the_first_piece_stands_in_when_asked(ask, tokenizer):
    (answer,) = ask("a [MASK]", targets="antidisestablishment", first_piece=True)
    assert [one.token for one in answer] == [tokenizer.encode("antidisestablishment").ids[1]]


def test_targets_are_ranked_and_cap_top_k(ask):
    (answer,) = ask("a [MASK]", targets=["king", "small", "big", "king"], top_k=9)
    assert len(answer) == 3 and [a.score for a in answer] == sorted((a.score for a in answer), reverse=True)
    (everything,) = ask("a [MASK]", top_k=30000)
    probabilities = {a.token: a.score for a in everything}
    assert [probabilities[a.token] for a in answer] == pytest.approx([a.score for a in answer])


@pytest.mark.parametrize(("options", "says"), [({"top_k": 0}, "top_k"), ({"topk": 3}, "Did you mean 'top_k'")])
def test_wrong_options(options, says, ask):
    with pytest.raises(ConfigError) as raised:
        ask("a [MASK]", **options)
    assert says in str(raised.value)


# Whole words ----------------------------------------------------------------------------------------------------------


def test_a_word_of_one_piece_has_the_probability_of_the_piece(ask):
    options = {"targets": ["house", "river", "stone"], "top_k": 3}
    text = "It is a [MASK] in the [MASK]."
    (by_piece,), (by_word,) = ask(text, **options), ask(text, whole_words=True, **options)
    for pieces_of, words_of in zip(by_piece, by_word, strict=True):
        assert {f.token: f.score for f in words_of} == pytest.approx({f.token: f.score for f in pieces_of}, rel=1e-5)
        assert [f.sequence for f in words_of] == [f.sequence for f in pieces_of]


def test_a_long_word_is_the_product_of_its_pieces_from_left_to_right(loaded, ask, tokenizer):
    word = [tokenizer.piece_to_id(p) for p in tokenizer.tokenize("photosynthesis")]
    assert len(word) > 2
    (found,) = ask("We saw [MASK] here.", targets=["photosynthesis", "rain"], whole_words=True)
    before, after = tokenizer.encode("We saw").ids[:-1], tokenizer.encode("here.").ids[1:]
    expected = 1.0
    for done, piece in enumerate(word):
        ids = [*before, *word[:done], *[tokenizer.mask_id] * (len(word) - done), *after]
        with torch.inference_mode():
            scores = loaded.model(torch.tensor([ids])).logits[0, len(before) + done, : tokenizer.vocab_size].softmax(-1)
        expected *= float(scores[piece])
    score = {f.token_str: f.score for f in found}
    assert score["photosynthesis"] == pytest.approx(expected, rel=1e-4)
    assert found[0].score >= found[1].score


@pytest.mark.parametrize("at", [1, 5, 50, 95, 98])
def test_what_is_near_a_mask_gives_the_same_windows(at):
    ids, most = list(range(100)), 16
    near, place = around(ids, at, most)
    assert len(near) <= 2 * most + 3 and near[place] == at and (near[0], near[-1]) == (0, 99)
    windows = []
    for tokens, where in ((ids, at), (near, place)):
        start = max(0, min(where - most // 2, len(tokens) - most))
        windows.append([tokens[0], *tokens[start + 1 : start + most - 1], tokens[-1]])
    assert windows[0] == windows[1]


def test_words_in_long_texts_are_read_around_the_mask(ask):
    text = "the old stone house " * 30 + "and [MASK] was there " + "near the river " * 30
    (found,) = ask(text, targets=["photosynthesis", "rain"], whole_words=True)
    assert len(found) == 2 and "photosynthesis" in " ".join(f.sequence for f in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "none are named"),
        ({"targets": ["two words"]}, "not one word"),
        ({"targets": [" "]}, "not one word"),
        ({"targets": ["日"]}, "not in the vocabulary"),
        ({"targets": ["a"], "first_piece": True}, "exclude each other"),
    ],
)
def test_wrong_words(ask, options, message):
    with pytest.raises(UsageError, match=message):
        ask("a [MASK]", whole_words=True, **options)
