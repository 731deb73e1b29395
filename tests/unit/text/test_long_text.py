"""Bounded time on long input: generous caps catch quadratic code, not slow machines."""

import time

import numpy as np
import pytest

from litebert.text import AlbertTokenizer, segmenter

MEGABYTES = 10_000_000
CAP_SECONDS = 60


@pytest.fixture(scope="module")
def tokenizer():
    return AlbertTokenizer.bundled()


@pytest.mark.parametrize("unit", ["word 12, ", "a", "e\u0301 ", "[MASK"])
def test_ten_megabytes_in_bounded_time(tokenizer, unit):
    text = (unit * (MEGABYTES // len(unit) + 1))[:MEGABYTES]
    begin = time.perf_counter()
    encoding = tokenizer.encode_batch([text], allow_special=True)[0]
    assert time.perf_counter() - begin < CAP_SECONDS
    assert len(encoding) > MEGABYTES // 20


@pytest.mark.parametrize("unit", ["a\x07", "é2010,", "a  b\u200b "])
def test_offsets_of_a_megabyte_in_bounded_time(tokenizer, unit):
    text = unit * (1_000_000 // len(unit))
    begin = time.perf_counter()
    encoding = tokenizer.encode(text)
    assert time.perf_counter() - begin < CAP_SECONDS
    assert len(encoding.offsets) == len(encoding) and encoding.offsets[-2][1] >= len(text) - 3


def test_megabyte_of_white_space_before_a_mask_and_of_marks_alone(tokenizer):
    begin = time.perf_counter()
    assert tokenizer.encode(" " * 1_000_000 + "[MASK]", allow_special=True).ids == [2, 4, 3]
    assert tokenizer.encode("\u0301" * 1_000_000).ids == [2, 3]
    assert time.perf_counter() - begin < CAP_SECONDS


def test_offsets_of_a_long_text_with_accents_and_double_spaces(tokenizer):
    text = "Café  naïve 2010, " * 20_000
    encoding = tokenizer.encode(text)
    starts, ends = np.array(encoding.offsets[1:-1]).T
    assert (np.diff(starts) >= 0).all() and (ends > starts).all()
    period = len(encoding.ids[1:-1]) // 20_000
    assert [text[s:e] for s, e in encoding.offsets[-1 - period : -1]] == ["Café", "naïve", "2010", ","]


def test_cut_text_gives_the_ids_of_the_whole(tokenizer, monkeypatch):
    text = " ".join(f"Sentence {i} isn't, in {i % 2020}, about «naïve» ids ...\n\tnext" for i in range(400))
    whole = tokenizer.encode(text)
    for size in (1, 7, 100, 5000):
        monkeypatch.setattr(segmenter, "CHUNK", size)
        assert tokenizer.encode(text) == whole
        assert "".join(part for _, part in segmenter.chunks(text, size)) == text
        assert all(text[at : at + len(part)] == part for at, part in segmenter.chunks(text, size))


def test_reading_stops_when_the_rest_would_be_cut(tokenizer, monkeypatch):
    text = "word " * 100_000
    seen = []
    engine = tokenizer._segmenter
    segment = engine.segment
    monkeypatch.setattr(
        engine, "segment", lambda parts, **kw: seen.append(sum(map(len, parts))) or segment(parts, **kw)
    )
    cut = tokenizer.encode(text, max_length=128)
    assert len(cut) == 128 and cut.truncated
    assert sum(seen) <= segmenter.CHUNK
    pair = tokenizer.encode(text, "short one", max_length=16)
    assert pair.sequence_ids.count(1) == 2 and len(pair) == 16
