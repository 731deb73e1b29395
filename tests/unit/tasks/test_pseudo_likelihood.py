"""Pseudo-log-likelihood against a loop that masks one piece at a time, words by hand, and what is shared."""

import math

import numpy as np
import pytest
import torch

from litebert.errors import DataError, UsageError
from litebert.tasks.fill_mask.pseudo_likelihood import VARIANTS, pseudo_log_likelihoods, word_units
from litebert.tasks.model_folder import load_zero_shot
from litebert.text import AlbertTokenizer

SENTENCES = [
    "The mothers-in-law weren't antidisestablishmentarians.", "Raymond is selling this sketch.", "Raymond is selling this sketches.",
    "Is selling Raymond this sketch.", "No!", "a", "",
]  # fmt: skip


@pytest.fixture(scope="module")
def loaded(pretrained):
    return load_zero_shot(pretrained, "fill-mask")


@pytest.fixture(scope="module")
def scores(loaded):
    return pseudo_log_likelihoods(loaded.model, loaded.tokenizer, SENTENCES)


@pytest.mark.parametrize(
    ("pieces", "units"),
    [
        ("▁the ▁cat ▁sat .", [0, 1, 2, 3]),  # the full stop is no part of the last word
        ("▁dis est ab lish .", [0, 0, 0, 0, 1]),
        ("▁doesn ' t ▁go ?", [0, 0, 0, 1, 2]),
        ("▁mother - in - law , ▁yes", [0, 0, 0, 0, 0, 1, 2]),
        ('▁" hello . "', [0, 1, 2, 3]),
        ("▁( un known )", [0, 1, 1, 2]),
        ("▁wait . . . ▁no ! ?", [0, 1, 2, 3, 4, 5, 6]),
        ("▁ <unk> ▁x", [0, 0, 1]),
        ("▁ ( x", [0, 0, 1]),
        ("▁ . ▁ -", [0, 0, 1, 1]),
        ("▁u.s. ▁and", [0, 1]),
        ("▁5 % ▁up", [0, 1, 2]),  # % counts as punctuation in Unicode
        ("", []),
    ],
)
def test_words_of_sentencepiece(pieces, units):
    assert word_units(pieces.split(), "sentencepiece") == units


def test_words_of_wordpiece():
    assert word_units(["un", "##known", ".", "中", "国"], "wordpiece") == [0, 0, 1, 2, 3]
    assert word_units([], "wordpiece") == []


def test_real_pieces_of_a_sentence():
    tokenizer = AlbertTokenizer.bundled()
    pieces = tokenizer.tokenize("Some antidisestablishmentarians didn't leave.")
    units = word_units(pieces, tokenizer.kind)
    words = ["".join(p for p, u in zip(pieces, units, strict=True) if u == unit) for unit in range(units[-1] + 1)]
    assert words == ["▁some", "▁antidisestablishmentarians", "▁didn't", "▁leave", "."]


def naive(model, tokenizer, sentence, variant):
    ids = list(tokenizer.encode(sentence).ids)
    units = word_units([tokenizer.id_to_piece(i) for i in ids[1:-1]], tokenizer.kind)
    total = 0.0
    for at, unit in enumerate(units, start=1):
        masked = torch.tensor([ids])
        masked[0, at] = tokenizer.mask_id
        if variant == "within_word_l2r":
            for later in range(at + 1, len(units) + 1):
                if units[later - 1] == unit:
                    masked[0, later] = tokenizer.mask_id
        with torch.inference_mode():
            total += model(masked).logits[0, at].log_softmax(-1)[ids[at]].item()
    return total


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_are_those_of_the_loop(variant, loaded, scores):
    expected = [naive(loaded.model, loaded.tokenizer, sentence, variant) for sentence in SENTENCES]
    assert scores[variant] == pytest.approx(expected, rel=1e-5)
    assert scores[variant][-1] == 0.0 and scores[variant].dtype == np.float64


def test_variants_differ_where_words_have_several_pieces_only(scores):
    assert abs(scores["original"][0] - scores["within_word_l2r"][0]) > 0.01
    assert np.array_equal(scores["original"][1:], scores["within_word_l2r"][1:])


@pytest.mark.parametrize("tokens", [1, 50, 100_000])
def test_batches_do_not_change_scores(tokens, loaded, scores):
    found = pseudo_log_likelihoods(loaded.model, loaded.tokenizer, SENTENCES, tokens=tokens)
    for variant in VARIANTS:
        assert found[variant] == pytest.approx(scores[variant], rel=1e-5)


def test_chunks_do_not_change_scores(loaded, scores, monkeypatch):
    monkeypatch.setattr("litebert.tasks.fill_mask.pseudo_likelihood._CHUNK", 2)
    done = []
    found = pseudo_log_likelihoods(
        loaded.model, loaded.tokenizer, SENTENCES, variants=["original"], progress=done.append
    )
    assert list(found) == ["original"] and found["original"] == pytest.approx(scores["original"], rel=1e-5)
    assert done == sorted(done) and done[-1] in (len(SENTENCES) - 1, len(SENTENCES))


def rows_run(loaded, sentences, variants=VARIANTS):
    rows = 0

    def count(module, inputs):
        nonlocal rows
        rows += inputs[0].shape[0]

    handle = loaded.model.albert.register_forward_pre_hook(count)
    pseudo_log_likelihoods(loaded.model, loaded.tokenizer, sentences, variants=variants)
    handle.remove()
    return rows


def test_what_is_shared_runs_once(loaded):
    assert rows_run(loaded, SENTENCES[1:2]) == 6  # one copy a piece, for both variants
    assert rows_run(loaded, SENTENCES[1:3]) == 11  # the copy with the last word masked is one
    assert rows_run(loaded, SENTENCES[1:2] * 5) == 6
    long = len(loaded.tokenizer.tokenize(SENTENCES[0]))
    assert long < rows_run(loaded, SENTENCES[:1]) < 2 * long


def test_only_masked_positions_reach_the_head(loaded):
    shapes = []
    handle = loaded.model.predictions.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    rows = rows_run(loaded, SENTENCES)
    handle.remove()
    assert sum(shape[0] for shape in shapes) == rows and all(len(shape) == 2 for shape in shapes)


def test_without_context_the_order_of_words_makes_no_difference(pretrained):
    """A permutation must tie exactly, or ties would be decided by rounding."""
    loaded = load_zero_shot(pretrained, "fill-mask")
    loaded.model.predictions.dense.weight.data.zero_()
    found = pseudo_log_likelihoods(loaded.model, loaded.tokenizer, ["this old cat saw me.", "me saw old this cat."])
    for values in found.values():
        assert values[0] == values[1] != 0 and math.isfinite(values[0])


def test_what_cannot_be_scored(loaded):
    with pytest.raises(DataError, match="exceeds"):
        pseudo_log_likelihoods(loaded.model, loaded.tokenizer, ["word " * 60])
    with pytest.raises(UsageError, match="Did you mean 'original'"):
        pseudo_log_likelihoods(loaded.model, loaded.tokenizer, ["a"], variants=["orignal"])
