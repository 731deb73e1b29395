"""Chunks are pieces of the text, cover it, are not too long, and share what they should."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litebert.errors import ConfigError
from litebert.search.chunks import ChunkSettings, chunk_spans
from litebert.settings import build_settings
from tests.unit.search.fakes import word_offsets

WORDS = st.lists(st.sampled_from(["wing", "a", "drag.", "Flow!", "layer,", "x" * 40]), max_size=120)


@given(WORDS, st.sampled_from([" ", "\n", "\n\n"]), st.integers(8, 40), st.integers(0, 4))
def test_chunks_cover_the_text_and_keep_to_their_length(words, space, tokens, overlap):
    text = space.join(words)
    spans = chunk_spans(text, word_offsets, ChunkSettings(tokens=tokens, overlap=overlap))
    covered = {i for start, end in spans for i in range(start, end)}
    assert all(text[i].isspace() for i in set(range(len(text))) - covered)
    assert all(len(word_offsets(text[start:end])) <= tokens for start, end in spans)
    assert all(text[start:end].strip() == text[start:end] != "" for start, end in spans)
    assert spans == sorted(spans)


def test_neighbours_share_whole_sentences():
    text = " ".join(f"Sentence number {n} is here." for n in range(20))
    spans = chunk_spans(text, word_offsets, ChunkSettings(tokens=24, overlap=12))
    for (_, before), (after, _) in pairwise(spans):
        assert after < before
        assert 6 <= len(word_offsets(text[after:before])) <= 12
        assert text[after:].startswith("Sentence")


def test_a_long_sentence_is_cut_between_words():
    text = "word " * 50
    spans = chunk_spans(text, word_offsets, ChunkSettings(tokens=8, overlap=0))
    assert {text[start:end] for start, end in spans} == {"word word word word word word word word", "word word"}


def test_lines_of_a_fixed_width_do_not_end_sentences():
    line = "the quick brown fox jumps over the lazy dog and runs on into the next of lines"
    text = "\n".join([line] * 24) + ".\n"
    whole = chunk_spans(text, word_offsets, ChunkSettings(tokens=1000, overlap=0))
    assert whole == [(0, len(text) - 1)]


def test_an_overlap_that_would_not_advance_is_refused():
    with pytest.raises(ConfigError, match="more than half"):
        build_settings(ChunkSettings, {"tokens": 10, "overlap": 6})
