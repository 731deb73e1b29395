import itertools
from dataclasses import replace

import pytest

from litebert.errors import UsageError
from litebert.text import AlbertTokenizer, windows


def test_short_inputs_are_one_window():
    assert windows(5, None, 10, 2) == [(slice(0, 5), None)]
    assert windows(0, None, 10, 2) == [(slice(0, 0), None)]
    assert windows(3, 4, 10, 2) == [(slice(0, 3), slice(0, 4))]


def test_single_text_overlaps_by_stride():
    assert [w.first for w in windows(20, None, 12, 3)] == [slice(0, 10), slice(7, 17), slice(14, 20)]


def test_short_side_stays_whole():
    cut = windows(2, 20, 13, 3)
    assert {(w.first.start, w.first.stop) for w in cut} == {(0, 2)}
    assert [w.second for w in cut] == [slice(0, 8), slice(5, 13), slice(10, 18), slice(15, 20)]
    assert [w.first for w in windows(20, 2, 13, 3)] == [w.second for w in cut]


def test_two_long_sides_advance_together():
    cut = windows(20, 9, 13, 1)
    assert [w.first for w in cut] == [slice(0, 5), slice(4, 9), slice(8, 13), slice(12, 17), slice(16, 20)]
    assert [w.second for w in cut] == [slice(0, 5), slice(4, 9), slice(4, 9), slice(4, 9), slice(4, 9)]


@pytest.mark.parametrize(
    ("pair", "max_length", "stride"), [(None, 2, 0), (None, 10, 8), (3, 4, 0), (3, 13, 5), (None, 10, -1)]
)
def test_no_room_is_refused_whatever_the_text(pair, max_length, stride):
    with pytest.raises(UsageError, match="cannot advance"):
        windows(0, pair, max_length, stride)


def test_encoded_windows_cover_the_text_with_offsets_of_the_whole():
    tokenizer = AlbertTokenizer.bundled()
    question, passage = "Who wrote it?", "It was  written by Émile Zola in 1885, they say. " * 12
    whole = tokenizer.encode(passage).offsets[1:-1]
    parts = tokenizer.encode_windows(question, passage, max_length=64, stride=16)
    assert len(parts) > 1 and max(map(len, parts)) <= 64
    spans = [[o for o, s in zip(e.offsets, e.sequence_ids, strict=True) if s == 1] for e in parts]
    for before, after in itertools.pairwise(spans):
        assert before[-16:] == after[:16]
    assert sorted({span for part in spans for span in part}) == sorted(set(whole))
    assert len(tokenizer.encode_windows(passage, max_length=512)) == 1
    assert tokenizer.encode_windows("short")[0] == tokenizer.encode("short")
    with pytest.raises(UsageError):
        tokenizer.encode_windows("short", max_length=3)


@pytest.mark.parametrize("pairs", [None, ["Émile Zola, in 1885.", "nobody " * 90, ""]])
@pytest.mark.parametrize("offsets", [True, False])
def test_windows_of_many_texts_are_those_of_each(pairs, offsets):
    tokenizer = AlbertTokenizer.bundled()
    texts = ["Who wrote it?", "It was  written by Émile Zola in 1,885, they say. " * 12, ""]
    found = tokenizer.encode_windows_batch(texts, pairs, max_length=64, stride=16, offsets=offsets)
    expected = [tokenizer.encode_windows(t, p, 64, 16) for t, p in zip(texts, pairs or [None] * 3, strict=True)]
    assert [len(one) for one in found] == [len(one) for one in expected] and len(found[1]) > 1
    for own, theirs in zip(itertools.chain(*found), itertools.chain(*expected), strict=True):
        assert replace(own, offsets=[]) == replace(theirs, offsets=[]) and (not offsets or own == theirs)
    assert bool(found[1][0].offsets) is offsets
    with pytest.raises(UsageError, match="second texts"):
        tokenizer.encode_windows_batch(texts, ["one"])
