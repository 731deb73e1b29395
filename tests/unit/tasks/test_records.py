"""Reading examples: every format gives the same records, and every refusal names file, line and remedy."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from pyarrow import parquet

from litebert.errors import DataError, MachineError, UsageError
from litebert.tasks.reading.records import Columns, Record, content_hash, iter_records, parse_columns, read_records

ROWS = [('Good, "really" good.', "fine", "pos"), ("naïve 文字 \U0001f600", "no\u2028break", "neg")]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def contents(records: list[Record]) -> list[tuple[object, ...]]:
    return [(r.text, r.pair, r.label) for r in records]


def as_csv() -> str:
    return 'sentence1,sentence2,label\n"Good, ""really"" good.",fine,pos\n' + ",".join(ROWS[1]) + "\n"


def as_tsv() -> str:
    return "sentence1\tsentence2\tlabel\n" + "".join("\t".join(row) + "\n" for row in ROWS)


def as_objects() -> list[dict[str, str]]:
    return [dict(zip(("premise", "hypothesis", "label"), row, strict=True)) for row in ROWS]


# Formats --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json"])
def test_text_formats_agree(tmp_path: Path, kind: str, bom: str, end: str) -> None:
    text = {
        "csv": as_csv(),
        "tsv": as_tsv(),
        "jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in as_objects()),
        "json": json.dumps(as_objects(), indent=1),
    }[kind]
    path = write(tmp_path / f"data.{kind}", bom + text.replace("\n", end))
    assert contents(read_records(path)) == ROWS


def test_parquet_agrees(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    parquet.write_table(pa.Table.from_pylist(as_objects()), path)
    records = read_records(path)
    assert contents(records) == ROWS
    assert [r.line for r in records] == [1, 2]


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


@pytest.mark.parametrize("suffix", list(PACK))
def test_packed_files(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"data.tsv.{suffix}", PACK[suffix](as_tsv().encode()))
    assert contents(read_records(path)) == ROWS


@pytest.mark.parametrize("suffix", list(PACK))
def test_packed_file_cut_short(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"data.tsv.{suffix}", PACK[suffix](as_tsv().encode() * 50)[:-20])
    with pytest.raises(DataError, match="cannot be read to its end"):
        read_records(path)


def test_zstandard_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pa, "Codec", SimpleNamespace(is_available=lambda name: False))
    with pytest.raises(MachineError, match="without zstandard") as caught:
        read_records(write(tmp_path / "data.tsv.zst", PACK["zst"](as_tsv().encode())))
    assert "zstd -d" in (caught.value.hint or "")


def test_lines_have_text_only(tmp_path: Path) -> None:
    path = write(tmp_path / "data.txt", 'one "1"\ttab\n\ntwo')
    told: list[str] = []
    records = read_records(path, labels_required=False, warnings=told)
    assert [(r.text, r.pair, r.label, r.line) for r in records] == [
        ('one "1"\ttab', None, None, 1),
        ("two", None, None, 3),
    ]
    assert told == [f"{path}: 1 row without text skipped (first: line 2)"]


def test_keep_empty_answers_every_row(tmp_path: Path) -> None:
    path = write(tmp_path / "data.txt", "one\n\n  \ntwo\n")
    told: list[str] = []
    records = read_records(path, labels_required=False, keep_empty=True, warnings=told)
    assert [r.text for r in records] == ["one", "", "  ", "two"]
    assert told == [f"{path}: 2 rows without text (first: line 2)"]


def test_txt_with_columns_is_tsv(tmp_path: Path) -> None:
    path = write(tmp_path / "data.txt", "pos\tgood\nneg\tbad\n")
    assert contents(read_records(path, columns=Columns(text=1, label=0))) == [
        ("good", None, "pos"),
        ("bad", None, "neg"),
    ]


def test_json_lines_named_json(tmp_path: Path) -> None:
    path = write(tmp_path / "data.json", '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
    assert contents(read_records(path)) == [("a", None, "x"), ("b", None, "y")]


@pytest.mark.parametrize(
    ("text", "expected"), [("plain\nlines\n", ["plain", "lines"]), ('{"text": "a"}\n{"text": "b"}\n', ["a", "b"])]
)
def test_standard_input(monkeypatch: pytest.MonkeyPatch, text: str, expected: list[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert [r.text for r in read_records("-", labels_required=False)] == expected


def test_csv_fields_over_lines_keep_the_line_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", 'text,label\n"two\nlines",a\nlast,b\n')
    assert [(r.text, r.line) for r in read_records(path)] == [("two\nlines", 2), ("last", 4)]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_csv_of_other_countries(tmp_path: Path, separator: str) -> None:
    path = write(tmp_path / "data.csv", f"text{separator}label\nHallo, du{separator}a\n")
    assert contents(read_records(path)) == [("Hallo, du", None, "a")]


def test_megabyte_in_one_line(tmp_path: Path) -> None:
    long = "word " * 200_000
    for name, text in (("a.csv", f'text,label\n"{long}",x\n'), ("a.tsv", f"text\tlabel\n{long}\tx\n")):
        assert read_records(write(tmp_path / name, text))[0].text == long
    path = write(tmp_path / "a.jsonl", json.dumps({"text": long, "label": "x"}))
    assert read_records(path)[0].text == long


def test_tsv_quotes_are_characters(tmp_path: Path) -> None:
    path = write(tmp_path / "data.tsv", 'text\tlabel\n"open\ta\nclosed"\tb\n')
    assert contents(read_records(path)) == [('"open', None, "a"), ('closed"', None, "b")]


def test_records_stream(tmp_path: Path) -> None:
    path = write(tmp_path / "data.tsv", "text\tlabel\na\tx\nbroken\n")
    records = iter_records(path)
    assert next(records).text == "a"
    with pytest.raises(DataError, match="line 3"):
        next(records)


# Columns --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "text", "pair", "label"),
    [
        ("Tweet,class", 0, None, 1),
        ("label,text", 1, None, 0),
        ("question,sentence,label", 0, 1, 2),
        ("passage,question,label", 1, 0, 2),
        ("id,qid1,qid2,question1,question2,is_duplicate", 3, 4, 5),
        ("Quality,#1 ID,#2 ID,#1 String,#2 String", 3, 4, 0),
        ("query,text,score", 0, 1, 2),
        ("text,document,label", 0, None, 2),
        ("sentence_A,sentence_B,Label", 0, 1, 2),
    ],
)
def test_columns_are_recognised(tmp_path: Path, header: str, text: int, pair: int | None, label: int) -> None:
    cells = [f"c{i}" for i in range(len(header.split(",")))]
    record = read_records(write(tmp_path / "data.csv", f"{header}\n{','.join(cells)}\n"))[0]
    assert (record.text, record.pair, record.label) == (
        cells[text],
        None if pair is None else cells[pair],
        cells[label],
    )


def test_what_is_recognised_depends_on_the_task(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", "text,label,score,labels,id\na,x,1.5,p|q,7\n")
    assert read_records(path)[0].label == "x"
    assert read_records(path, regression=True)[0].label == 1.5
    assert read_records(path, multi_label=True)[0].label == ("p", "q")
    assert read_records(path)[0].id == "7"


def test_named_columns_and_the_rest_guessed(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", "sentence1,sentence2,Stars,label\na,b,5,x\n")
    assert contents(read_records(path, columns=parse_columns("label=stars"))) == [("a", "b", "5")]
    # Naming the text alone asks for single texts.
    assert contents(read_records(path, columns=Columns(text="sentence2"))) == [("b", None, "x")]


def test_extra_columns_are_kept_on_request(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", "text,label,source\na,x,web\n")
    assert read_records(path, keep_extra=True)[0].extra == {"source": "web"}
    assert read_records(path)[0].extra == {}
    path = write(tmp_path / "data.jsonl", '{"text": "a", "label": "x", "n": {"m": 1}}')
    assert read_records(path, keep_extra=True)[0].extra == {"n": {"m": 1}}


def test_header_can_be_told(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", "text,label\na,x\n")
    assert len(read_records(path, columns=Columns(text=0, label=1))) == 2
    assert len(read_records(path, columns=Columns(text=0, label=1), header=True)) == 1


def test_optional_keys_of_json_may_be_absent(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", '{"text": "a"}\n{"text": "b", "label": "x"}\n')
    assert [r.label for r in read_records(path, labels_required=False)] == [None, "x"]


def test_parse_columns() -> None:
    assert parse_columns("text=review, pair=reply,label=0,id=Key") == Columns("review", "reply", 0, "Key")
    assert parse_columns("label=toxic|rude").label == ("toxic", "rude")


@pytest.mark.parametrize("spec", ["txt=a", "text", "text=", "text=a,text=b", ""])
def test_parse_columns_refuses(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_columns(spec)
    assert caught.value.hint
    assert spec != "txt=a" or "'text'" in caught.value.hint


# Labels ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ('" spam "', "spam"),
        ("1", "1"),
        ("1.0", "1"),
        ("1.5", "1.5"),
        ("true", "true"),
        ("null", None),
        ("NaN", None),
        ('" "', None),
    ],
)
def test_single_labels_become_names(tmp_path: Path, value: str, label: str | None) -> None:
    path = write(tmp_path / "data.jsonl", f'{{"text": "a", "label": {value}}}\n')
    assert read_records(path, labels_required=False)[0].label == label


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("a|b", ("a", "b")),
        ("a; b ;a", ("a", "b")),
        ("a", ("a",)),
        ("", ()),
        ('"[""x|y"", ""z""]"', ("x|y", "z")),
        ("[]", ()),
    ],
)
def test_several_labels_in_a_cell(tmp_path: Path, cell: str, labels: tuple[str, ...]) -> None:
    path = write(tmp_path / "data.csv", f"text,labels\nt,{cell}\n")
    assert read_records(path, multi_label=True)[0].label == labels


def test_several_labels_in_json(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", '{"text": "t", "labels": ["b", "a", 3]}\n{"text": "u", "labels": []}\n')
    assert [r.label for r in read_records(path, multi_label=True)] == [("b", "a", "3"), ()]


def test_a_column_per_label(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", "text,toxic,rude\na,1,0\nb,0,0\nc,true,1.0\n")
    columns = parse_columns("label=toxic|rude")
    assert [r.label for r in read_records(path, columns=columns, multi_label=True)] == [
        ("toxic",),
        (),
        ("toxic", "rude"),
    ]
    with pytest.raises(UsageError, match="multi-label"):
        read_records(path, columns=columns)
    path = write(path, "text,toxic,rude\na,1,2\n")
    with pytest.raises(DataError, match="'rude' holds '2'") as caught:
        read_records(path, columns=columns, multi_label=True)
    assert caught.value.line == 2


@pytest.mark.parametrize(("cell", "value"), [("3", 3.0), (" -2.5e-1 ", -0.25), ("0", 0.0)])
def test_numbers(tmp_path: Path, cell: str, value: float) -> None:
    assert read_records(write(tmp_path / "data.csv", f"text,score\nt,{cell}\n"), regression=True)[0].label == value


@pytest.mark.parametrize("cell", ["nan", "inf", "-Infinity", "good", "1_000", '"3,5"', "1e999"])
def test_what_is_no_number(tmp_path: Path, cell: str) -> None:
    path = write(tmp_path / "data.csv", f"text,score\nfine,1\nt,{cell}\n")
    with pytest.raises(DataError, match="not a finite number") as caught:
        read_records(path, regression=True)
    assert (caught.value.path, caught.value.line) == (str(path), 3)


def test_lists_need_multi_label(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", '{"text": "t", "label": ["a"]}')
    with pytest.raises(DataError, match="label is a list") as caught:
        read_records(path)
    assert "multi-label" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="at once"):
        read_records(path, multi_label=True, regression=True)


# Refusals -------------------------------------------------------------------------------------------------------------

BROKEN = {
    "empty": ("a.csv", b"", "is empty", None),
    "blank": ("a.csv", b"\n\n", "only blank lines", None),
    "header only": ("a.csv", b"text,label\n", "no usable rows", None),
    "all empty": ("a.csv", b"text,label\n ,x\n,y\n", "2 rows have no text", None),
    "ragged": ("a.tsv", b"text\tlabel\na\tx\nb\n", "line 3 .* has 1 column where the first row has 2", 3),
    "too wide": ("a.csv", b"text,label\na,b,x\n", "line 2 .* has 3 columns", 2),
    "latin-1": ("a.tsv", b"text\tlabel\nfine\tx\ncaf\xe9\ty\n", "line 3 .* not UTF-8: byte 0xe9 at position 4", 3),
    "utf-16": ("a.csv", "text,label\na,x\n".encode("utf-16"), "UTF-16", 1),
    "utf-16 without mark": ("a.csv", "text,label\na,x\n".encode("utf-16-be"), "NUL", 1),
    "nul": ("a.tsv", b"text\tlabel\na\tx\nb\x00\ty\n", "line 3 .* NUL", 3),
    "misnamed gzip": ("a.csv", gzip.compress(b"text,label\na,x\n"), "gzip data", 1),
    "spreadsheet": ("a.csv", b"PK\x03\x04rest", "spreadsheet", 1),
    "open quote": ("a.csv", b'text,label\n"never closed,x\nb,y\n', "line 2 .* not well-formed CSV", 2),
    "no label": ("a.csv", b"text,label\na,x\nb,\n", "line 3 .* no label", 3),
    "unknown columns": ("a.csv", b"foo,bar\na,x\n", "no column recognised as text; its columns are 'foo', 'bar'", 1),
    "no label column": ("a.csv", b"text,bar\na,x\n", "no column recognised as label", 1),
    "bad json line": ("a.jsonl", b'{"text": "a", "label": "x"}\n{"text": \n', "line 2 .* not JSON", 2),
    "not an object": ("a.jsonl", b'{"text": "a", "label": "x"}\n["b"]\n', "item 2 .* is a list", 2),
    "no array": ("a.json", b'{\n"train": []}', "holds an object with the keys 'train', not an array", None),
    "empty array": ("a.json", b"[]", "no usable rows", None),
    "number as text": ("a.jsonl", b'{"text": 5, "label": "x"}', "line 1 .* text is a number", 1),
    "missing key": (
        "a.jsonl",
        b'{"text": "a", "label": "x"}\n{"txt": "b", "label": "x"}',
        "line 2 .* has no 'text'",
        2,
    ),
    "deep json": ("a.jsonl", b"[" * 200_000, "line 1 .* not JSON", 1),
    "parquet": ("a.parquet", b"PAR1 no", "not a readable Parquet", None),
    "twice": ("a.csv", b"text,text,label\na,b,x\n", "2 columns named 'text'", 1),
}


@pytest.mark.parametrize("case", BROKEN)
def test_refusals_name_file_line_and_remedy(tmp_path: Path, case: str) -> None:
    name, content, message, line = BROKEN[case]
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as caught:
        read_records(path)
    error = caught.value
    assert (error.path, error.line) == (str(path), line)
    assert error.hint


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "none.csv", "there is no file"), (tmp_path, "is a folder")):
        with pytest.raises(DataError, match=message):
            read_records(path, format="csv")
        with pytest.raises(DataError, match=message):
            content_hash(path)


def test_unknown_format(tmp_path: Path) -> None:
    path = write(tmp_path / "data.xlsx", "")
    with pytest.raises(UsageError, match="cannot tell the format"):
        read_records(path)
    with pytest.raises(UsageError) as caught:
        read_records(path, format="cvs")
    assert "'csv'" in (caught.value.hint or "")


def test_wrong_column_names_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", "headline,stars\na,5\n")
    with pytest.raises(DataError, match="no column 'headlin'") as caught:
        read_records(path, columns=Columns(text="headlin", label="stars"))
    assert "Did you mean 'headline'?" in (caught.value.hint or "")
    with pytest.raises(DataError, match="no column 2"):
        read_records(path, columns=Columns(text=0, label=2))
    with pytest.raises(DataError, match="which column is the text"):
        read_records(path, columns=Columns(label=1))


def test_nul_and_half_characters_in_json(tmp_path: Path) -> None:
    path = write(
        tmp_path / "data.jsonl", r'{"text": "a\u0000b", "label": "x"}' + "\n" + r'{"text": "c\ud83d", "label": "x"}'
    )
    told: list[str] = []
    assert [r.text for r in read_records(path, warnings=told)] == ["a\0b", "c\ufffd"]
    assert len(told) == 1
    assert "surrogates" in told[0]
    assert "line 2" in told[0]


def test_rows_with_half_a_pair_are_skipped(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", "premise,hypothesis,label\na,,x\nb,c,y\n")
    told: list[str] = []
    assert contents(read_records(path, warnings=told)) == [("b", "c", "y")]
    assert "1 row without text" in told[0]


def test_content_hash(tmp_path: Path) -> None:
    # FIPS 180-4's example "abc".
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert content_hash(write(tmp_path / "x", b"abc")) == expected


def test_reading_text_needs_no_heavy_import(tmp_path: Path) -> None:
    path = write(tmp_path / "data.csv", as_csv())
    code = (
        "import sys; from litebert.tasks.reading.records import read_records; import litebert.tasks.official.glue; "
        f"read_records({str(path)!r}); "
        "print([m for m in ('torch', 'numpy', 'pyarrow', 'sklearn', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.strip() == "[]"


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest.mark.parametrize(
    ("header", "columns", "labels", "told"),
    [
        (
            "title,text,label",
            None,
            True,
            ["'text' is taken as the text, not 'title'; --columns text=NAME says otherwise"],
        ),
        ("title,text,label", "text=title", True, []),
        (
            "text,Category,score",
            None,
            True,
            ["'Category' is taken as the label, not 'score'; --columns label=NAME says otherwise"],
        ),
        ("text,category,score", None, False, []),  # nobody asked for labels
        ("text,category,score", "label=score", True, []),
        ("question,sentence,label", None, True, []),  # both are used
        ("text,label,colour", None, True, []),
    ],
)
def test_a_column_that_might_have_been_meant_is_named(header, columns, labels, told, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\none,two,3\nfour,five,6\n")
    warnings = []
    given = None if columns is None else parse_columns(columns)
    if labels:
        read_records(path, columns=given, warnings=warnings)
    else:
        assert list(iter_records(path, columns=given, labels_required=False, ignore_labels=True, warnings=warnings))
    assert warnings == [f"{path}: {one}" for one in told]


def test_keys_that_come_late_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows: list[dict[str, object]] = [{"text": "x", "label": "a"}] * 65
    rows += [{"id": 5, "text": "x", "pair": "y", "label": "b"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    *_, last = read_records(path)
    assert (last.text, last.pair, last.label, last.id) == ("x", "y", "b", 5)


@pytest.mark.parametrize("array", [False, True])
def test_halves_of_characters_are_replaced_wherever_they_are(array: bool, tmp_path: Path) -> None:
    rows = [
        {"text": "a \ud83d b", "id": "\ude00", "more": {"k\ud800": ["\ud83d", "\U0001f600", 1]}},
        {"text": "\U0001f600", "id": "x"},
    ]
    path = tmp_path / ("a.json" if array else "a.jsonl")
    path.write_text(json.dumps(rows) if array else "".join(json.dumps(row) + "\n" for row in rows))
    warnings: list[str] = []
    one, two = read_records(path, labels_required=False, keep_extra=True, warnings=warnings)
    assert (one.text, one.id, one.extra) == ("a \ufffd b", "\ufffd", {"more": {"k\ufffd": ["\ufffd", "\U0001f600", 1]}})
    assert (two.text, two.id) == ("\U0001f600", "x")
    assert warnings == [
        f"{path}: 1 row with unpaired surrogates (halves of characters), replaced by U+FFFD (first: line 1)"
    ]
