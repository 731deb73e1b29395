"""Files of every kind, as people have them and as they break."""

import bz2
import gzip
import json
import lzma
import tracemalloc
from collections import Counter
from dataclasses import replace

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from litebert.corpus.reading.inputs import unpacked_size
from litebert.corpus.reading.readers import ReadSettings, Span, list_inputs, nothing_read, read_documents, spans
from litebert.corpus.reading.web_pages import page_text
from litebert.errors import ConfigError, DataError, MachineError
from litebert.settings import build_settings

ARTICLES = "First title\nA paragraph of it.\n\nSecond title\nAnother paragraph.\n"


def read(path, target=1 << 30, **settings):
    (file,) = list_inputs([str(path)])
    counters = Counter()
    documents = [
        document.text
        for span in spans(file, target)
        for document in read_documents(span, ReadSettings(**settings), counters)
    ]
    assert 0 not in counters.values()
    return documents, dict(counters)


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# What there is to read


def test_folders_globs_and_files_give_each_file_once_and_sorted(tmp_path):
    for name in ("b/two.jsonl.gz", "b/.hidden/three.txt", "a.txt", ".dot.txt", "notes.pdf", "b/page.HTML", "d.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"x")
    found = list_inputs([str(tmp_path), str(tmp_path / "a.txt"), str(tmp_path / "b" / "*.gz")])
    assert [(file.url.removeprefix(str(tmp_path)), file.kind, file.compression, file.size) for file in found] == [
        ("/a.txt", "text", None, 1),
        ("/b/page.HTML", "html", None, 1),
        ("/b/two.jsonl.gz", "jsonl", "gzip", 1),
        ("/d.parquet", "parquet", None, 1),
    ]


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("corpsu.txt", "there is no file", "corpus.txt"),
        ("data.txtt", ".txtt is no kind", ".txt"),
        ("archive.tar.gz", ".tar is no kind", ".txt"),
        ("*.csv", "no files", "Allowed"),
        ("only", "1 files, none of a kind", "Allowed"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, said, hint):
    for there in ("corpus.txt", "data.txtt", "archive.tar.gz", "only/a.docx"):
        (tmp_path / there).parent.mkdir(exist_ok=True)
        (tmp_path / there).write_text("x")
    with pytest.raises(DataError) as caught:
        list_inputs([str(tmp_path / name)])
    assert said in caught.value.message and hint in caught.value.hint
    assert caught.value.path == str(tmp_path / name)


def test_a_file_without_a_suffix_is_text(tmp_path):
    assert read(written(tmp_path, "corpus", ARTICLES))[0] == [
        "First title\nA paragraph of it.",
        "Second title\nAnother paragraph.",
    ]


def test_urls_are_listed_and_read(tmp_path):
    memory = fsspec.filesystem("memory")
    memory.pipe("/corpus/a.txt", ARTICLES.encode())
    memory.pipe("/corpus/deep/b.jsonl.gz", gzip.compress(b'{"text": "row"}\n'))
    memory.pipe("/corpus/.c/hidden.txt", b"no")
    try:
        found = list_inputs(["memory://corpus"])
        assert [(file.url, file.kind, file.size > 0) for file in found] == [
            ("memory:///corpus/a.txt", "text", True),
            ("memory:///corpus/deep/b.jsonl.gz", "jsonl", True),
        ]
        assert list_inputs(["memory://corpus/*.txt"]) == found[:1]
        assert list_inputs(["memory://corpus/**"]) == found
        assert [file.url for file in list_inputs(["memory://corpus/.c/*.txt"])] == ["memory:///corpus/.c/hidden.txt"]
        for file in found:
            assert unpacked_size(replace(file, size=0), 10) == unpacked_size(file, 1 << 20)  # the server does not tell
        parts = [
            document.text
            for file in found
            for span in spans(file, 20)
            for document in read_documents(span, ReadSettings(), Counter())
        ]
        assert parts == ["First title\nA paragraph of it.", "Second title\nAnother paragraph.", "row"]
        with pytest.raises(DataError, match="no files"):
            list_inputs(["memory://nothing/here"])
    finally:
        memory.rm("/corpus", recursive=True)
    with pytest.raises((MachineError, DataError), match="nosuch"):
        list_inputs(["nosuch://bucket/a.txt"])


# Plain text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (ARTICLES, ["First title\nA paragraph of it.", "Second title\nAnother paragraph."]),
        ("\r\n\r\none\r\n two \r\n \t\r\nthree", ["one\ntwo", "three"]),
        ("\ufeffone\n\ntwo", ["one", "two"]),
        ("".join(f"line {i}\n" for i in range(150)), [f"line {i}" for i in range(150)]),
        ("one long line", ["one long line"]),
        ("a few\nlines\n", ["a few\nlines"]),
        ("", []),
        (" \n\n\t\n", []),
    ],
)
def test_the_layout_is_guessed(tmp_path, content, expected):
    assert read(written(tmp_path, "a.txt", content)) == (expected, {})


def test_lines_broken_at_a_fixed_width_are_joined(tmp_path):
    paragraph = ["The quick brown fox jumps over the lazy dog and runs away into woods"] * 12 + ["at last."]
    book = "\n".join(paragraph) + "\n\n" + "\n".join(paragraph) + "\n"
    (document,) = read(written(tmp_path, "book.txt", book))[0]
    assert document == "\n".join([" ".join(paragraph)] * 2)
    assert len(read(written(tmp_path, "book.txt", book), layout="paragraphs")[0]) == 2


def test_layouts_can_be_named(tmp_path):
    path = written(tmp_path, "a.txt", ARTICLES)
    assert read(path, layout="line")[0] == [line for line in ARTICLES.split("\n") if line]
    assert read(path, layout="file")[0] == ["First title\nA paragraph of it.\nSecond title\nAnother paragraph."]
    assert read(path, layout="sentences") == read(path, layout="paragraphs")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1", "gb18030", "utf-8-sig"])
def test_other_encodings_and_any_cut(tmp_path, encoding):
    text = "Één alinea.\n\nNog één.\n\nDrie." if encoding != "gb18030" else "第一段。\n\n第二段。"
    path = written(tmp_path, "a.txt", text.encode(encoding))
    expected = text.split("\n\n")
    assert read(path, encoding=encoding) == (expected, {})
    assert read(path, 3, encoding=encoding) == (expected, {})


def test_an_unknown_encoding_is_refused():
    with pytest.raises(ConfigError, match="encoding"):
        build_settings(ReadSettings, {"encoding": "utf-9"})


def test_bytes_that_are_no_text_are_counted(tmp_path):
    assert read(written(tmp_path, "a.txt", b"\x00\x01binary" * 50)) == ([], {"file not text": 1})
    assert read(written(tmp_path, "b.txt", "Привет, мир! ".encode("cp1251") * 50), 40) == ([], {"file not text": 1})
    many = b"Good text here. " * 40 + b"caf\xe9" + " \ufffd".encode()
    documents, counters = read(written(tmp_path, "c.txt", many))
    assert documents[0].endswith("caf\ufffd \ufffd") and counters == {"bytes replaced": 1}
    files = list_inputs([str(tmp_path / "a.txt")])
    assert "not text" in nothing_read(files, {"file not text": 1}).message
    assert "no text in" in nothing_read(files, {}).message


def test_an_enormous_document_is_cut_in_bounded_memory(tmp_path):
    path = tmp_path / "big.txt.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(200):
            stream.write(b"All of this is one paragraph that never ends, " * 2200)  # 20 MB
    (file,) = list_inputs([str(path)])
    counters = Counter()
    for layout in ("paragraphs", "line", "file"):
        tracemalloc.start()
        sizes = []
        for document in read_documents(
            Span(file, 0, None), ReadSettings(layout=layout, max_document_bytes=1 << 20), counters
        ):
            sizes.append(len(document.text))
            assert document.text.endswith(
                (",", "ever", "ends", "that", "one", "of", "this", "is", "All", "paragraph")
            )  # whole words
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert max(sizes) <= 1 << 20 and sum(sizes) > 19_000_000
        assert peak < 16 << 20
    assert counters["document cut"] == 3 * (len(sizes) - 1)


def test_a_cut_does_not_split_a_character(tmp_path):
    path = written(tmp_path, "a.txt", "你" * 1000)
    documents, counters = read(path, layout="line", max_document_bytes=100)
    assert "".join(documents) == "你" * 1000 and counters == {"document cut": len(documents) - 1}


# Packed files


def zstd(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


@pytest.mark.parametrize("suffix", PACKERS)
def test_packed_files(tmp_path, suffix):
    many = "\n\n".join(
        f"Title {i}\nParagraph {i} {i * 7919 % 100003}" for i in range(50_000)
    )  # bz2 unpacks 0.9 MB at once
    packed = PACKERS[suffix](many.encode())
    whole, counters = read(written(tmp_path, f"a.txt{suffix}", packed), 1000)
    assert "\n\n".join(whole) == many and counters == {}
    part, counters = read(written(tmp_path, f"b.txt{suffix}", packed[: len(packed) * 3 // 4]))
    assert 0 < len(part) < len(whole) and part == whole[: len(part)]
    assert counters == {"file damaged": 1}
    with pytest.raises(DataError, match=f"c.txt{suffix} cannot be read"):
        read(written(tmp_path, f"c.txt{suffix}", b"not packed at all, simply text"))


# Rows


def test_rows_that_are_wrong_are_counted(tmp_path):
    rows = [
        '{"content": "one"}',
        '{"text": "two", "content": "not this"}',
        "{broken",
        '{"text": ""}',
        '{"other": 1}',
        "[1]",
        '{"text": 5}',
    ]
    documents, counters = read(written(tmp_path, "a.jsonl", "\n".join(rows)))
    assert documents == ["one", "two"]
    assert counters == {"row not json": 1, "row without text": 3}


@pytest.mark.parametrize(
    ("content", "settings", "said", "hint"),
    [
        ('{"txt": "a"}\n', {}, "none of the fields text", "'txt'"),
        ('{"text": "a"}\n', {"text_field": "bodi"}, "no field 'bodi'", "text"),
        ('[{"text": "a"}]', {}, "none of the fields", "objects"),
        ('[\n{"text": "a"}]', {}, "not JSON", "jq"),
        ("simply text\n", {}, "not JSON", "one JSON object a line"),
    ],
)
def test_a_wrong_first_row_is_an_error(tmp_path, content, settings, said, hint):
    with pytest.raises(DataError) as caught:
        read(written(tmp_path, "a.jsonl", content), **settings)
    assert said in caught.value.message and hint in caught.value.hint and caught.value.line == 1


def test_a_row_has_paragraphs_a_named_field_and_a_limit(tmp_path):
    rows = [{"t": "one\r\n\r\n two ", "text": "no"}, {"t": "half \ud800 pair"}, {"t": "word " * 100}, {"t": "x" * 2000}]
    path = written(tmp_path, "a.ndjson", "\n".join(map(json.dumps, rows)))
    documents, counters = read(path, text_field="t", max_document_bytes=200)
    assert documents[0] == "one\ntwo"
    assert documents[1] == "half ? pair"
    assert " ".join(documents[2:]) == ("word " * 100).strip()
    assert counters == {"document cut": 2, "row too long": 1}


def test_parquet_in_row_groups(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({"id": range(100), "text": [f"row {i}" if i % 10 else None for i in range(100)]})
    pq.write_table(table, path, row_group_size=7)
    (file,) = list_inputs([str(path)])
    assert len(spans(file, 1)) == 15 and spans(file, 1 << 30) == [Span(file, 0, 15)]
    documents, counters = read(path, 300)
    assert documents == [f"row {i}" for i in range(100) if i % 10]
    assert counters == {"row without text": 10}
    with pytest.raises(DataError, match="no field 'txet'") as caught:
        read(path, text_field="txet")
    assert "'text'" in caught.value.hint


def test_broken_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"text": ["row " * 50] * 5000}), path, row_group_size=500, compression="gzip", use_dictionary=False
    )
    data = bytearray(path.read_bytes())
    with pytest.raises(DataError, match=r"cut\.parquet cannot be read"):
        read(written(tmp_path, "cut.parquet", bytes(data[:-100])))
    middle = len(data) // 2
    data[middle : middle + 200] = b"\xff" * 200
    documents, counters = read(written(tmp_path, "flipped.parquet", bytes(data)))
    assert 0 < len(documents) < 5000 and counters == {"file damaged": 1}


# Pages

PAGE = """<!doctype html><html><head><title>T</title><style>p {}</style><script>var x = "<p>no</p>";</script></head><body>
<header>Site name</header><nav><a href="/">Home</a></nav><form>Search <input></form>
<div>Intro with <b>bold</b>&nbsp;and <a href="x">a link</a> in
it.<p>A second<br>line &amp; more.</p><ul><li><a>One</a></li><li><a>Two</a> | <a>Three</a></li></ul><h2>Heading</h2>tail</div>
<p hidden>hidden</p><footer>Imprint</footer></body></html>"""


def test_pages_lose_what_surrounds_their_text(tmp_path):
    expected = "Intro with bold and a link in it.\nA second\nline & more.\nHeading\ntail"
    assert read(written(tmp_path, "a.html", PAGE)) == ([expected], {})
    long = "An article with enough words in it to be the main thing. " * 5
    assert page_text(f"<div>Teaser</div><main><p>{long}</p></main><div>Other</div>") == long.strip()
    assert page_text("") == "" and page_text("<div>" * 20000 + "deep") == "deep"


def test_pages_name_their_encoding(tmp_path):
    page = '<meta charset="windows-1251"><p>Привет, мир</p>'.encode("cp1251")
    assert read(written(tmp_path, "a.html", page))[0] == ["Привет, мир"]
    assert read(written(tmp_path, "b.html", "<p>Привет</p>".encode("utf-16")))[0] == ["Привет"]
    assert read(written(tmp_path, "c.html", b"\x00\x01\x02" * 9)) == ([], {"file not text": 1})
