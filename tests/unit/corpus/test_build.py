"""Building a corpus: what comes out, that it never depends on how, and that nothing is lost on the way."""

import errno
import fcntl
import gzip
import hashlib
import json
import os
import random
import signal
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from litebert.corpus.building import stages, unit_documents
from litebert.corpus.building.build import build
from litebert.corpus.building.engines import LocalEngine
from litebert.corpus.building.plan import estimate, prepare
from litebert.corpus.duplicates import parts
from litebert.corpus.reading.documents import Span
from litebert.corpus.reading.inputs import list_inputs
from litebert.corpus.settings import CorpusSettings
from litebert.corpus.shards import Corpus
from litebert.errors import ConfigError, DataError, Interrupted, MachineError, RunError, UsageError
from litebert.settings import build_settings, parse_overrides
from litebert.text import AlbertTokenizer

WORDS = ["river", "stone", "light", "winter", "garden", "letter", "music", "harbour", "silver"]
WORDS += ["morning", "answer", "question", "story", "window", "people", "mountain", "brook"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "the", *WORDS]


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """What a power failure could take is not tested here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n")
    return AlbertTokenizer.from_pretrained(path)


def sentence(draw):
    return " ".join(["The", *draw.choices(WORDS, k=draw.randint(6, 12))]) + "."


def document(draw, lines=3):
    return "\n".join(" ".join(sentence(draw) for _ in range(3)) for _ in range(lines))


def documents(count, seed=0, lines=3):
    draw = random.Random(seed)
    return [document(draw, lines) for _ in range(count)]


def write(path, texts):
    path.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    return str(path)


def settings(*assignments):
    base = ["read.layout=paragraphs", "report.language_samples=0", "report.samples=3"]
    return build_settings(CorpusSettings, parse_overrides([*base, *assignments]))


def made(inputs, out, tokenizer, *assignments, engine=None, **options):
    plan = prepare(inputs, settings(*assignments), tokenizer)
    return build(plan, out, engine or LocalEngine(1), **options)


def contents(folder):
    """The hash of every file of a corpus."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()
    }


def texts_of(folder):
    """All documents of a corpus as lists of decoded sentences."""
    corpus = Corpus(folder)
    tokenizer = corpus.tokenizer()
    found = []
    for shard in corpus.shards:
        for number in range(len(shard.document_ends)):
            bounds = shard.sentence_bounds(number)
            found.append([tokenizer.decode(shard.tokens[a:b]) for a, b in pairwise(bounds)])
    return found


def expected(texts):
    return [
        [s.lower() if s.endswith(".") else s.lower() + "." for s in t.replace("\n", " ").split(". ")] for t in texts
    ]


class Stopping(LocalEngine):
    """An engine that is interrupted after so many jobs, and remembers which ran."""

    def __init__(self, after=None, error=KeyboardInterrupt):
        super().__init__(1)
        self.after, self.error, self.jobs = after, error, []

    def run(self, function, jobs):
        for job in jobs:
            if self.after is not None and len(self.jobs) >= self.after:
                raise self.error
            self.jobs.append((function.__name__, job.record.name))
            yield function(job)


# What comes out -------------------------------------------------------------------------------------------------------


def test_sentences_of_the_documents_in_order(tmp_path, tokenizer):
    texts = documents(20)
    made([write(tmp_path / "a.txt", texts)], tmp_path / "out", tokenizer)
    assert texts_of(tmp_path / "out") == expected(texts)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "manifest.json", "report.json", "report.html", "tokenizer",
        *(f"shard-00000-000.{part}.npy" for part in ("tokens", "sentences", "documents")),
    }  # fmt: skip


def test_lines_are_sentences_in_that_layout(tmp_path, tokenizer):
    texts = documents(5)
    made([write(tmp_path / "a.txt", texts)], tmp_path / "out", tokenizer, "read.layout=sentences")
    assert texts_of(tmp_path / "out") == [text.lower().split("\n") for text in texts]


@pytest.mark.parametrize("unit", [1024, 4096, 10**6])
def test_documents_do_not_depend_on_how_the_work_is_cut(tmp_path, tokenizer, unit):
    texts = documents(30)
    inputs = [write(tmp_path / f"{name}.txt", texts[i::3]) for i, name in enumerate("abc")]
    built = made(inputs, tmp_path / "out", tokenizer, f"shards.unit_bytes={unit}")
    assert texts_of(tmp_path / "out") == expected([*texts[0::3], *texts[1::3], *texts[2::3]])
    assert (built.report["corpus"]["shards"] > 1) == (unit < 10**6)


def test_many_small_files_share_a_unit(tmp_path, tokenizer):
    texts = documents(12)
    (tmp_path / "in").mkdir()
    for number, text in enumerate(texts):
        write(tmp_path / "in" / f"{number:02d}.txt", [text])
    plan = prepare([str(tmp_path / "in")], settings("shards.unit_bytes=3000"), tokenizer)
    assert [len(unit) for unit in plan.units] == [4, 4, 4] or 1 < len(plan.units) < 12
    build(plan, tmp_path / "out", LocalEngine(1))
    assert texts_of(tmp_path / "out") == expected(texts)


def test_one_packed_file_fills_several_parts(tmp_path, tokenizer):
    texts = documents(40)
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress("\n\n".join(texts).encode()))
    built = made([str(path)], tmp_path / "out", tokenizer, "shards.unit_bytes=4096")
    names = [shard["name"] for shard in built.manifest["shards"]]
    assert names[:2] == ["shard-00000-000", "shard-00000-001"]
    assert len(names) > 3
    assert texts_of(tmp_path / "out") == expected(texts)


def test_shards_roll_over_between_documents(tmp_path, tokenizer):
    texts = documents(10)
    built = made([write(tmp_path / "a.txt", texts)], tmp_path / "out", tokenizer, "shards.shard_tokens=250")
    sizes = [shard["tokens"] for shard in built.manifest["shards"]]
    assert len(sizes) > 2
    assert max(sizes) <= 250
    assert texts_of(tmp_path / "out") == expected(texts)


def test_a_vocabulary_too_large_for_16_bits(tmp_path):
    pieces = [*PIECES[:6], *(f"filler{i}" for i in range(70_000)), *PIECES[6:]]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n")
    texts = documents(3)
    large = AlbertTokenizer.from_pretrained(tmp_path / "vocab.txt")
    built = made([write(tmp_path / "a.txt", texts)], tmp_path / "out", large)
    assert built.manifest["dtype"] == "uint32"
    tokens = Corpus(tmp_path / "out").shards[0].tokens
    assert tokens.dtype == np.uint32
    assert tokens.tolist() == [i for text in texts for i in large.encode(text).ids[1:-1]]
    assert tokens.max() > 65_535


def test_one_enormous_document(tmp_path, tokenizer):
    text = document(random.Random(0), lines=3000)
    made([write(tmp_path / "a.txt", [text])], tmp_path / "out", tokenizer, "read.max_document_bytes=100000")
    found = [s for parts_ in texts_of(tmp_path / "out") for s in parts_]
    assert found == expected([text])[0]


def test_duplicates_the_first_in_the_order_of_the_input_stays(tmp_path, tokenizer):
    texts = documents(9)
    near = texts[2].replace("river", "brook", 1).replace("stone", "brook", 1)
    assert near != texts[2]
    inputs = [
        write(tmp_path / "b.txt", [texts[0].upper(), *texts[3:6], texts[4]]),
        write(tmp_path / "a.txt", texts[:3]),
        write(tmp_path / "c.txt", [near, *texts[6:]]),
    ]
    built = made(inputs, tmp_path / "out", tokenizer, "dedup.threshold=0.5", "shards.unit_bytes=1024")
    assert texts_of(tmp_path / "out") == expected(texts)
    found = built.report["duplicates"]
    assert (found["exact"], found["near"], found["kept"], found["clusters"]) == (2, 1, 9, 3)
    (sample,) = built.report["samples"]["duplicates"]["near"]
    assert (sample["text"], sample["duplicate_of"]["text"]) == (near[:500], texts[2][:500])
    assert sample["duplicate_of"]["source"] == inputs[1]
    by_source = {s["source"]: s["dropped"] for s in built.report["sources"]}
    assert by_source == {inputs[0]: {"duplicate": 2}, inputs[1]: {}, inputs[2]: {"duplicate": 1}}


def test_the_report_accounts_for_every_document(tmp_path, tokenizer):
    texts = [*documents(10), "Too short.", "1 2 3 4 5 " * 60, *documents(2)]
    built = made([write(tmp_path / "a.txt", texts)], tmp_path / "out", tokenizer)
    report = built.report
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert [step["documents"] for step in report["funnel"]] == [14, 12, 10, 10]
    assert sum(report["dropped"].values()) == 4
    assert report["dropped"]["exact duplicate"] == 2
    shown = [s["text"] for found in report["samples"]["dropped"].values() for s in found]
    assert "Too short." in shown
    assert len(report["samples"]["kept"]) == 3
    assert report["histograms"]["document_tokens"]["count"] == 10
    assert report["histograms"]["document_tokens"]["mean"] * 10 == report["corpus"]["tokens"]
    assert sum(count for *_, count in report["histograms"]["sentence_tokens"]["bins"]) == report["corpus"]["sentences"]
    assert report["tokens"]["top"][0]["piece"] == "."  # one in every sentence
    assert report["tokens"]["unknown"] == 0
    assert built.manifest["inputs"][0]["sha256"] == hashlib.sha256((tmp_path / "a.txt").read_bytes()).hexdigest()


def test_unknown_characters_are_counted(tmp_path, tokenizer):
    texts = [text.replace("river", "河") for text in documents(5)]
    count = sum(text.count("河") for text in texts)
    report = made([write(tmp_path / "a.txt", texts)], tmp_path / "out", tokenizer).report
    assert report["tokens"]["unknown"] == count > 10
    assert report["tokens"]["unknown_share"] == pytest.approx(count / report["corpus"]["tokens"])


def test_other_seeds_show_other_samples_of_the_same_corpus(tmp_path, tokenizer):
    source = write(tmp_path / "a.txt", documents(40))
    a, b, c = (
        made([source], tmp_path / f"out{i}", tokenizer, f"seed={s}").report["samples"]["kept"]
        for i, s in enumerate((1, 1, 2))
    )
    assert a == b != c
    assert Corpus(tmp_path / "out0").fingerprint == Corpus(tmp_path / "out2").fingerprint


def test_filters_can_be_switched_off(tmp_path, tokenizer):
    texts = ["Short one.", "Another short one."]
    source = write(tmp_path / "a.txt", texts)
    made([source], tmp_path / "out", tokenizer, "cleaning=false")
    assert Corpus(tmp_path / "out").documents == 2
    assert settings("clean.max_repeated_lines=none").clean.max_repeated_lines is None
    assert settings().clean.max_repeated_lines is not None


def test_without_any_comparison(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rensa", None)
    texts = documents(3)
    source = write(tmp_path / "a.txt", [*texts, texts[0]])
    made([source], tmp_path / "out", tokenizer, "dedup.exact=false", "dedup.near=false")
    assert texts_of(tmp_path / "out") == expected([*texts, texts[0]])
    with pytest.raises(MachineError, match="rensa"):
        made([source], tmp_path / "other", tokenizer)
    assert not (tmp_path / "other").exists()


# Interruptions --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    texts = documents(24)
    folder = tmp_path_factory.mktemp("sources")
    return [write(folder / "a.txt", [*texts[:12], texts[3]]), write(folder / "b.txt", [texts[5], *texts[12:]])]


UNITS = "shards.unit_bytes=2500"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, sources, tokenizer):
    """An uninterrupted build: its files, and the jobs it took."""
    out, engine = tmp_path_factory.mktemp("whole") / "out", Stopping()
    made(sources, out, tokenizer, UNITS, engine=engine)
    assert {name for name, _ in engine.jobs} == {"read_unit", "link_range", "tokenize_part", "hash_file"}
    return contents(out), engine.jobs


def test_interrupted_after_any_job_and_resumed(tmp_path, sources, tokenizer, whole):
    files, jobs = whole
    assert len(jobs) > 10
    for after in range(len(jobs)):
        out = tmp_path / str(after)
        with pytest.raises(Interrupted, match="interrupted") as caught:
            made(sources, out, tokenizer, UNITS, engine=Stopping(after))
        assert caught.value.exit_code == 130
        assert not (out / "manifest.json").exists()
        engine = Stopping()
        made(sources, out, tokenizer, UNITS, engine=engine, resume=True)
        assert engine.jobs == jobs[after:]  # what was done is not done again
        assert contents(out) == files


def test_half_written_files_of_a_killed_worker_do_no_harm(tmp_path, sources, tokenizer, whole, monkeypatch):
    def die(*arguments, **options):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(parts.TextWriter, "close", die)
        with pytest.raises(Interrupted):
            made(sources, out, tokenizer, UNITS)
    with monkeypatch.context() as patch:
        patch.setattr(stages, "write_part_keys", die)
        with pytest.raises(Interrupted):
            made(sources, out, tokenizer, UNITS, resume=True)
    made(sources, out, tokenizer, UNITS, resume=True)
    assert contents(out) == whole[0]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Files of one unit, the second damaged at its end: rows that are dropped and rows that are no documents among them."""
    folder, texts, draw = tmp_path_factory.mktemp("packed"), documents(90, seed=7), random.Random(1)
    rows = [json.dumps({"text": text if draw.random() < 0.8 else "Too short."}) for text in texts]
    rows[20] = rows[70] = "no row"
    for name, some, end in (("a", rows[:30], None), ("b", rows[30:], -60)):
        data = gzip.compress("\n".join(some).encode(), mtime=0)
        (folder / f"{name}.jsonl.gz").write_bytes(data[:end])
    return [str(folder)]


SMALL_PARTS = "shards.unit_bytes=9000"


def test_a_packed_file_is_taken_up_where_its_last_part_ended(tmp_path, packed, tokenizer, monkeypatch):
    """Interrupted in any of its parts: nothing is cleaned twice but what the broken part held, and no byte or figure differs."""
    cleaned, right = [], unit_documents.Cleaner.__call__
    monkeypatch.setattr(
        unit_documents.Cleaner, "__call__", lambda self, text: (cleaned.append(text), right(self, text))[1]
    )
    whole = made(packed, tmp_path / "whole", tokenizer, SMALL_PARTS)
    once = list(cleaned)
    parts_made = len({shard["name"] for shard in whole.manifest["shards"]})
    most = 15 + 9000 // min(len(text) for text in once if len(text) > 50)  # of a part, and those dropped among them
    assert len(prepare(packed, settings(SMALL_PARTS), tokenizer).units) == 1
    assert parts_made > 4
    for stop in range(parts_made):
        out, written = tmp_path / str(stop), []
        cleaned.clear()

        def dies_then(*arguments, stop=stop, written=written, right=stages.write_part_keys):
            written.append(arguments)
            if len(written) == stop + 1:
                raise KeyboardInterrupt
            return right(*arguments)

        with monkeypatch.context() as patch, pytest.raises(Interrupted):
            patch.setattr(stages, "write_part_keys", dies_then)
            made(packed, out, tokenizer, SMALL_PARTS)
        before = len(cleaned)
        made(packed, out, tokenizer, SMALL_PARTS, resume=True)
        after = len(cleaned) - before
        assert cleaned[:before] == once[:before] and cleaned[before:] == once[len(once) - after :]
        assert 0 < before + after - len(once) <= most
        assert contents(out) == contents(tmp_path / "whole")


def test_memory_does_not_grow_with_the_documents_of_a_packed_file(tmp_path):
    """Four bytes a document would be half a gigabyte in a file of 100 GB."""
    texts, peaks = documents(50, lines=2), {}
    for rows in (100, 4_000, 24_000):  # the first imports what is needed
        path = tmp_path / f"{rows}.jsonl.gz"
        with gzip.open(path, "wt", compresslevel=1) as stream:
            stream.writelines(json.dumps({"text": texts[i % 50]}) + "\n" for i in range(rows))
        folder = tmp_path / str(rows)
        (folder / "units").mkdir(parents=True)
        (folder / stages.PLAN).write_text("{}")
        changes = ("cleaning=false", "dedup.near=false", "dedup.exact=false", "shards.unit_bytes=65536")
        ((file,),) = [list_inputs([str(path)])]
        job = stages.UnitJob(folder, 0, ((0, Span(file, 0, None)),), settings(*changes))
        tracemalloc.start()
        record = stages.read_unit(job)
        peaks[rows] = tracemalloc.get_traced_memory()[1] - 1000 * len(record["parts"])  # the record names each part
        tracemalloc.stop()
        assert record["tally"]["counters"]["read"]["documents"] == rows
        assert record["tally"]["histograms"]["read_characters"][1] == sum(len(texts[i % 50]) for i in range(rows))
    assert peaks[24_000] - peaks[4_000] < 4 * 20_000, peaks


def test_interrupted_between_shards_and_manifest(tmp_path, sources, tokenizer, whole, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(
            "litebert.corpus.building.build.write_manifest", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(Interrupted):
            made(sources, out, tokenizer, UNITS)
    with pytest.raises(DataError, match="not a corpus"):
        Corpus(out)
    engine = Stopping()
    made(sources, out, tokenizer, UNITS, engine=engine, resume=True)
    assert engine.jobs == []
    assert contents(out) == whole[0]


def test_a_full_disk_is_explained_and_loses_nothing(tmp_path, sources, tokenizer, whole):
    out = tmp_path / "out"
    with pytest.raises(RunError, match="cannot write") as caught:
        made(sources, out, tokenizer, UNITS, engine=Stopping(4, OSError(errno.ENOSPC, "No space left on device")))
    assert "disk is full" in caught.value.hint
    engine = Stopping()
    made(sources, out, tokenizer, UNITS, engine=engine, resume=True)
    assert engine.jobs == whole[1][4:]
    assert contents(out) == whole[0]


@pytest.mark.parametrize("stage", ["text", "keys", "shard"])
def test_a_disk_that_fills_up_while_a_file_is_written(tmp_path, sources, tokenizer, whole, monkeypatch, stage):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    targets = {"text": (parts.os, "fsync"), "keys": (parts.np, "save"), "shard": (np, "save")}
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(*targets[stage], full)
        with pytest.raises(RunError, match="cannot write") as caught:
            made(sources, out, tokenizer, UNITS)
        assert "disk is full" in caught.value.hint
    made(sources, out, tokenizer, UNITS, resume=True)
    assert contents(out) == whole[0]


def test_a_finished_build_is_left_alone_by_resume(tmp_path, sources, tokenizer, whole):
    out, engine = tmp_path / "out", Stopping()
    made(sources, out, tokenizer, UNITS)
    (out / ".build").mkdir()  # killed after the manifest, before the end
    built = made(sources, out, tokenizer, UNITS, engine=engine, resume=True)
    assert engine.jobs == []
    assert built.report["corpus"]["documents"] == 24
    assert contents(out) == whole[0]


@pytest.fixture
def begun(tmp_path, sources, tokenizer):
    """A build that was interrupted, of copies of the sources."""
    copies = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for copy, source in zip(copies, sources, strict=True):
        copy.write_bytes(open(source, "rb").read())  # noqa: SIM115, PTH123
    with pytest.raises(Interrupted):
        made([str(c) for c in copies], tmp_path / "out", tokenizer, UNITS, engine=Stopping(3))
    return [str(c) for c in copies], tmp_path / "out"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("dedup.threshold=0.7", "settings.dedup.threshold was 0.8 and is now 0.7"),
        ("clean.min_words=5", "settings.clean.min_words"),
        ("shards.unit_bytes=5000", "settings.shards.unit_bytes"),
        ("seed=3", "settings.seed"),
    ],
)
def test_resume_with_other_settings_is_refused(begun, tokenizer, change, field):
    inputs, out = begun
    before = contents(out)
    with pytest.raises(ConfigError, match=field) as caught:
        made(inputs, out, tokenizer, UNITS, change, resume=True)
    assert "--force" in caught.value.hint
    assert contents(out) == before


def test_resume_with_other_inputs_is_refused(begun, tokenizer):
    inputs, out = begun
    with pytest.raises(ConfigError, match=r"inputs was a list of 2 and is now a list of 1"):
        made(inputs[:1], out, tokenizer, UNITS, resume=True)
    with open(inputs[1], "a") as stream:  # noqa: PTH123
        stream.write("more")
    with pytest.raises(ConfigError, match=r"inputs\[1\]\.size"):
        made(inputs, out, tokenizer, UNITS, resume=True)


def test_resume_with_another_tokenizer_is_refused(begun):
    inputs, out = begun
    with pytest.raises(ConfigError, match=r"tokenizer\.sha256"):
        made(inputs, out, AlbertTokenizer.bundled(), UNITS, resume=True)


def test_what_is_there_is_not_replaced_unasked(begun, tokenizer, sources, whole):
    inputs, out = begun
    with pytest.raises(UsageError, match="an unfinished build"):
        made(inputs, out, tokenizer, UNITS)
    (out / "notes.txt").write_text("mine")
    made(sources, out, tokenizer, UNITS, force=True)
    assert (out / "notes.txt").read_text() == "mine"
    (out / "notes.txt").unlink()
    assert contents(out) == whole[0]
    with pytest.raises(UsageError, match="a corpus"):
        made(sources, out, tokenizer, UNITS)
    # A smaller corpus leaves no shard of the larger one behind.
    built = made(sources[:1], out, tokenizer, force=True)
    assert len(list(out.glob("shard-*"))) == 3 * len(built.manifest["shards"])


def test_files_of_somebody_else_survive_even_force(tmp_path, sources, tokenizer):
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json.bak").write_text("x")
    (out / "tokenizer").mkdir()
    with pytest.raises(UsageError, match="files a build would replace: tokenizer"):
        made(sources, out, tokenizer, force=True)
    assert (out / "tokenizer").is_dir()


def test_only_one_process_builds_in_a_folder(begun, tokenizer):
    inputs, out = begun
    with (out / ".build" / "lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process"):
            made(inputs, out, tokenizer, UNITS, resume=True)
    made(inputs, out, tokenizer, UNITS, resume=True)


def test_output_among_the_input_is_refused(tmp_path, tokenizer):
    out = tmp_path / "out"
    out.mkdir()
    source = write(out / "a.txt", documents(2))
    with pytest.raises(UsageError, match="lies in the output folder"):
        made([source], out, tokenizer, force=True)


# Bad input ------------------------------------------------------------------------------------------------------------


def test_an_empty_corpus(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("\n\n  \n")
    with pytest.raises(DataError, match="no text"):
        made([str(tmp_path / "a.txt")], tmp_path / "out", tokenizer)


def test_nothing_left_after_cleaning(tmp_path, tokenizer):
    source = write(tmp_path / "a.txt", ["Short one.", "Short two."])
    with pytest.raises(DataError, match="nothing is left of 2 documents") as caught:
        made([source], tmp_path / "out", tokenizer)
    assert "report.json" in caught.value.hint
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {s["text"] for found in report["samples"]["dropped"].values() for s in found} == {"Short one.", "Short two."}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"report.json", "report.html"}
    made([source], tmp_path / "out", tokenizer, "clean.min_characters=0", "clean.min_words=0", force=True)


def test_bytes_that_are_no_text_are_left_out_and_counted(tmp_path, tokenizer):
    texts = documents(3)
    source = write(tmp_path / "a.txt", texts)
    (tmp_path / "b.txt").write_bytes(bytes(random.Random(0).randbytes(5000)))
    built = made([source, str(tmp_path / "b.txt")], tmp_path / "out", tokenizer)
    assert texts_of(tmp_path / "out") == expected(texts)
    assert built.report["read"]["file not text"] == 1


# Engines --------------------------------------------------------------------------------------------------------------


def square(number):
    return number * number


def refuse(number):
    if number == 3:
        raise DataError("three is refused", hint="Take four.", path="three.txt", line=3)
    return number


def die(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_jobs_are_taken_as_needed(workers):
    taken = []

    def jobs():
        for number in range(200):
            taken.append(number)
            yield number

    with LocalEngine(workers) as engine:
        results = engine.run(square, jobs())
        assert next(results) == 0
        assert len(taken) < 100
        assert list(results) == [n * n for n in range(1, 200)]


def test_an_error_of_a_worker_arrives_as_it_is():
    with LocalEngine(2) as engine, pytest.raises(DataError, match="three") as caught:
        list(engine.run(refuse, range(10)))
    assert (caught.value.hint, caught.value.path, caught.value.line) == ("Take four.", "three.txt", 3)


def test_a_worker_that_dies_is_reported():
    with pytest.raises(RunError, match="a worker process died") as caught, LocalEngine(2) as engine:
        list(engine.run(die, range(10)))
    assert "--resume" in caught.value.hint


# Estimates ------------------------------------------------------------------------------------------------------------


def test_the_estimate_is_of_the_right_size(tmp_path, tokenizer):
    plan = prepare([write(tmp_path / "a.txt", documents(300))], settings("shards.unit_bytes=20000"), tokenizer)
    figures = estimate(plan, 2)
    built = build(plan, tmp_path / "out", LocalEngine(1))
    assert figures["tokens"] == pytest.approx(built.report["corpus"]["tokens"], rel=0.1)
    assert figures["documents"] == pytest.approx(300, rel=0.1)
    size = sum(p.stat().st_size for p in (tmp_path / "out").glob("shard-*"))
    assert figures["out_bytes"] == pytest.approx(size, rel=0.3)
