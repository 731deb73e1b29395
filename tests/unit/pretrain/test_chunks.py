"""Cutting documents into pairs (checklist D1 to D6) against a piece-by-piece reference. Bounds: alpha = 1e-6, ``reference.py``."""

import random
from collections import Counter

import numpy as np
import pytest

from litebert.pretrain import chunks as module
from litebert.pretrain import rows as rows_module
from litebert.pretrain.chunks import ALONE, IN_ORDER, RANDOM, SWAPPED, ChunkRules, pack_rows, plan_chunks
from litebert.pretrain.masking import as_generator
from litebert.pretrain.rows import IGNORED, cut, make_sequence, truncated

from .reference import alike, document_of, fits, google_pairs, numbered, sentence_lengths, shard_of, share_is, shorten

LENGTH = 64
BUDGET = LENGTH - 3


def lines(documents, sentences, pieces):
    """A shard of equal documents with sentences of equal length; its tokens are never read."""
    return shard_of([[[0] * pieces] * sentences] * documents)


def plan(shard, seed=0, epoch=0, number=0, **rules):
    return plan_chunks(shard, ChunkRules(**{"length": LENGTH, **rules}), seed=seed, epoch=epoch, number=number)


def sequences(shard, chunks, seed=1, others=None):
    random = as_generator(seed)
    return [
        make_sequence(shard, *(int(getattr(chunks, name)[i]) for name in ("first", "middle", "last", "target", "limit", "kind")),
                      random, others or [shard])
        for i in range(chunks.first.size)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def mixed():
    rng = np.random.default_rng(1)
    return shard_of(numbered(sentence_lengths(3000, rng)))


# --- Targets --------------------------------------------------------------------------------------------------------------


def targets_by_document(shard, **rules):
    """Targets of the chunks of each document, in order."""
    found = plan(shard, lone="alone", **rules)
    order = np.argsort(found.first, kind="stable")
    document = np.searchsorted(shard.document_ends, found.first[order], side="right")
    return np.split(np.minimum(found.target[order], BUDGET), np.flatnonzero(np.diff(document)) + 1)


SHORT = 0.1 * (1 - 1 / (BUDGET - 1))
"""A short target is the budget itself once in ``BUDGET - 1`` draws."""


def test_a_tenth_of_the_sequences_is_short():
    """D2 and the paper: 10% of all sequences, uniform between 2 and the budget, whatever the others of the document are."""
    found = targets_by_document(lines(2000, 40, 10))
    flat = np.concatenate(found)
    short = flat[flat < BUDGET]
    assert share_is(short.size, flat.size, SHORT)
    assert fits(np.bincount(short, minlength=BUDGET)[2:BUDGET], np.ones(BUDGET - 2))
    both = sum(int(((d[:-1] < BUDGET) & (d[1:] < BUDGET)).sum()) for d in found)
    assert share_is(both, flat.size - len(found), SHORT**2), "neighbours are independent"


def test_short_targets_reach_the_budget():
    """Both ends belong: with a budget of 8, one in seven draws from 2 to 8 is the whole of it."""
    target = plan(lines(4000, 30, 3), lone="alone", length=11).target.clip(max=8)
    assert fits(np.bincount(target)[2:], [*[0.1 / 7] * 6, 0.9 + 0.1 / 7])


def test_a_tenth_of_the_documents_is_short():
    """D2 and Google's code: one draw a document."""
    found = targets_by_document(lines(4000, 12, 20), short_per_document=True)
    assert all((d == d[0]).all() for d in found)
    assert max(len(d) for d in found) > 2
    first = np.array([d[0] for d in found])
    assert share_is((first < BUDGET).sum(), len(first), SHORT)


def test_the_two_kinds_of_short_differ():
    """Mutation: one taken for the other fails both tests above."""
    found = targets_by_document(lines(2000, 40, 10), short_per_document=True)
    both = sum(int(((d[:-1] < BUDGET) & (d[1:] < BUDGET)).sum()) for d in found)
    assert not share_is(both, sum(map(len, found)) - len(found), SHORT**2)
    assert any((d != d[0]).any() for d in targets_by_document(lines(100, 40, 10)))


@pytest.mark.parametrize("wrong", [0.11, 0.09])
def test_other_shares_are_told_apart(wrong):
    flat = np.concatenate(targets_by_document(lines(6000, 40, 10), short_probability=wrong))
    assert not share_is((flat < BUDGET).sum(), flat.size, SHORT)


def test_no_short_ones_unless_asked(mixed):
    assert (plan(mixed, short_probability=0.0, lone="alone").target >= BUDGET).all()


# --- Chunks ---------------------------------------------------------------------------------------------------------------


RULES = {
    "sop": dict(lone="alone"),
    "released": dict(lone="random", short_per_document=True),
    "skip": dict(lone="skip"),
    "some alone": dict(lone="alone", alone_probability=0.3),
    "nsp": dict(objective="nsp", lone="random"),
    "none": dict(objective="none", lone="alone"),
}


@pytest.mark.parametrize("name", RULES)
def test_a_chunk_ends_where_its_target_is_reached(mixed, name):
    """The sentence that reaches the target is the last; a document's end ends a chunk; no chunk crosses one."""
    found = plan(mixed, **RULES[name])
    starts = np.concatenate([[0], mixed.sentence_ends])
    full = (found.kind == ALONE) & (found.target > BUDGET)
    target = np.where(full, LENGTH - (2 if name == "none" else 3), found.target)
    before, size = starts[found.last - 1] - starts[found.first], starts[found.last] - starts[found.first]
    assert (before < target).all()
    at_end = np.isin(found.last, mixed.document_ends)
    assert ((size >= target) | at_end).all()
    document = np.searchsorted(mixed.document_ends, [found.first, found.last - 1], side="right")
    assert (document[0] == document[1]).all()
    assert (found.first < found.middle).all() and (found.middle <= found.last).all()
    assert ((found.middle == found.last) == ((found.kind == ALONE) | (found.last - found.first == 1))).all()


@pytest.mark.parametrize("name", [n for n in RULES if n != "skip"])
def test_every_sentence_is_visited_once(mixed, name):
    """Of what a random second segment displaced, the sentences come again (nsp)."""
    found = plan(mixed, **RULES[name])
    last = np.where((found.kind == RANDOM) & (name == "nsp"), found.middle, found.last)
    visits = np.concatenate([np.arange(a, b) for a, b in zip(found.first, last, strict=True)])
    assert np.array_equal(np.sort(visits), np.arange(mixed.sentence_ends.size))


def test_skipped_are_the_lone_ones_only(mixed):
    kept, all_of_them = plan(mixed, lone="skip"), plan(mixed, lone="alone")
    lone = all_of_them.last - all_of_them.first == 1
    assert lone.any()
    for name in ("first", "middle", "last", "kind", "sizes"):
        assert np.array_equal(getattr(kept, name), getattr(all_of_them, name)[~lone])
    assert not (kept.kind == ALONE).any()


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_the_first_segment_ends_anywhere(n):
    """D3: uniform in [1, n - 1]."""
    found = plan(lines(20_000 // n, n, 10), short_probability=0.0)
    a_end = found.middle - found.first
    assert set(a_end.tolist()) == set(range(1, n))
    if n > 2:
        assert fits(np.bincount(a_end)[1:], np.ones(n - 1))


def test_half_is_swapped():
    """D4, D5: a fair coin, and nothing random, under ``sop``; swapped and cut are drawn apart."""
    found = plan(lines(20_000, 3, 10), short_probability=0.0)
    assert set(found.kind.tolist()) == {IN_ORDER, SWAPPED}
    swapped, early = found.kind == SWAPPED, found.middle - found.first == 1
    assert share_is(swapped.sum(), swapped.size, 0.5)
    assert share_is((swapped & early).sum(), swapped.size, 0.25)


def test_half_is_random_under_nsp():
    found = plan(lines(20_000, 3, 10), short_probability=0.0, objective="nsp")
    whole = found.last - found.first == 3
    assert set(found.kind[whole].tolist()) == {IN_ORDER, RANDOM}
    assert share_is((found.kind[whole] == RANDOM).sum(), whole.sum(), 0.5)


def test_some_stay_alone():
    found = plan(lines(20_000, 3, 10), short_probability=0.0, alone_probability=0.2)
    assert share_is((found.kind == ALONE).sum(), found.kind.size, 0.2)
    assert share_is((found.kind == SWAPPED).sum(), found.kind.size, 0.4)


def test_a_lone_sentence():
    """What each setting makes of a chunk of one sentence (D5)."""
    kinds = {lone: plan(lines(500, 1, 10), lone=lone).kind.tolist() for lone in ("skip", "alone", "random")}
    assert kinds == {"skip": [], "alone": [ALONE] * 500, "random": [RANDOM] * 500}
    assert plan(lines(5, 1, 10), objective="none", lone="skip").kind.tolist() == [ALONE] * 5


def test_cuts_are_a_pure_function_of_seed_epoch_and_shard(mixed):
    def figures(**key):
        return [
            getattr(plan(mixed, lone="alone", **key), name).tobytes() for name in ("first", "middle", "kind", "target")
        ]

    assert figures() == figures()
    variants = [figures(), figures(seed=1), figures(epoch=1), figures(number=1)]
    assert len({tuple(v) for v in variants}) == 4


# --- Truncation -----------------------------------------------------------------------------------------------------------


def test_lengths_after_truncation_are_the_references():
    """D6: pieces come off the longer segment one by one, off the second where both are equal."""
    rng = random.Random(1)
    for a in range(26):
        for b in range(26):
            for most in range(2, 40, 3):
                first, second = [0] * a, [0] * b
                shorten(first, second, most, rng)
                assert truncated(a, b, most) == (len(first), len(second))


def fronts(function, times=20_000):
    random = as_generator(3)
    pieces = np.arange(40)
    out = [function(pieces, 30, random) for _ in range(times)]
    assert all(len(x) == 30 and (np.diff(x) == 1).all() for x in out)
    return np.bincount([int(x[0]) for x in out], minlength=11)


BINOMIAL = np.array([1, 10, 45, 120, 210, 252, 210, 120, 45, 10, 1]) / 1024


def test_front_and_back_are_binomial():
    assert fits(fronts(cut), BINOMIAL)
    assert cut(np.arange(5), 5, as_generator(0)).tolist() == list(range(5))


@pytest.mark.parametrize("wrong", ["uniform", "one side"])
def test_binomial_tells_other_cuts(wrong):
    def other(pieces, keep, random):
        surplus = pieces.size - keep
        front = int(random.integers(surplus + 1)) if wrong == "uniform" else surplus * int(random.integers(2))
        return pieces[front : front + keep]

    assert not fits(fronts(other), BINOMIAL)


def ties(swap_first):
    """Two segments of ten pieces for nineteen: which of them loses one."""
    shard = shard_of([[list(range(10)), list(range(10, 20))]])
    random = as_generator(4)
    losers = Counter()
    for _ in range(50):
        made = make_sequence(shard, 0, 1, 2, 19, 19, SWAPPED if swap_first else IN_ORDER, random, [shard])
        if not swap_first:  # the mutation: truncated in reading order, swapped afterwards
            made = rows_module.Segments(made.second, made.first, 1)
        assert made.first[0] >= 10 > made.second[0]
        losers["original first" if made.second.size == 9 else "original second"] += 1
    return losers


def test_segments_are_swapped_before_truncation():
    """D3: at equal lengths the second segment loses, which after a swap is the one that came first in the text."""
    assert ties(True) == {"original first": 50}
    assert ties(False) == {"original second": 50}


# --- Sequences ------------------------------------------------------------------------------------------------------------


def test_labels():
    """D4: 0 is reading order, 1 swapped, none for a lone segment."""
    shard = shard_of([[[10, 11], [12], [13, 14]]])
    made = {k: make_sequence(shard, 0, 1, 3, 60, 60, k, as_generator(0), [shard]) for k in (IN_ORDER, SWAPPED)}
    assert (made[IN_ORDER].first.tolist(), made[IN_ORDER].second.tolist(), made[IN_ORDER].label) == (
        [10, 11],
        [12, 13, 14],
        0,
    )
    assert (made[SWAPPED].first.tolist(), made[SWAPPED].second.tolist(), made[SWAPPED].label) == (
        [12, 13, 14],
        [10, 11],
        1,
    )
    lone = make_sequence(shard, 0, 3, 3, 60, 60, ALONE, as_generator(0), [shard])
    assert (lone.first.tolist(), lone.second.size, lone.label) == ([10, 11, 12, 13, 14], 0, IGNORED)


def test_swapped_pairs_come_from_one_document(mixed):
    """D5: under ``sop`` with ``skip`` or ``alone`` nothing is ever mixed; and half of the pairs are labelled 1."""
    document = document_of(mixed)
    labels = []
    for made in sequences(mixed, plan(mixed, lone="alone")):
        assert np.unique(document[np.concatenate([made.first, made.second])]).size == 1
        if made.second.size:
            assert (made.first.max() < made.second.min()) == (made.label == 0)
            assert made.label in (0, 1)
            labels.append(made.label)
    assert share_is(sum(labels), len(labels), 0.5)


def test_released_lone_chunks_meet_another_document(mixed):
    """D5: paired with a random document under label 1, which is drawn evenly."""
    document = document_of(mixed)
    found = plan(mixed, **RULES["released"])
    partners = []
    for kind, made in zip(found.kind.tolist(), sequences(mixed, found), strict=True):
        where = document[made.first[0]], document[made.second[0]]
        assert (where[0] != where[1]) == (kind == RANDOM)
        if kind == RANDOM:
            assert made.label == 1
            partners.append(where[1] * 10 // len(mixed.document_ends))
    assert len(partners) > 500
    assert fits(np.bincount(partners, minlength=10), np.ones(10))


def test_with_a_single_document_there_is_no_other():
    shard = shard_of([[[1, 2, 3]]])
    made = make_sequence(shard, 0, 1, 1, 60, 60, RANDOM, as_generator(0), [shard])
    assert (made.first.tolist(), made.second.tolist(), made.label) == ([1, 2, 3], [1, 2, 3], 1)


def test_random_segments_may_come_from_any_shard():
    shards = [shard_of([[[k]], [[k]]]) for k in range(4)]
    random = as_generator(5)
    seen = {int(make_sequence(shards[0], 0, 1, 1, 60, 60, RANDOM, random, shards).second[0]) for _ in range(200)}
    assert seen == {0, 1, 2, 3}


def figures_of(pairs):
    """Figures of each pair; pairs of one document depend on each other little, and the bound forgives it."""
    pairs = list(pairs)
    return {
        "total": [(len(a) + len(b)) // 4 for a, b, _ in pairs], "first": [len(a) // 4 for a, b, _ in pairs],
        "second": [len(b) // 4 for a, b, _ in pairs], "label": [label for _, _, label in pairs],
        "full": [len(a) + len(b) == BUDGET for a, b, _ in pairs],
    }  # fmt: skip


def compared(shard, documents, seed=2, random_next=False, **rules):
    made = sequences(shard, plan(shard, seed=seed, **rules))
    ours = figures_of((m.first, m.second, m.label) for m in made)
    theirs = figures_of(google_pairs(documents, LENGTH, random.Random(seed), random_next=random_next))
    return {name: alike(ours[name], theirs[name]) for name in ours}


@pytest.fixture(scope="module")
def text():
    documents = numbered(sentence_lengths(8000, np.random.default_rng(8)))
    return shard_of(documents), documents


@pytest.mark.parametrize("name", ["released", "nsp"])
def test_pairs_are_the_references(text, name):
    """The whole of ``create_instances_from_document``: lengths, truncation, labels."""
    rules = {**RULES[name], "short_per_document": True}
    assert not [k for k, same in compared(*text, random_next=name == "nsp", **rules).items() if not same]


@pytest.mark.parametrize("mistake", ["short", "truncation to the target", "uneven coin", "no giving back"])
def test_pairs_tell_mistakes(text, monkeypatch, mistake):
    rules = {**RULES["released"]}
    if mistake == "short":
        rules["short_probability"] = 0.15
    elif mistake == "truncation to the target":
        right = module._sized
        monkeypatch.setattr(module, "_sized", lambda *a: right(*a[:-1], ChunkRules(length=LENGTH)))
    elif mistake == "uneven coin":
        rules["alone_probability"] = 0.05
    else:
        rules |= {"objective": "nsp", "lone": "random"}
    assert not all(compared(*text, **rules).values())


def test_sizes_are_what_sequences_take(mixed):
    """Packing reserves them: exact where the chunk's own pieces fill the sequence, never too small."""
    for rules in RULES.values():
        found = plan(mixed, **rules)
        made = sequences(mixed, found)
        took = np.array([m.first.size + m.second.size + (3 if m.second.size else 2) for m in made])
        assert (took <= found.sizes).all() and (found.sizes <= LENGTH).all()
        own = found.kind != RANDOM
        assert (took[own] == found.sizes[own]).all()
        assert all(m.first.size for m in made)


def test_a_lone_segment_may_use_the_place_of_the_second_separator():
    found = plan(lines(10, 1, 200), lone="alone", short_probability=0.0)
    assert (found.sizes == LENGTH).all()
    assert (found.limit == LENGTH - 2).all()


# --- Packing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 500, 5000])
def test_packing_loses_nothing(count, pack):
    rng = np.random.default_rng(count)
    sizes = np.where(rng.random(count) < 0.5, LENGTH, rng.integers(3, LENGTH + 1, count))
    members, ends = pack_rows(sizes, LENGTH, pack=pack)
    assert np.array_equal(np.sort(members), np.arange(count))
    assert (np.diff(np.concatenate([[0], ends])) > 0).all()
    rows = np.split(members, ends[:-1]) if count else []
    assert all(sizes[row].sum() <= LENGTH for row in rows)
    if not pack:
        assert len(rows) == count


def test_packing_fills_the_rows(mixed):
    """Rows of real cuts are at least 93% full; one sequence a row fills about three quarters."""
    sizes = plan(mixed, lone="alone").sizes
    fill = {pack: sizes.sum() / (LENGTH * pack_rows(sizes, LENGTH, pack=pack)[1].size) for pack in (True, False)}
    assert fill[True] > 0.93
    assert fill[False] < 0.85
    assert np.array_equal(*(pack_rows(sizes, LENGTH, pack=True)[0] for _ in range(2)))


def packed_one_by_one(sizes, length):
    """The rule itself: the longest sequence left, and as many of the shortest as fit, those of one size in the order they came."""
    left = sorted(range(len(sizes)), key=lambda i: (sizes[i], i))
    rows = []
    while left:
        row = [left.pop()]
        free = length - sizes[row[0]]
        while left and sizes[left[0]] <= free:
            free -= sizes[left[0]]
            row.append(left.pop(0))
        rows.append(row)
    return [i for row in rows for i in row], np.cumsum([len(row) for row in rows]).tolist()


def test_packing_in_bulk_is_packing_one_by_one():
    """Few sizes and many, mostly short and mostly long, rows that mix sizes, one sequence of each: row for row the same."""
    rng = np.random.default_rng(11)
    for _ in range(1500):
        length = int(rng.integers(2, 70))
        low, high = np.sort(rng.integers(1, length + 1, 2))
        sizes = rng.integers(low, high + 1, rng.integers(1, 120))
        sizes = np.where(rng.random(sizes.size) < rng.choice([0, 0.3, 0.9]), rng.integers(1, length + 1), sizes)
        members, ends = pack_rows(sizes.astype(np.int64), length, pack=True)
        assert members.dtype == ends.dtype == np.int64
        assert (members.tolist(), ends.tolist()) == packed_one_by_one(sizes.tolist(), length)


def test_packing_long_rows_is_packing_one_by_one():
    """More positions than 16 bits number, where the sizes are sorted another way."""
    sizes = np.random.default_rng(3).integers(1, 70_001, 400)
    members, ends = pack_rows(sizes, 70_000, pack=True)
    assert (members.tolist(), ends.tolist()) == packed_one_by_one(sizes.tolist(), 70_000)


def test_packing_does_not_look_at_every_sequence():
    """A hundred thousand times as many sequences take as many turns of the loop, or every GPU would wait for the plan of an epoch."""
    turns = []
    for times in (1, 100_000):
        left = [0, 0, 0, *([times] * 30)]
        rows, beside = module._alike(left, 32)
        assert rows.sum() + (rows * beside).sum() == 30 * times
        turns.append(rows.size)
    assert turns[1] <= 2 * 30
