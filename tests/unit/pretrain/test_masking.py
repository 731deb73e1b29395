"""N-gram masking of whole words (checklist D7 to D12) against a word-by-word reference. Bounds: alpha = 1e-6, ``reference.py``."""

import random
import string

import numpy as np
import pytest

from litebert.pretrain import masking
from litebert.pretrain.examples import ExampleSettings, with_preset
from litebert.pretrain.masking import (
    Masker,
    MaskingRules,
    as_generator,
    ngram_probabilities,
    number_to_predict,
    starts_word,
    word_starts,
)
from litebert.text import AlbertTokenizer

from .reference import alike, fits, google_mask, share_is, toy_tokenizer

CLS, SEP, PAD, MASK, UNK = 2, 3, 0, 4, 1


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return toy_tokenizer(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="module")
def masker(tokenizer):
    return Masker(tokenizer)


def rows_of_words(masker, sizes, rng):
    """Rows of one segment with words of the given sizes."""
    starts = np.flatnonzero(masker.starts & ~masker.frame)
    others = np.flatnonzero(~masker.starts & ~masker.frame)
    ids = np.full((len(sizes), max(sum(row) for row in sizes) + 2), PAD)
    for line, row in zip(ids, sizes, strict=True):
        ends = np.cumsum([1, *row])
        line[0], line[ends[-1]] = CLS, SEP
        line[1 : ends[-1]] = rng.choice(others, ends[-1] - 1)
        line[ends[:-1]] = rng.choice(starts, len(row))
    return ids


def masked_words(chosen, sizes):
    """Masked words of each row, and whether no word is masked in part."""
    found, whole = [], True
    for line, row in zip(chosen, sizes, strict=True):
        counts = np.add.reduceat(line[1 : sum(row) + 1], np.cumsum([0, *row[:-1]]), dtype=np.int64)
        whole &= bool(((counts == 0) | (counts == row)).all())
        found.append(set(np.flatnonzero(counts).tolist()))
    return found, whole


def runs(words):
    """Lengths of the runs of neighbouring words."""
    lengths, last = [], None
    for word in sorted(words):
        if last is not None and word == last + 1:
            lengths[-1] += 1
        else:
            lengths.append(1)
        last = word
    return lengths


# --- n-gram lengths -------------------------------------------------------------------------------------------------------


def test_probabilities_are_the_papers():
    assert ngram_probabilities(3) == pytest.approx([6 / 11, 3 / 11, 2 / 11], abs=1e-15)
    assert ngram_probabilities(3) @ [1, 2, 3] == pytest.approx(18 / 11)
    assert ngram_probabilities(1).tolist() == [1.0]


class Recorder:
    """A generator that remembers the n it was asked for."""

    def __init__(self, seed):
        self.generator, self.drawn = as_generator(seed), []

    def random(self, shape):
        return self.generator.random(shape)

    def choice(self, count, size, p):
        self.drawn.append(self.generator.choice(count, size=size, p=p) + 1)
        return self.drawn[-1] - 1


def lengths_before_fitting(masker):
    recorder = Recorder(7)
    ids = np.full((1000, 102), int(np.flatnonzero(masker.starts & ~masker.frame)[0]))
    ids[:, 0], ids[:, -1] = CLS, SEP
    masker.choose(ids, MaskingRules(), recorder)
    drawn = np.concatenate([d.ravel() for d in recorder.drawn])
    assert drawn.size == 100_000
    return np.bincount(drawn, minlength=4)[1:]


def test_lengths_before_fitting(masker):
    assert fits(lengths_before_fitting(masker), [6 / 11, 3 / 11, 2 / 11])


@pytest.mark.parametrize("wrong", [[1 / 3] * 3, [2 / 11, 3 / 11, 6 / 11], [0.56, 0.26, 0.18]])
def test_lengths_before_fitting_tells_wrong_ones(masker, monkeypatch, wrong):
    """Uniform, Google's other flag (longer ones favoured), and one and a half points beside the right one."""
    monkeypatch.setattr(masking, "ngram_probabilities", lambda longest: np.array(wrong))
    assert not fits(lengths_before_fitting(masker), [6 / 11, 3 / 11, 2 / 11])


def word_sizes(rng, rows, words, largest):
    return [rng.integers(1, largest + 1, rng.integers(words[0], words[1] + 1)).tolist() for _ in range(rows)]


def figures_of(words):
    """Figures of one row each, hence independent: runs, words, longest and first run, first masked word."""
    lengths = [runs(row) or [0] for row in words]
    return {
        "runs": [len(r) for r in lengths], "words": [len(row) for row in words], "longest": [max(r) for r in lengths],
        "first": [r[0] for r in lengths], "place": [min(row, default=-1) for row in words],
        "last": [max(row, default=-1) for row in words],
    }  # fmt: skip


CASES = {
    "long": (MaskingRules(), (40, 60), 1),
    "pieces": (MaskingRules(), (12, 40), 4),
    "short": (MaskingRules(), (1, 9), 3),
    "tight": (MaskingRules(limit=2), (30, 40), 1),
    "limited": (MaskingRules(limit=5), (60, 60), 2),
    "dense": (MaskingRules(rate=0.3, longest=4), (20, 30), 2),
    "single": (MaskingRules(longest=1), (20, 30), 2),
}


def compared(masker, case, weights=None):
    rules, words, largest = CASES[case]
    rng, python = np.random.default_rng(11), random.Random(12)
    sizes = word_sizes(rng, 5000, words, largest)
    found, whole = masked_words(masker.choose(rows_of_words(masker, sizes, rng), rules, as_generator(13)), sizes)
    assert whole
    expected = []
    for row in sizes:
        budget = max(1, round((sum(row) + 2) * rules.rate))
        expected.append(google_mask(row, min(budget, rules.limit or budget), rules.longest, python, weights))
    ours, theirs = figures_of(found), figures_of(expected)
    return {name: alike(ours[name], theirs[name]) for name in ours if len(set(theirs[name] + ours[name])) > 1}


@pytest.mark.parametrize("case", CASES)
def test_realised_masks_are_the_references(masker, case):
    """After fitting: shrinking, skipping and the ends of a row shift the histogram; the reference shifts with it."""
    assert not [name for name, same in compared(masker, case).items() if not same]


@pytest.mark.parametrize("weights", [[1, 1, 1], [2, 3, 6]])
def test_realised_masks_tell_a_wrong_distribution(masker, weights):
    assert not all(compared(masker, "long", weights).values())


@pytest.mark.parametrize("lost", ["shortening", "overlap", "first word"])
def test_realised_masks_tell_other_mistakes(masker, monkeypatch, lost):
    monkeypatch.setattr(masking, "_select", lambda *given: _select_with_a_mistake(lost, *given))
    assert not all(compared(masker, "tight" if lost == "shortening" else "long").values())


def _select_with_a_mistake(lost, words, order, drawn, budget, longest):
    """Row by row: n-grams that do not fit passed over; overlaps counted twice; the first word never proposed."""
    out = np.zeros(words.sizes.shape, bool)
    for row, (line, most) in enumerate(zip(out, budget, strict=True)):
        count = int(words.real[row].sum())
        used = 0
        for first in order[row, :count].tolist():
            n = min(int(drawn[row, first]), count - first)
            n = n if lost == "shortening" else min(n, int(most) - used)
            part = line[first : first + n]
            if n < 1 or used + n > most or (first == 0 and lost == "first word"):
                continue
            if not part.any() or lost == "overlap":
                part[:] = True
                used += n
    return out


def test_overlaps_are_passed_over_not_merged(masker):
    """With a budget for every word, all words get masked, and with n-grams only of three some are left between."""
    sizes = [[1] * 40] * 300
    rng = np.random.default_rng(2)
    rules = MaskingRules(rate=0.9, longest=3)
    found, _ = masked_words(masker.choose(rows_of_words(masker, sizes, rng), rules, as_generator(3)), sizes)
    python = random.Random(4)
    expected = [len(google_mask([1] * 40, round(42 * 0.9), 3, python)) for _ in range(1500)]
    assert alike([len(row) for row in found], expected)
    assert min(expected) < round(42 * 0.9), "the case must have gaps that no n-gram fills"


# --- Words ----------------------------------------------------------------------------------------------------------------


def test_starts_of_words_over_the_released_vocabulary():
    """D8, for all 30,000 pieces, and pieces of a cased vocabulary."""
    tokenizer = AlbertTokenizer.bundled()
    plain = set(string.ascii_letters) | set('!"#$%&()*+,-./:;?@[\\]^_`{|}~')
    listed = plain - set(string.ascii_letters)

    def expected(piece):
        return piece[0] in "▁<" or piece in listed or not plain.issuperset(piece)

    wanted = [expected(piece) for piece in tokenizer.vocabulary]
    assert word_starts(tokenizer).tolist() == wanted
    assert 0.1 < np.mean(wanted) < 0.99


@pytest.mark.parametrize(
    "piece", ["▁the", "▁", "<unk>", "<", "-", ".", "£", "€", "é", "caf\u00e9", "9", "3rd", "'", "'s", "?'", "="]
)
def test_pieces_that_start_a_word(piece):
    assert starts_word(piece)


@pytest.mark.parametrize("piece", ["ing", "s", "Mac", "e.g.", "--", "()"])
def test_pieces_that_do_not(piece):
    assert not starts_word(piece)


def test_wordpiece_words(tokenizer, masker):
    pieces = [tokenizer.id_to_piece(i) for i in range(tokenizer.vocab_size)]
    assert masker.starts.tolist() == [not p.startswith("##") for p in pieces]


def test_no_word_reaches_across_a_separator(masker):
    """The second segment may begin inside a word, after truncation: that piece is not part of the first segment's last word."""
    start, inside = (int(np.flatnonzero(m & ~masker.frame)[0]) for m in (masker.starts, ~masker.starts))
    ids = np.array([[CLS, start, inside, SEP, inside, inside, SEP]] * 2000)
    chosen = masker.choose(ids, MaskingRules(rate=0.3, longest=1), as_generator(1))
    assert (chosen[:, 1] == chosen[:, 2]).all() and (chosen[:, 4] == chosen[:, 5]).all()
    assert share_is(chosen[:, 1].sum(), 2000, 0.5)
    assert (chosen[:, 1] != chosen[:, 4]).all()


def test_special_pieces_are_never_masked(masker):
    rng = np.random.default_rng(0)
    ids = rng.integers(5, masker.vocab_size, (500, 60))
    ids[:, 0] = CLS
    for row, (middle, end) in enumerate(zip(rng.integers(2, 20, 500), rng.integers(25, 60, 500), strict=True)):
        ids[row, middle], ids[row, end - 1], ids[row, end:] = SEP, SEP, PAD
    chosen = masker.choose(ids, MaskingRules(rate=0.5), as_generator(2))
    assert chosen.sum() > 5000
    assert not (chosen & np.isin(ids, [PAD, CLS, SEP, MASK])).any()
    out = masker.replace(ids, chosen, MaskingRules(rate=0.5, special_replacements=True), as_generator(3))
    assert (out == ids)[~chosen].all()


def test_unknown_pieces_are_words_like_others(masker):
    ids = np.array([[CLS, UNK, UNK, UNK, SEP]] * 50)
    chosen = masker.choose(ids, MaskingRules(longest=1), as_generator(1))
    assert (chosen.sum(axis=1) == 1).all()


def test_a_row_without_words_is_left_alone(masker):
    ids = np.array([[CLS, SEP, PAD, PAD], [PAD] * 4, [CLS, 7, SEP, PAD]])
    assert masker.choose(ids, MaskingRules(), as_generator(0)).sum(axis=1).tolist() == [0, 0, 1]


# --- How many -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.15, 0.3])
@pytest.mark.parametrize("limit", [None, 20])
def test_number_to_predict(rate, limit):
    """D9, with Python's rounding, for every length."""
    lengths = np.arange(3, 513)
    wanted = [min(limit or 10**9, max(1, round(n * rate))) for n in lengths.tolist()]
    assert number_to_predict(lengths, MaskingRules(rate=rate, limit=limit)).tolist() == wanted


@pytest.mark.parametrize(
    ("preset", "at_512", "at_128", "at_3"), [("paper", 77, 19, 1), ("released", 20, 19, 1), ("litebert", 77, 19, 1)]
)
def test_presets_predict(preset, at_512, at_128, at_3):
    rules = ExampleSettings(**with_preset({"preset": preset})).masking_rules(1.0)
    assert number_to_predict(np.array([512, 128, 3]), rules).tolist() == [at_512, at_128, at_3]


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_realised_number(masker, preset):
    """With single-piece words exactly the number; with longer words a little under it, never over."""
    rules = ExampleSettings(**with_preset({"preset": preset})).masking_rules(0.0)
    rng = np.random.default_rng(3)
    for largest, least in ((1, 1.0), (4, 0.97)):
        sizes = word_sizes(rng, 300, (100, 200), largest)
        chosen = masker.choose(rows_of_words(masker, sizes, rng), rules, as_generator(4)).sum(axis=1)
        budget = number_to_predict(np.array([sum(row) + 2 for row in sizes]), rules)
        assert (chosen <= budget).all()
        assert chosen.sum() >= least * budget.sum()


# --- 80 / 10 / 10 ---------------------------------------------------------------------------------------------------------


def fates(masker, rules, seed=5, replace=None):
    """Fates of 200,000 pieces, all chosen: (masked, kept) as (1000, 200) bool."""
    original = int(np.flatnonzero(masker.starts & ~masker.frame)[0])
    ids = np.full((1000, 200), original)
    out = (replace or masker.replace)(ids, np.ones(ids.shape, bool), rules, as_generator(seed))
    return out == MASK, out == original, out


def check_fates(masked, kept, size, special):
    """Shares per piece, and neighbours independent of each other."""
    total = masked.size
    by_chance = 0.1 / size  # a random piece may be the original, or, among all, [MASK]
    first, second = masked[:, ::2], masked[:, 1::2]
    return (
        share_is(masked.sum(), total, 0.8 + by_chance * special)
        and share_is(kept.sum(), total, 0.1 + by_chance)
        and share_is((first & second).sum(), first.size, (0.8 + by_chance * special) ** 2)
        and share_is((kept[:, ::2] & kept[:, 1::2]).sum(), first.size, (0.1 + by_chance) ** 2)
    )


@pytest.mark.parametrize("special", [False, True])
def test_eighty_ten_ten_per_piece(masker, special):
    masked, kept, _ = fates(masker, MaskingRules(special_replacements=special))
    assert check_fates(masked, kept, masker.vocab_size if special else masker.replacements.size, special)


def test_eighty_ten_ten_tells_a_draw_per_span(masker):
    def per_span(ids, chosen, rules, random):
        fate = np.repeat(random.random((ids.shape[0], ids.shape[1] // 2)), 2, axis=1)
        return np.where(fate < 0.8, MASK, np.where(fate < 0.9, ids, 9))

    masked, kept, _ = fates(masker, MaskingRules(), replace=per_span)
    assert share_is(masked[:, ::2].sum(), masked[:, ::2].size, 0.8), "right in the mean"
    assert not check_fates(masked, kept, masker.replacements.size, False)


@pytest.mark.parametrize("wrong", [(0.81, 0.095), (0.8, 0.11), (0.8, 0.2)])
def test_eighty_ten_ten_tells_other_shares(masker, wrong):
    masked, kept, _ = fates(masker, MaskingRules(masked=wrong[0], kept=wrong[1]))
    assert not check_fates(masked, kept, masker.replacements.size, False)


@pytest.mark.parametrize("special", [False, True])
def test_replacements_are_uniform(masker, special):
    """D10: over all pieces as in Google's code, or over all but the special ones."""
    rules = MaskingRules(masked=0.0, kept=0.0, special_replacements=special)
    _, _, out = fates(masker, rules)
    counts = np.bincount(out.ravel(), minlength=masker.vocab_size)
    if special:
        assert fits(counts, np.full(masker.vocab_size, 1 / masker.vocab_size))
    else:
        assert counts[:5].sum() == 0
        assert fits(counts[5:], np.full(masker.vocab_size - 5, 1 / (masker.vocab_size - 5)))


def test_presets_choose_replacements():
    special = {p: ExampleSettings(**with_preset({"preset": p})).masking_rules(0).special_replacements
               for p in ("paper", "released", "litebert")}  # fmt: skip
    assert special == {"paper": False, "released": True, "litebert": False}


def test_input_is_not_changed(masker):
    ids = np.full((4, 10), 9)
    masker.replace(ids, np.ones(ids.shape, bool), MaskingRules(), as_generator(1))
    assert (ids == 9).all()


# --- Determinism ----------------------------------------------------------------------------------------------------------


def test_the_same_key_gives_the_same_draws_everywhere():
    """Values of one machine, for all others: a change of generator would make runs irreproducible."""
    assert as_generator(1, 2, 3).integers(0, 10**6, 4).tolist() == [288438, 719895, 299406, 12702]
    keys = [(0,), (1,), (1, 2, 3), (1, 3, 2), (1, 2, 4), (2, 2, 3), (2**40, 2, 3)]
    assert len({tuple(as_generator(*key).integers(0, 2**60, 2)) for key in keys}) == len(keys)


def test_same_seed_same_masks(masker):
    ids = np.random.default_rng(1).integers(5, masker.vocab_size, (50, 80))
    first, second, other = (masker.choose(ids, MaskingRules(), as_generator(seed)) for seed in (1, 1, 2))
    assert (first == second).all() and (first != other).any()
