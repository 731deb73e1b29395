"""Any cutting of a file gives the same documents, whatever is in it."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litebert.corpus.reading import layouts
from litebert.corpus.reading.readers import InputFile, ReadSettings, Span, read_documents
from litebert.text.sentences import sentence_spans

PIECES = st.sampled_from(
    [
        "a",
        "bc",
        "word ",
        "é",
        "你好。",
        "\n",
        "\n\n",
        "\r\n",
        "\r\n\r\n",
        " \n",
        "\n \t \n",
        " ",
        "   ",
        "\t",
        "x" * 40,
        ". ",
        "\ufeff",
    ]
)
CONTENTS = st.lists(PIECES, max_size=60).map("".join)
ROWS = st.lists(
    st.sampled_from(
        [
            '{"text": "one"}\n',
            '{"text": "two\\nlines"}\r\n',
            "\n",
            '{"text": null}\n',
            "{broken\n",
            '{"no": 1}\n',
            "  \n",
        ]
    ),
    max_size=30,
).map(lambda rows: '{"text": "first"}\n' + "".join(rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cuts")


def texts(path, kind, cuts, how):
    """The documents of all spans between the cuts, and the counters summed."""
    size = path.stat().st_size
    file = InputFile(str(path), size, kind, None)
    borders = [0, *sorted({cut for cut in cuts if 0 < cut < size}), None]
    counters = Counter()
    found = []
    for start, end in pairwise(borders):
        documents = list(read_documents(Span(file, start, end), how, counters))
        assert [document.number for document in documents] == list(range(len(documents)))
        found += [document.text for document in documents]
    return found, +counters


@pytest.mark.parametrize("layout", ["paragraphs", "sentences", "line", "file", "auto"])
@settings(max_examples=80, deadline=None)
@given(content=CONTENTS, cuts=st.lists(st.integers(1, 400), max_size=12), piece=st.sampled_from([3, 16, 1 << 20]))
def test_cutting_text_changes_nothing(folder, layout, content, cuts, piece):
    path = folder / "text.txt"
    path.write_bytes(content.encode())
    how = ReadSettings(layout=layout, max_document_bytes=64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layouts, "PIECE", piece)  # lines longer than what is held of one at a time
        patch.setattr(layouts, "_LOOK_BACK", piece)
        whole = texts(path, "text", [], how)
        assert texts(path, "text", cuts, how) == whole
    assert "".join("".join(whole[0]).split()).replace("\ufeff", "") == "".join(content.split()).replace("\ufeff", "")


@settings(max_examples=100, deadline=None)
@given(content=ROWS, cuts=st.lists(st.integers(1, 500), max_size=12))
def test_cutting_rows_changes_nothing(folder, content, cuts):
    path = folder / "rows.jsonl"
    path.write_bytes(content.encode())
    whole = texts(path, "jsonl", [], ReadSettings())
    assert texts(path, "jsonl", cuts, ReadSettings()) == whole
    assert len(whole[0]) == content.count('"first"') + content.count('"one"') + content.count('"two')


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet="ab Dr.MNo!?…。“”'\"()[1]3\n\t »«\u00a0U.S", max_size=60), st.one_of(st.none(), st.integers(5, 20))
)
def test_sentences_lose_nothing_but_white_space(text, most):
    spans = sentence_spans(text, max_chars=most)
    before = 0
    for start, end in spans:
        assert before <= start < end <= len(text)
        assert not text[before:start].strip() and text[start:end] == text[start:end].strip()
        assert "\n" not in text[start:end]
        assert most is None or end - start <= most
        before = end
    assert not text[before:].strip()
