"""The quick way from text to ids gives the ids of the slow one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litebert.errors import DataError, UsageError
from litebert.text import AlbertTokenizer

TEXTS = ["A sentence.", "", "  two   spaces\tand\na line  ", "It cost 1,000, or 2010, then.", "naïve café ﬁne İstanbul"]
TEXTS += ["日本語", "[MASK] <pad>", "lone \ud800 surrogate", "word " * 20_000]


@pytest.fixture(scope="module")
def chinese(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "日", "##b", ".", "word", "two"]) + "\n"
    )
    return AlbertTokenizer.from_pretrained(path)


@pytest.mark.parametrize("threads", [1, 2])
def test_as_encode_without_specials(threads, chinese):
    for tokenizer in (AlbertTokenizer.bundled(), AlbertTokenizer.bundled(style="hf", lower=False), chinese):
        assert tokenizer.ids_batch(TEXTS, threads=threads) == [tokenizer.encode(text).ids[1:-1] for text in TEXTS]


@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_text(texts):
    tokenizer = BUNDLED
    assert tokenizer.ids_batch(texts) == [tokenizer.encode(text).ids[1:-1] for text in texts]


BUNDLED = AlbertTokenizer.bundled()


def test_wrong_calls():
    with pytest.raises(UsageError):
        BUNDLED.ids_batch("one string")
    with pytest.raises(DataError):
        BUNDLED.ids_batch(["fine", 3])
    assert BUNDLED.ids_batch([]) == []
