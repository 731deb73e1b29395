"""Parts of bulk work: what is one, when it counts as finished, and what may go on with it."""

import json

import pytest

from litebert.errors import ConfigError, DataError, RunError, UsageError
from litebert.inference.bulk.job import Ask, model_hash, part_size
from litebert.inference.bulk.parts import Part, PartFolder, parts_of
from litebert.tasks.reading.records import Record

ASKED = {"model": "abc", "top": 1, "engine": {"window": 4}}


def records(count, mark=""):
    return [Record(f"text {i}{mark}", id=i, line=i + 1) for i in range(count)]


def answers(part):
    return [json.dumps({"answer": record.text, "é": 1}, ensure_ascii=False) for record in part.records]


@pytest.fixture
def parts():
    return list(parts_of(["a", "b"], lambda name: records(5 if name == "a" else 4, name), 2))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out.jsonl.parts"


def test_files_are_cut_each_for_itself(parts):
    assert [(p.number, p.file, p.first, len(p.records)) for p in parts] == [
        (0, "a", 0, 2), (1, "a", 2, 2), (2, "a", 4, 1), (3, "b", 0, 2), (4, "b", 2, 2),
    ]  # fmt: skip
    assert parts[1].rows() == "rows 3 to 4 of a"


def test_a_file_that_breaks_off_gives_no_short_part():
    def read(name):
        yield from records(3)
        raise DataError("line 4 is wrong")

    found = parts_of(["a"], read, 2)
    assert next(found).first == 0
    with pytest.raises(DataError, match="line 4"):
        next(found)


def test_the_digest_is_of_what_the_rows_say():
    one = Part(0, "a", 0, [Record("x", id=1, line=1)])
    assert one.digest == Part(7, "b", 9, [Record("x", id=1, line=5, label="ham")]).digest
    others = [
        Record("x"),
        Record("x", "", id=1),
        Record("x", id="1"),
        Record("y", id=1),
        Record("x", id=1, extra={"o": ("a",)}),
    ]
    digests = {Part(0, "a", 0, [other]).digest for other in others} | {
        Part(0, "a", 0, [*one.records, *one.records]).digest
    }
    assert one.digest not in digests and len(digests) == 6


def test_finished_parts_are_known_again_and_joined_in_order(folder, parts, tmp_path):
    with PartFolder(folder).opened(ASKED) as work:
        work.settle({"precision": "fp32"})
        for part in (parts[3], parts[0]):
            work.write(part, answers(part))
    with PartFolder(folder).opened(ASKED) as work:
        assert work.computed == {"precision": "fp32"}
        work.settle({"precision": "fp32"})
        left = [part for part in parts if not work.holds(part)]
        assert [part.number for part in left] == [1, 2, 4]
        with pytest.raises(RunError, match="part 1"):
            work.join(tmp_path / "out.jsonl", 5)
        for part in reversed(left):
            work.write(part, answers(part))
        assert work.join(tmp_path / "out.jsonl", 5) == 9
    assert (tmp_path / "out.jsonl").read_text().splitlines() == [line for part in parts for line in answers(part)]
    assert not folder.exists()


def test_nothing_is_left_where_nothing_was_finished(folder):
    with pytest.raises(DataError), PartFolder(folder).opened(ASKED) as work:
        work.settle({})
        raise DataError("no such column")
    assert not folder.exists()


@pytest.fixture
def begun(folder, parts):
    with PartFolder(folder).opened(ASKED) as work:
        work.settle({"precision": "bf16", "threads": 1})
        for part in parts[:4]:
            work.write(part, answers(part))
    return folder


def test_another_job_is_refused_by_name(begun):
    for changed, words in (
        ({**ASKED, "model": "other"}, "model was 'abc' and is now 'other'"),
        ({**ASKED, "engine": {"window": 8}}, "engine.window was 4 and is now 8"),
        ({**ASKED, "options": {"sentences": 3}}, "options was None and is now"),
    ):
        with pytest.raises(ConfigError, match=words) as caught, PartFolder(begun).opened(changed):
            pass
        assert "--force" in caught.value.hint
    with (
        pytest.raises(ConfigError, match="precision was 'bf16' and is now 'fp32'"),
        PartFolder(begun).opened(ASKED) as work,
    ):
        work.settle({"precision": "fp32", "threads": 1})
    with PartFolder(begun).opened(ASKED) as work:
        assert set(work.finished) == {0, 1, 2, 3}  # a refusal changes nothing


def test_another_input_is_refused_where_it_was_answered(begun, parts):
    changed = Part(1, "a", 2, records(4, "!")[2:])
    shorter = Part(1, "a", 2, parts[1].records[:1])
    with PartFolder(begun).opened(ASKED) as work:
        for part in (changed, shorter):
            with pytest.raises(ConfigError, match="input has changed: rows 3 to"):
                work.holds(part)
        assert not work.holds(Part(4, "b", 2, records(2, "!")))  # not answered yet, so it may be anything
        with pytest.raises(ConfigError, match="it ends before the 4 parts"):
            work.join(begun.parent / "out.jsonl", 3)


def test_force_begins_anew(begun, parts):
    with PartFolder(begun).opened({**ASKED, "model": "other"}, force=True) as work:
        assert not work.finished and not work.computed
        work.settle({"precision": "fp32"})
        assert not list(begun.glob("part-*"))


def test_halves_do_not_count(begun):
    cut, renamed = begun / "part-00000001.jsonl", begun / "part-00000009.jsonl"
    cut.write_bytes(cut.read_bytes()[:-3])
    renamed.write_bytes((begun / "part-00000000.jsonl").read_bytes())
    (begun / "part-00000002.jsonl").write_text("")
    (begun / ".part-00000004.jsonl.x.tmp").write_text("half")
    with PartFolder(begun).opened(ASKED) as work:
        assert set(work.finished) == {0, 3}
    assert not list(begun.glob(".*.tmp"))


def test_two_at_once_and_folders_of_others(begun, tmp_path):
    with (
        PartFolder(begun).opened(ASKED),
        pytest.raises(UsageError, match="another process"),
        PartFolder(begun).opened(ASKED),
    ):
        pass
    (begun / "job.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"), PartFolder(begun).opened(ASKED):
        pass
    foreign = tmp_path / "notes"
    foreign.mkdir()
    (foreign / "mine.txt").write_text("mine")
    for path in (foreign, foreign / "mine.txt"):
        with pytest.raises(UsageError, match="in the way"), PartFolder(path).opened(ASKED):
            pass
    assert (foreign / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("rows", "window", "size"), [(2048, 2048, 2048), (100, 2048, 2048), (2049, 2048, 4096), (5, 1, 5)]
)
def test_a_part_is_whole_windows(rows, window, size):
    assert part_size(rows, window) == size


def test_a_model_is_known_by_its_files(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "albert"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    before = model_hash(str(folder))
    (folder / "README.md").write_text("a card")
    assert model_hash(str(folder)) == before
    (folder / "model.safetensors").write_bytes(b"others")
    assert model_hash(str(folder)) != before
    with pytest.raises(UsageError, match="every time"):
        model_hash("random:nano")


def test_what_an_ask_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.txt").write_text("a\n")
    (tmp_path / "litebert-small-en").mkdir()  # a bundled name stays one
    engine = {"precision": "auto", "threads": None, "calibration": "texts.txt", "window": 4}
    ask = Ask("litebert-small-en", engine=engine).anywhere()
    assert ask.model == "litebert-small-en" and ask.engine["calibration"] == str(tmp_path / "texts.txt")
    said = ask.to_dict()
    assert "precision" not in said["engine"] and "threads" not in said["engine"]  # found when it is loaded
    (tmp_path / "texts.txt").write_text("b\n")
    assert ask.to_dict()["engine"] != said["engine"]
    found = ask.using({"precision": "bf16", "threads": 3, "device": "cpu"})
    assert (found.engine["precision"], found.engine["threads"], found.device) == ("bf16", 3, "cpu")
    exact = Ask("m", device="cuda", engine={"precision": "fp32", "threads": 2}).using(
        {"precision": "bf16", "threads": 3}
    )
    assert (exact.engine["precision"], exact.engine["threads"], exact.device) == ("fp32", 2, "cuda")
    with pytest.raises(UsageError, match="budget-ms"):
        Ask("m", engine={"budget_ms": 5.0}).anywhere()
