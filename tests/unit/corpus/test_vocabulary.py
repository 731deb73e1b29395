"""Vocabulary training: ALBERT's flags, the sample, refusals, interruption."""

import bz2
import codecs
import gzip
import json
import lzma
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sentencepiece

import litebert
from litebert.cli import main as program
from litebert.corpus.reading.documents import TextSettings
from litebert.corpus.vocabulary.train import (
    OURS,
    VocabularySettings,
    line_sampling,
    plan_vocabulary,
    sentencepiece_process,
    train_vocabulary,
)
from litebert.errors import ConfigError, DataError, MachineError, RunError, UsageError
from litebert.settings import build_settings
from litebert.text import AlbertTokenizer

GERMAN = [
    "Der kleine Hund läuft über die große Straße und sucht seinen Ball.",
    "Größere Häuser stehen am Ufer, und Möwen schreien über dem Fluß.",
    "Die Mädchen hörten früh am Morgen schöne Lieder aus München.",
]
CHINESE = [
    "今天天气很好,我们去公园散步。",
    "他在北京大学学习中文和历史。",
    "我们学习历史,也学习中文,天气好的时候去散步。",
]
SIZE = 220


SYLLABLES = [
    "ri",
    "ver",
    "brid",
    "ge",
    "chil",
    "dren",
    "play",
    "far",
    "mer",
    "mar",
    "ket",
    "chur",
    "ch",
    "wal",
    "king",
    "slow",
    "ly",
]
WORDS = [a + b + c for a in SYLLABLES for b in SYLLABLES for c in ("", "s", "ed", "ing", "ness")]
EXTRAS = ["(every", "summer)", "Saint", "Mary's", "£3", "€4", "1990–2010", '"quietly"', "Naïve", "café", "market-place"]


def english(count=400, seed=3):
    draw = random.Random(seed)
    words = WORDS + EXTRAS * 10
    return [" ".join(draw.choices(words, k=draw.randint(4, 18))).capitalize() + "." for _ in range(count)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "english.txt"
    path.write_text("\n".join(english()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("vocab") / "en"
    return train_vocabulary([corpus], out, settings())


@pytest.fixture
def call(capsys):
    def run(*arguments):
        code = program.run([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def settings(**given):
    return build_settings(VocabularySettings, {"size": SIZE, "threads": 2, **given})


def kinds(folder):
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    return {
        "control": [model.id_to_piece(i) for i in range(len(model)) if model.is_control(i)],
        "unknown": [model.id_to_piece(i) for i in range(len(model)) if model.is_unknown(i)],
    }


# What is trained ------------------------------------------------------------------------------------------------------


def test_flags_are_alberts(trained):
    tokenizer = AlbertTokenizer.from_pretrained(trained.folder)
    assert list(tokenizer.vocabulary)[:5] == ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id) == (
        0,
        1,
        2,
        3,
        4,
    )
    assert list(tokenizer.vocabulary)[5:13] == ["(", ")", '"', "-", ".", "–", "£", "€"]
    assert tokenizer.vocab_size == trained.pieces == SIZE
    assert kinds(trained.folder) == {"control": ["<pad>", "[CLS]", "[SEP]", "[MASK]"], "unknown": ["<unk>"]}
    assert not {"<s>", "</s>"} & set(tokenizer.vocabulary)


def test_defaults_are_those_of_the_readme():
    default = VocabularySettings()
    assert (default.size, default.character_coverage, default.sentences) == (30000, 0.99995, 10_000_000)
    assert "".join(default.user_defined) == '()"-.–£€' and default.lower and not default.keep_accents


def test_user_symbols_stay_whole_and_never_join_others(trained):
    tokenizer = AlbertTokenizer.from_pretrained(trained.folder)
    assert tokenizer.tokenize('("-.–£€)') == ["▁", "(", '"', "-", ".", "–", "£", "€", ")"]
    joined = [p for p in tokenizer.vocabulary if len(p) > 1 and set(p) & set('()"-.–£€')]
    assert joined == []


def test_symbols_of_ones_own(corpus, tmp_path):
    result = train_vocabulary([corpus], tmp_path / "v", settings(user_defined=["#", ","]))
    tokenizer = AlbertTokenizer.from_pretrained(result.folder)
    assert list(tokenizer.vocabulary)[5:7] == ["#", ","]


def test_text_never_gives_control_symbols(trained):
    tokenizer = AlbertTokenizer.from_pretrained(trained.folder)
    ids = tokenizer.encode("the [CLS] river [MASK] runs <pad> [SEP]").ids
    assert not {0, 2, 3, 4} & set(ids[1:-1])


def test_pieces_equal_those_of_sentencepiece_on_normalised_text(trained):
    tokenizer = AlbertTokenizer.from_pretrained(trained.folder)
    model = sentencepiece.SentencePieceProcessor(model_file=str(trained.folder / "spiece.model"))
    normalizer = settings().rules.normalizer
    for line in [*english(30, seed=9), "  Naïve  CAFÉ\towners; Ödland ﬁsh", *GERMAN]:
        assert tokenizer.tokenize(line) == model.encode(normalizer(line), out_type=str)


def test_uncased_rules_are_learnt_and_saved(trained):
    tokenizer = litebert.AlbertTokenizer.from_pretrained(trained.folder)
    assert (tokenizer.settings.lower, tokenizer.settings.keep_accents) == (True, False)
    assert not [p for p in tokenizer.vocabulary[5:] if p != p.lower()]
    assert tokenizer.tokenize("CAFÉ") == tokenizer.tokenize("cafe")
    assert tokenizer.encode("Naive café.").ids.count(1) == 0


def test_cased_keeps_case_and_accents(tmp_path, call):
    source = tmp_path / "de.txt"
    source.write_text("\n".join(GERMAN * 40), encoding="utf-8")
    code, _, _ = call("vocab", "train", source, "--size", 60, "--cased", "--out", tmp_path / "de")
    assert code == 0
    tokenizer = AlbertTokenizer.from_pretrained(tmp_path / "de")
    assert (tokenizer.settings.lower, tokenizer.settings.keep_accents) == (False, True)
    assert tokenizer.decode(tokenizer.encode(GERMAN[0]).ids, skip_special=True) == GERMAN[0]
    assert {"ä", "ß"} <= set("".join(tokenizer.vocabulary)) and "M" in "".join(tokenizer.vocabulary)


def test_a_language_without_spaces(tmp_path):
    source = tmp_path / "zh.txt"
    source.write_text("\n".join(CHINESE * 30), encoding="utf-8")
    result = train_vocabulary([source], tmp_path / "zh", settings(size=47, character_coverage=1.0))
    tokenizer = AlbertTokenizer.from_pretrained(result.folder)
    encoding = tokenizer.encode("我们学习中文。")
    assert 1 not in encoding.ids and len(encoding.ids) - 2 < 7  # words of several characters were found
    assert result.figures.unknown_rate == 0


def test_round_trip_through_save(trained, tmp_path):
    tokenizer = AlbertTokenizer.from_pretrained(trained.folder)
    tokenizer.save_pretrained(tmp_path / "copy")
    again = AlbertTokenizer.from_pretrained(tmp_path / "copy")
    for line in english(20, seed=5):
        encoding = tokenizer.encode(line)
        assert again.encode(line).ids == encoding.ids
        assert all(0 <= start <= end <= len(line) for start, end in encoding.offsets)


def test_transformers_reads_the_folder_alike(trained):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(trained.folder)
    ours = AlbertTokenizer.from_pretrained(trained.folder)
    for line in english(20, seed=6):
        assert theirs(line)["input_ids"] == ours.encode(line).ids


# Determinism ----------------------------------------------------------------------------------------------------------


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_the_same_seed_gives_the_same_files_in_any_order(tmp_path):
    parts = [tmp_path / f"{name}.txt" for name in "ab"]
    for i, path in enumerate(parts):
        path.write_text("\n".join(english(300, seed=i)), encoding="utf-8")
    chosen = settings(sample_bytes=18_000)
    first = train_vocabulary(parts, tmp_path / "1", chosen)
    train_vocabulary([parts[1], parts[0], parts[1]], tmp_path / "2", chosen)
    other = train_vocabulary(parts, tmp_path / "3", settings(sample_bytes=18_000, seed=1))
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert not [name for name, content in contents(tmp_path / "1").items() if tmp_path.name.encode() in content]
    sample = [json.loads((tmp_path / n / "vocabulary.json").read_text())["sample"]["sha256"] for n in "13"]
    assert sample[0] != sample[1]
    assert 0.8 < first.sample_bytes / 18_000 < 1.2 and other.pieces == SIZE


def test_the_sample_is_spread_over_all_files_and_lines(tmp_path):
    for name, lines in (("long", 4000), ("short", 1000)):
        (tmp_path / f"{name}.txt").write_text("\n".join(f"{name} {i:05d}" for i in range(lines)))
    found = line_sampling.find_files([tmp_path], READ)
    total = sum(f.text_bytes for f in found)
    drawn = list(line_sampling.sample(found, total // 4, 10**9, 7, READ, Counter()))
    numbers = [int(line.text.split()[1]) for line in drawn if line.text.startswith("long")]
    assert abs(len(drawn) - 1250) < 150 and abs(len(numbers) - 1000) < 120
    assert min(numbers) < 50 and max(numbers) > 3950
    assert 0 < sum(line.held_back for line in drawn) < 40  # a hundredth at most
    short = {int(line.text.split()[1]) for line in drawn if line.text.startswith("short")}
    assert len(short & set(numbers)) < 120  # about 62 by chance: the files are drawn from apart


def test_the_sample_of_a_text_file_is_fixed_by_seed_and_name(tmp_path):
    """One number a line, empty lines included: a vocabulary can be made again from its seed."""
    given = [line for number, text in enumerate(english(300)) for line in (text, *["", "  "][: number % 3])]
    (tmp_path / "a.txt").write_text("\n".join(given), encoding="utf-8")
    found = line_sampling.find_files([tmp_path], READ)
    rate = line_sampling.sample_rate(found, 9000)
    draw = random.Random("5:a.txt").random
    expected = [line for line in given if draw() < rate and line.strip()]
    drawn = [line.text for line in line_sampling.sample(found, 9000, 0, 5, READ, Counter())]
    assert drawn == expected and 50 < len(drawn) < 250


def test_held_back_lines_are_not_trained_on(tmp_path):
    source = tmp_path / "a.txt"
    source.write_text("\n".join(english(2000, seed=1)), encoding="utf-8")
    result = train_vocabulary([source], tmp_path / "v", settings())
    assert result.figures.held_back and 5 <= result.figures.lines <= 50
    assert result.sample_lines + result.figures.lines == 2000
    assert 1.5 < result.figures.bytes_per_token < 8 and 0.01 < result.figures.whole_words < 1


# Input ----------------------------------------------------------------------------------------------------------------


READ = TextSettings()


def zstd(data):
    return pa.compress(data, "zstd", asbytes=True)


def markup(text):
    return "<html><nav>menu</nav><body>" + "".join(f"<p>{line}</p>" for line in text.split("\n")) + "</body></html>"


def table(path, texts):
    pq.write_table(pa.table({"id": list(range(len(texts))), "body": texts}), path, row_group_size=len(texts) // 4 + 1)


def read_all(path):
    """The lines of an input and how many bytes of text it was taken for."""
    (found,) = line_sampling.find_files([path], TextSettings(text_field="body"))
    counters = Counter()
    lines = list(line_sampling.lines(found.file, TextSettings(text_field="body"), counters))
    assert not counters
    return [line for line in lines if line], found.text_bytes


def test_all_that_a_corpus_is_built_from_gives_the_text_of_plain_files(corpus, tmp_path):
    text = corpus.read_bytes()
    lines = text.decode().split("\n")
    rows = "\n".join(json.dumps({"body": "\n".join(part)}) for part in (lines[:7], lines[7:]))
    contents = {
        "plain.md": text,
        "marked.txt": codecs.BOM_UTF8 + text,
        "wide.txt": text.decode().encode("utf-16"),
        "two.txt.gz": gzip.compress(text[:5000]) + gzip.compress(text[5000:]),
        "a.txt.xz": lzma.compress(text),
        "a.txt.bz2": bz2.compress(text),
        "a.txt.zst": zstd(text),
        "records.jsonl": rows.encode(),
        "records.jsonl.gz": gzip.compress(rows.encode()),
        "page.html": markup(text.decode()).encode(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    table(tmp_path / "table.parquet", lines)
    for name in (*contents, "table.parquet"):
        found, size = read_all(tmp_path / name)
        assert found == lines, name
        assert size == (len(contents[name]) if name in ("marked.txt", "wide.txt") else pytest.approx(len(text), abs=2))


def test_urls_give_the_vocabulary_of_local_files(corpus, trained, tmp_path):
    memory = fsspec.filesystem("memory")
    try:
        memory.pipe("/vocabulary/deep/english.txt", corpus.read_bytes())
        memory.pipe("/vocabulary/deep/.c/hidden.txt", b"no")
        for given in (
            "memory://vocabulary/deep",
            "memory://vocabulary/*/*.txt",
            "memory://vocabulary/deep/english.txt",
        ):
            (found,) = line_sampling.find_files([given], READ)
            assert (found.name, found.text_bytes) == (
                "deep/english.txt" if "*" in given else "english.txt",
                corpus.stat().st_size,
            )
        result = train_vocabulary(["memory://vocabulary/deep"], tmp_path / "v", settings())
    finally:
        memory.rm("/vocabulary", recursive=True)
    assert contents(result.folder) == contents(trained.folder)


def test_a_file_named_in_several_ways_is_read_once_under_one_name(tmp_path, monkeypatch):
    (tmp_path / "in" / "b").mkdir(parents=True)
    (tmp_path / "in" / "b" / "two.txt").write_text("some text")
    (tmp_path / "in" / "b" / "one.txt").write_text("some text")
    monkeypatch.chdir(tmp_path)
    given = ["in", "./in/b/two.txt", tmp_path / "in" / "b" / "*.txt"]
    for inputs in (given, given[::-1]):
        assert [f.name for f in line_sampling.find_files(inputs, READ)] == ["b/one.txt", "b/two.txt"]


def test_what_a_file_holds_besides_text_is_not_counted_as_text(tmp_path, monkeypatch):
    """The rate follows the text: other fields and markup do not shrink the sample, nor does packing swell it."""
    monkeypatch.setattr(line_sampling, "_PROBE", 100_000)
    lines = english(10_000)
    size = sum(len(line.encode()) + 1 for line in lines)
    rows = "".join(json.dumps({"body": line, "other": "x" * 300}) + "\n" for line in lines)
    (tmp_path / "a.jsonl").write_text(rows)
    (tmp_path / "b.jsonl.zst").write_bytes(zstd(rows.encode()))
    (tmp_path / "c.html").write_text("<style>" + "x" * 10**6 + "</style>" + markup("\n".join(lines)))
    table(tmp_path / "d.parquet", lines)
    found = line_sampling.find_files([tmp_path], TextSettings(text_field="body"))
    assert [f.text_bytes / size for f in found] == pytest.approx([1] * 4, rel=0.2)


def test_one_row_longer_than_the_probe_is_not_taken_for_more(tmp_path, monkeypatch):
    monkeypatch.setattr(line_sampling, "_PROBE", 1000)
    text = "\n".join(english(500))
    row = json.dumps({"text": text}).encode()
    (tmp_path / "a.jsonl").write_bytes(row)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(row))
    for found in line_sampling.find_files([tmp_path], READ):
        assert found.text_bytes == pytest.approx(len(text.encode()), rel=0.4)


def test_progress_ends_where_the_estimate_does(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(line_sampling, "_TELL_EVERY", 10)
    (tmp_path / "a.txt").write_bytes(corpus.read_bytes())
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(corpus.read_bytes()))
    told = []
    train_vocabulary([tmp_path], tmp_path / "v", settings(), lambda stage, *figures: told.append((stage, *figures)))
    done = [done for stage, done, _ in told if stage == "reading"]
    (total,) = {total for stage, _, total in told if stage == "reading"}
    assert done == sorted(done) and len(set(done)) > 50 and 0.95 * total < done[-1] <= total


def test_size_of_packed_text_is_estimated(tmp_path, monkeypatch):
    monkeypatch.setattr(line_sampling, "_PACKED_PROBE", 200_000)
    text = "\n".join(english(30_000)).encode()
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text))
    (found,) = line_sampling.find_files([tmp_path], READ)
    assert found.text_bytes == pytest.approx(len(text), rel=0.1)


def test_a_folder_gives_its_text_files_only(tmp_path):
    for name in ("b/two.txt", "one.txt", "page.html", ".hidden.txt", "picture.png", ".git/x.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("some text")
    assert [f.name for f in line_sampling.find_files([tmp_path / "in"], READ)] == ["b/two.txt", "one.txt", "page.html"]


def test_a_line_without_end_is_cut_between_words(tmp_path):
    source = tmp_path / "a.txt"
    source.write_text(" ".join(english(300)), encoding="utf-8")
    result = train_vocabulary(
        [source], tmp_path / "v", settings(max_sentence_bytes=100, read={"max_document_bytes": 700})
    )
    record = json.loads((result.folder / "vocabulary.json").read_text())
    assert result.sample_lines > 100 and record["sample"]["cut_lines"] > 10
    assert result.sample_bytes > 0.95 * source.stat().st_size  # nothing was left out as too long


def test_undecodable_lines_are_left_out_and_told(tmp_path):
    source = tmp_path / "a.txt"
    source.write_bytes("\n".join(english()).encode() + b"\nwrong \xff bytes\n")
    result = train_vocabulary([source], tmp_path / "v", settings())
    assert any(warning.startswith("1 lines") and "decoded" in warning for warning in result.warnings)
    assert "\ufffd" not in json.loads((result.folder / "vocabulary.json").read_text())["alphabet"]


# Refusals -------------------------------------------------------------------------------------------------------------


def test_bad_input_is_refused_and_leaves_nothing(tmp_path):
    cases = {
        "empty.txt": (b"", "no text"),
        "blank.txt": (b"\n \n\t\n", "no text"),
        "binary.txt": (os.urandom(4000), "not text"),
        "latin1.txt": ("\n".join(GERMAN).encode("latin-1"), "not text"),
        "utf16.txt": ("some text".encode("utf-16-le"), "not text"),
        "broken.txt.gz": (gzip.compress(b"some text " * 1000)[:40], "gzip file .* cannot be read"),
        "broken.txt.xz": (b"no xz", "xz file .* cannot be read"),
        "broken.parquet": (b"PAR1", "cannot be read"),
        "broken.jsonl": (b'{"text": \n', "not JSON"),
        "fields.jsonl": (b'{"title": "a"}\n', "none of the fields text"),
        "number.jsonl": (b"3\n", "none of the fields text"),
        "notes.pdf": (b"%PDF", "no kind that can be read"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            train_vocabulary([path], tmp_path / "out" / "v", settings())
        assert caught.value.path == str(path), name
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_a_missing_field_names_those_there(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1, "body": "a", "title": "b"}\n')
    with pytest.raises(DataError, match="no field 'boddy'") as caught:
        line_sampling.find_files([path], TextSettings(text_field="boddy"))
    assert caught.value.line == 1 and "body, id, title" in caught.value.hint


def test_rows_and_files_left_out_are_told(corpus, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes(corpus.read_bytes())
    (tmp_path / "in" / "b.txt").write_bytes(b"\0" * 100)
    (tmp_path / "in" / "c.jsonl").write_text('{"text": "the river"}\n{"text": 3}\n{"text": \n')
    packed = gzip.compress("\n".join(english(20_000)).encode())
    (tmp_path / "in" / "d.txt.gz").write_bytes(packed[: len(packed) // 2])
    result = train_vocabulary([tmp_path / "in"], tmp_path / "v", settings(sample_bytes=60_000))
    assert "2 rows held no usable text (setting read.text_field)" in result.warnings
    assert "2 files were damaged or not text" in result.warnings
    record = json.loads((result.folder / "vocabulary.json").read_text())
    left_out = {"file damaged": 1, "file not text": 1, "row not json": 1, "row without text": 1}
    assert record["reading"].items() >= left_out.items()
    drawn = {entry["name"]: (entry["text_bytes"], entry["lines_drawn"]) for entry in record["inputs"]}
    assert drawn["b.txt"] == (0, 0) and drawn["d.txt.gz"][1] > 100


def test_another_encoding_can_be_named(tmp_path, call):
    source = tmp_path / "de.txt"
    source.write_bytes("\n".join(GERMAN * 40).encode("latin-1"))
    options = ["--size", 60, "--cased", "--set", "read.encoding=latin-1", "--out", tmp_path / "de"]
    assert call("vocab", "train", source, *options)[0] == 0
    assert {"ä", "ß"} <= set("".join(AlbertTokenizer.from_pretrained(tmp_path / "de").vocabulary))


def test_one_enormous_line_needs_bounded_memory(tmp_path):
    source = tmp_path / "a.txt.gz"
    source.write_bytes(gzip.compress(b"the river runs " * 4_000_000))
    read = TextSettings(max_document_bytes=1 << 20)
    tracemalloc.start()
    (found,) = line_sampling.find_files([source], read)
    total = sum(len(line) for line in line_sampling.lines(found.file, read, Counter()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 60_000_000 == found.text_bytes and peak < 30_000_000


def test_missing_input_and_a_folder_without_text(tmp_path):
    with pytest.raises(DataError, match="no file or folder"):
        train_vocabulary([tmp_path / "absent.txt"], tmp_path / "v", settings())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no files"):
        train_vocabulary([tmp_path / "empty"], tmp_path / "v", settings())


@pytest.mark.parametrize(("size", "word"), [(9000, "more than"), (20, "no room")])
def test_an_impossible_size_names_one_that_works(corpus, tmp_path, size, word):
    with pytest.raises(DataError, match=word) as caught:
        train_vocabulary([corpus], tmp_path / "v", settings(size=size))
    assert not list(tmp_path.iterdir())
    number = int(caught.value.hint.split("--size ")[1].split()[0])
    assert train_vocabulary([corpus], tmp_path / "v", settings(size=number)).pieces == number


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 3}, "size"),
        ({"character_coverage": 1.5}, "character_coverage"),
        ({"model_type": "bpe"}, "model_type"),
        ({"user_defined": ["a b"]}, "white space"),
        ({"user_defined": ["[MASK]"]}, "special token"),
        ({"user_defined": ["x", "x"]}, "twice"),
        ({"user_defined": ["É"]}, "never be met"),
        ({"sizes": 100}, "unknown field"),
        ({"read": {"encoding": "utf-9"}}, "no such encoding"),
        ({"read": {"layout": "line"}}, "unknown field"),
    ],
)
def test_wrong_settings_are_named(given, message):
    with pytest.raises(ConfigError, match=message):
        settings(**given)
    settings(user_defined=["É"], lower=False, keep_accents=True)


def test_a_vocabulary_is_replaced_with_force_only_and_nothing_else_is(corpus, tmp_path):
    out = tmp_path / "v"
    train_vocabulary([corpus], out, settings())
    before = contents(out)
    with pytest.raises(UsageError, match="not empty"):
        train_vocabulary([corpus], out, settings(size=200))
    assert contents(out) == before
    assert train_vocabulary([corpus], out, settings(size=200), force=True).pieces == 200
    assert set(contents(out)) == set(OURS) and list(tmp_path.iterdir()) == [out]
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        train_vocabulary([corpus], out, settings(), force=True)
    assert (out / "notes.txt").read_text() == "mine"
    with pytest.raises(UsageError, match="is a file"):
        train_vocabulary([corpus], corpus, settings(), force=True)


def test_a_failed_replacement_leaves_the_old_one(corpus, tmp_path):
    out = tmp_path / "v"
    train_vocabulary([corpus], out, settings())
    before = contents(out)
    with pytest.raises(DataError):
        train_vocabulary([corpus], out, settings(size=9000), force=True)
    assert contents(out) == before and list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [(-9, "", MachineError), (-6, "terminate: std::bad_alloc", MachineError), (3, "INTERNAL: strange", RunError)],
)
def test_other_failures_of_the_trainer(code, message, kind):
    assert type(sentencepiece_process._explained(code, message)) is kind


# Interruption ---------------------------------------------------------------------------------------------------------

CALL = """
import sys
from litebert.corpus.vocabulary.train import sentencepiece_process
hold = "import os, sys, time; sys.stdin.read(); open(sys.argv[1], 'w').write(f'{os.getpid()} '); time.sleep(60)"
start, note = sentencepiece_process.subprocess.Popen, sys.argv.pop(1)
sentencepiece_process.subprocess.Popen = lambda command, **options: start([sys.executable, "-c", hold, note], **options)
from litebert.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_nothing(corpus, tmp_path, number):
    note, folder = tmp_path / "trainer", tmp_path / "out"
    order = ["vocab", "train", str(corpus), "--size", str(SIZE), "--out", str(folder / "v")]
    command = [sys.executable, "-c", CALL, str(note), *order]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert eventually(lambda: note.exists() and note.read_text().endswith(" "))  # the trainer has its order
        assert list(folder.iterdir())  # the sample is there
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "error[interrupted]" in err and "Nothing was written" in err and "Traceback" not in err
    assert not list(folder.iterdir())
    assert eventually(lambda: not alive(int(note.read_text())))


def test_ctrl_c_ends_the_trainer_itself():
    """A terminal sends Ctrl-C to the trainer too; it must not wait for the end of the C++ call, nor print a traceback."""
    order = json.dumps({"seed": 0, "flags": {}})
    program_text = (
        "import sys, time, sentencepiece\n"
        "from litebert.corpus.vocabulary import sentencepiece_process as p\n"
        "sentencepiece.SentencePieceTrainer.train = lambda **_: (print('on', flush=True), time.sleep(60))\n"
        "sys.exit(p._main())"
    )
    command = [sys.executable, "-c", program_text]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as process:
        process.stdin.write(order)
        process.stdin.close()
        process.stdin = None
        assert process.stdout.readline() == "on\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT and err == ""


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def eventually(condition):
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.1)
    return False


# Command line ---------------------------------------------------------------------------------------------------------


def test_command_prints_a_result_and_keeps_quiet(corpus, tmp_path, call):
    arguments = ("vocab", "train", corpus, "--size", SIZE, "--out", tmp_path / "v", "--threads", 2, "--seed", 4)
    code, out, err = call(*arguments, "--json")
    envelope = json.loads(out)
    assert code == 0 and err == "" and envelope["ok"] and envelope["artifacts"] == [str(tmp_path / "v")]
    assert envelope["data"]["pieces"] == SIZE and envelope["data"]["figures"]["bytes_per_token"] > 1
    code, out, err = call(*arguments)
    assert code == 2 and "--force" in err and out == ""
    code, out, err = call(*arguments, "--force")
    assert code == 0 and "bytes a token" in out and "EM sub_iter" not in err
    record = json.loads((tmp_path / "v" / "vocabulary.json").read_text())
    assert record["settings"]["seed"] == 4 and record["inputs"][0]["name"] == corpus.name
    assert str(tmp_path) not in json.dumps(record)


def test_options_reach_the_settings(corpus, tmp_path, call):
    options = [
        "--size",
        77,
        "--coverage",
        0.99,
        "--sample-mb",
        0.002,
        "--user-symbols",
        "# ...",
        "--text-field",
        "body",
    ]
    code, out, _ = call(
        "vocab", "train", corpus, "--out", tmp_path / "v", *options, "--set", "style=hf", "--dry-run", "--json"
    )
    plan = json.loads(out)["data"]
    chosen = plan["settings"]
    assert code == 0 and not (tmp_path / "v").exists()
    assert (chosen["size"], chosen["character_coverage"], chosen["sample_bytes"]) == (77, 0.99, 2000)
    assert chosen["user_defined"] == ["#", "..."] and (chosen["read"]["text_field"], chosen["style"]) == ("body", "hf")
    assert plan["sample_rate"] == pytest.approx(2000 / corpus.stat().st_size)
    assert plan["sample_bytes"] == plan_vocabulary([corpus], "v", settings(sample_bytes=2000))["sample_bytes"]


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["vocab", "tarin"], 2, "Did you mean 'train'"),
        (["vocab", "train", "absent.txt", "--out", "v"], 3, "absent.txt"),
        (["vocab", "train", "absent.txt", "--out", "v", "--sample-mb", "nan"], 2, "sample_bytes"),
        (["vocab", "train", "absent.txt", "--out", "v", "--set", "sise=3"], 2, "Did you mean 'size'"),
        (["vocab", "train", "--out", "v"], 2, "INPUT"),
    ],
)
def test_wrong_calls(call, arguments, code, word):
    found, _, err = call(*arguments)
    assert found == code and word in err and "Traceback" not in err


def test_debug_shows_the_library_log(corpus, tmp_path):
    command = [sys.executable, "-m", "litebert", "vocab", "train", str(corpus), "--size", str(SIZE)]
    for number, (option, expected) in enumerate([([], False), (["--debug"], True)]):
        out = ["--out", str(tmp_path / str(number))]
        done = subprocess.run([*command, *out, *option], capture_output=True, text=True, check=True)
        assert ("EM sub_iter" in done.stderr) is expected
