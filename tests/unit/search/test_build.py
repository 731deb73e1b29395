"""Building: only what changed is embedded, nothing half-built is answered from, and wrong inputs are told."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from litebert.errors import DataError, UsageError
from litebert.search import Index
from litebert.search.chunks import ChunkSettings
from litebert.search.description import read_description
from litebert.search.documents import find_files
from litebert.search.location import open_store
from tests.unit.search.conftest import ROWS
from tests.unit.search.fakes import WordCounts


def texts_of(place, query="wing", **options):
    return {hit.id: hit.text for hit in Index.open(place, embedder=WordCounts()).search(query, top=100, **options)}


def test_only_changes_are_embedded(place, write, build):
    first, second, third = (WordCounts() for _ in range(3))
    path = write(ROWS)
    built = build(path, place, first)
    assert (built.documents, built.chunks, built.added) == (5, 5, 5)
    built = build(path, place, second)
    assert (built.unchanged, built.added, built.changed, second.embedded) == (5, 0, 0, [])
    changed = [{**ROWS[0], "text": "Birds flap."}, {**ROWS[1], "year": 1900}, *ROWS[2:4], {"id": "new", "text": "New."}]
    write(changed)
    built = build(path, place, third)
    assert (built.unchanged, built.added, built.changed, built.removed) == (2, 1, 2, 0)
    assert sorted(third.embedded) == sorted(["Birds flap.", ROWS[1]["text"], "New."])
    assert texts_of(place)["wing"] == "Birds flap."
    assert texts_of(place, mode="bm25", query="carries") == {}
    assert set(texts_of(place, filter="year == 1900")) == {"boundary"}
    assert "bare" in texts_of(place)  # not in the inputs any more, but nobody asked to remove it


def test_what_vanished_goes_when_asked(place, write, build):
    path = write(ROWS)
    build(path, place)
    write(ROWS[:3])
    assert build(path, place, prune=True).removed == 2
    assert set(texts_of(place)) == {"wing", "boundary", "bread"}


def test_a_text_that_became_empty_goes(place, write, build):
    path = write(ROWS)
    build(path, place)
    write([{**ROWS[0], "text": " "}, *ROWS[1:]])
    built = build(path, place)
    assert (built.removed, built.empty) == (1, 1)
    assert "wing" not in texts_of(place)


def test_new_metadata_fields_appear(place, write, build):
    path = write(ROWS)
    build(path, place)
    write([*ROWS, {"id": "more", "text": "More.", "stars": 5, "year": "unknown"}])
    build(path, place)
    assert set(texts_of(place, filter="stars >= 4")) == {"more"}
    assert set(texts_of(place, filter='year == "unknown" or year == 1958')) == {"more", "wing"}


def test_what_was_interrupted_before_publishing_is_published(tmp_path, write, build, monkeypatch):
    """All is written, and then the power goes: the next build has nothing to embed, but it must publish."""
    place = str(tmp_path / "index")
    path = write(ROWS)
    build(path, place)
    write([*ROWS, {"id": "late", "text": "Late."}])
    from litebert.search.lance_store import LanceStore

    with monkeypatch.context() as broken:
        broken.setattr(LanceStore, "publish", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(path, place)
    assert "late" not in texts_of(place)
    assert build(path, place).unchanged == 6
    assert "late" in texts_of(place)


KILLED = """
import os, signal, sys
from litebert.search import build_index
from tests.unit.search.fakes import WordCounts, word_offsets

class Dies(WordCounts):
    def embed(self, texts):
        if len(self.embedded) >= 60:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embed(texts)

build_index([sys.argv[1]], sys.argv[2], Dies(), word_offsets, model="words", batch=20)
"""


def test_a_killed_build_loses_at_most_a_batch(tmp_path, write, build):
    path = write([{"id": str(n), "text": f"Text number {n}."} for n in range(100)])
    place = str(tmp_path / "index")
    root = Path(__file__).parents[3]
    died = subprocess.run(
        [sys.executable, "-c", KILLED, path, place], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, check=False
    )
    assert died.returncode == -signal.SIGKILL
    rest = WordCounts()
    built = build(path, place, rest)
    assert (built.unchanged, len(rest.embedded), built.documents) == (60, 40, 100)
    assert len(texts_of(place, query="number")) == 100


def test_two_writers_take_turns(tmp_path, write, build):
    path = write(ROWS)
    place = str(tmp_path / "index")

    class Meddler(WordCounts):
        def embed(self, texts):
            with pytest.raises(UsageError, match="another process"):
                build(path, place)
            return super().embed(texts)

    build(path, place, Meddler())


def test_other_settings_are_refused(place, write, build):
    path = write(ROWS)
    build(path, place)
    with pytest.raises(UsageError, match="chunks"):
        build(path, place, chunks=ChunkSettings(tokens=50, overlap=0))
    with pytest.raises(UsageError, match="language"):
        build(path, place, language="German")
    with pytest.raises(UsageError, match="kind"):
        build(write([{"question": "q", "answer": "a"}], "faq.jsonl"), place, questions=True)


def test_long_documents_have_chunks_with_offsets(place, write, build):
    text = "\n\n".join(f"Paragraph {n} speaks of topic{n} at some length, so that it fills a chunk." for n in range(30))
    build(write(text, "long.txt"), place, chunks=ChunkSettings(tokens=32, overlap=0))
    index = Index.open(place, embedder=WordCounts())
    hit = index.search("topic17", top=1)[0]
    assert hit.id == "long.txt"
    assert "topic17" in hit.text == text[hit.start : hit.end]
    assert len(index.search("paragraph", top=100)) == index.count()[1] > 10
    assert len(index.search("paragraph", top=100, per_document=True)) == 1


def test_one_long_document_does_not_hide_the_others(place, write, build):
    """Its chunks fill all that is looked at first."""
    long = write(
        "\n\n".join(f"Paragraph {n} is a paragraph of the long text, paragraph." for n in range(150)), "long.txt"
    )
    for name in "abc":
        write(
            f"Something else altogether, and one paragraph that file {name} has as well, among other words.",
            f"{name}.txt",
        )
    build(str(Path(long).parent), place, chunks=ChunkSettings(tokens=16, overlap=0))
    index = Index.open(place, embedder=WordCounts())
    for mode in ("bm25", "dense", "hybrid"):
        assert {hit.id for hit in index.search("paragraph", top=100, mode=mode)} == {"long.txt"}
        found = index.search("paragraph", top=3, mode=mode, per_document=True)
        assert len({hit.id for hit in found}) == 3 and found[0].id == "long.txt"
    few = index.search("paragraph", top=3, mode="dense", per_document=True, candidates=10)
    assert len(few) == 1, "who says how deep to look is heeded"


def test_a_file_that_shrinks_leaves_no_parts_behind(place, write, build):
    line = "All work and no play makes a dull boy of anyone. "
    path = write(line * 45_000, "book.txt")  # over 2 MB: three parts
    build(path, place, chunks=ChunkSettings(tokens=20_000, overlap=0))
    assert set(texts_of(place, "play")) == {"book.txt", "book.txt#2", "book.txt#3"}
    assert len(texts_of(place, "play", per_document=True)) == 1, "parts of one file are one document"
    write(line, "book.txt")
    built = build(path, place)
    assert (built.documents, built.removed) == (1, 2)
    assert set(texts_of(place)) == {"book.txt"}


def test_duplicate_identifiers(place, write, build):
    path = write([*ROWS, {"id": "wing", "text": "Another."}])
    with pytest.raises(DataError, match=r"'wing'.*line 1.*line 6"):
        build(path, place)


def test_folders_skip_what_is_no_text(tmp_path, write, build):
    write("Plain text of a note.", "a.txt")
    write("# Head\n\nMarkdown text.", "deep/b.md")
    write("<html><body><nav>menu</nav><p>Page text.</p></body></html>", "c.html")
    write('id,text,year\n7,"Row text, quoted.",1990\n', "d.csv")
    write(bytes(range(256)) * 20, "binary.txt")
    write("", "empty.txt")
    write("secret", ".hidden/x.txt")
    write(b"\x89PNG", "picture.png")
    place = str(tmp_path / "index")
    built = build(str(tmp_path / "input"), place)
    assert set(texts_of(place)) == {"a.txt", "deep/b.md", "c.html", "7"}
    assert set(texts_of(place, filter="year == 1990")) == {"7"}
    assert any("no text in utf-8 (--encoding names another): 1, in binary.txt" in warning for warning in built.warnings)
    assert built.empty == 1, "the empty file is counted"
    assert any("another kind (.png): 1" in warning for warning in built.warnings)


def test_odd_entries_of_a_folder_are_in_nobodys_way(tmp_path, write, build):
    """A link to nowhere, a pipe, a name that is no text, what is packed by its name only, another encoding."""
    folder = Path(write("Plain text of a note.", "a.txt")).parent
    (folder / "dangling.txt").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.txt")
    (folder / os.fsdecode(b"bad\xff.txt")).write_text("Its name is Latin-1.")
    write("Not packed at all.", "b.txt.gz")
    write("Café crème".encode("latin-1"), "latin.txt")
    write("Text again.", "z.txt")
    place = str(tmp_path / "index")
    built = build(str(folder), place)
    assert set(texts_of(place)) == {"a.txt", "z.txt"}
    odd, text, damaged = built.warnings
    assert "no files, or their names are not UTF-8: 3, in bad" in odd and "dangling.txt, pipe.txt" in odd
    assert "--encoding names another): 1, in latin.txt" in text and "cannot be read: 1, in b.txt.gz" in damaged
    with pytest.raises(DataError, match=r"b\.txt\.gz"):
        build(str(folder / "b.txt.gz"), str(tmp_path / "other"))
    built = build(str(folder), place, encoding="latin-1")
    assert texts_of(place)["latin.txt"] == "Café crème"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", '{"title": "x", "txt": "y"}\n', "no column recognised as text"),
        ("rows.jsonl", '{"text": "x"\n', "line 1"),
        ("rows.csv", "text,a\nx,1\ny\n", "has 1 column where"),
        ("empty.txt", "", "no text in these files"),
        ("blank.jsonl", '{"text": " "}\n{"text": ""}\n', "no text in any of 2"),
        ("noise.xyz", "x", "tells no kind"),
    ],
)
def test_wrong_inputs(tmp_path, write, build, name, content, message):
    with pytest.raises(DataError, match=message):
        build(write(content, name), str(tmp_path / "index"))


def test_nothing_is_made_where_nothing_can_be_read(tmp_path, build):
    (tmp_path / "empty").mkdir()
    for given, message in (("empty", "holds no files"), ("missing", "there is no file or folder")):
        with pytest.raises(DataError, match=message):
            build(str(tmp_path / given), str(tmp_path / "index"))
    assert not (tmp_path / "index").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path, write, build):
    path = write(ROWS)
    with pytest.raises(UsageError, match=r"is no index, and holds other files: rows\.jsonl"):
        build(path, str(Path(path).parent))
    with pytest.raises(UsageError, match="is a file"):
        build(path, path)


def test_two_files_of_one_name(tmp_path, write, build):
    one, two = write("One.", "x/a.txt"), write("Two.", "y/a.txt")
    with pytest.raises(DataError, match=r"would both be called 'a\.txt'"):
        build([one, two], str(tmp_path / "index"))
    assert build(str(tmp_path / "input"), str(tmp_path / "index")).documents == 2


def test_files_of_two_runs_that_would_have_one_name(tmp_path, write, build):
    place = str(tmp_path / "index")
    write("The wing carries the aircraft.", "pa/README.md"), write("Bread needs flour.", "pb/README.md")
    write([{"text": "one"}], "pa/rows.jsonl"), write([{"text": "two"}], "pc/rows.jsonl")
    write([{"id": "x", "text": "one"}], "pd/named.jsonl"), write([{"id": "x", "text": "two"}], "pe/named.jsonl")
    home = tmp_path / "input"
    build([str(home / "pa")], place)
    for folder in ("pb", "pc"):
        with pytest.raises(DataError, match=r"would replace .*pa.*, which is called .* in the index, too"):
            build([str(home / folder)], place)
    build([str(home / "pd")], place)
    assert build([str(home / "pe")], place).changed == 1, "a row says itself which it is"
    assert build([str(home / "pa/../pa")], place).unchanged == 2
    (home / "pa").rename(home / "moved")
    assert build([str(home / "moved")], place).unchanged == 2
    (home / "moved/README.md").unlink()
    assert build([str(home / "pb")], place).changed == 1, "what it was is not there any more"


def test_a_glob_names_files_as_its_folder_does(tmp_path, write, monkeypatch):
    write("a", "notes/a.md"), write("b", "notes/deep/b.md"), write("c", "c.md")
    monkeypatch.chdir(tmp_path / "input")
    for pattern in ("notes/**/*.md", str(tmp_path / "input/notes/**/*.md"), "notes"):
        assert [name for _, name in find_files([pattern])] == ["a.md", "deep/b.md"]
    assert [name for _, name in find_files(["*.md"])] == ["c.md"]
    assert [name for _, name in find_files(["not*/*.md"])] == ["notes/a.md"]


def test_tables_of_a_folder_that_hold_no_texts_are_in_nobodys_way(tmp_path, write, build):
    write("# Notes", "a.md"), write('{"name": "x"}', "package.json"), write("item,cost\nbread,3\n", "costs.csv")
    write([{"text": "wing"}], "rows.jsonl")
    built = build(str(tmp_path / "input"), str(tmp_path / "index"))
    assert built.documents == 2 and len(built.warnings) == 1
    assert built.warnings[0].startswith("tables left out because no column is known for the text")
    assert built.warnings[0].endswith(": 2, in costs.csv, package.json")
    with pytest.raises(DataError, match=r"costs\.csv has no column recognised as text"):
        build([str(tmp_path / "input" / "costs.csv"), str(tmp_path / "input" / "a.md")], str(tmp_path / "other"))


def test_the_language_of_an_index_is_kept(tmp_path, write, build):
    place, path = str(tmp_path / "index"), write("Die Katze schläft.", "a.txt")
    build(path, place, language="German")
    build(path, place)
    assert read_description(open_store(place)).language == "German"
    with pytest.raises(UsageError, match="language = German, not None"):
        build(path, place, language=None)


def test_the_description_names_everything(tmp_path, write, build):
    build(write(ROWS), str(tmp_path / "index"))
    said = json.loads((tmp_path / "index" / "index.json").read_text())
    assert (said["format"], said["state"], said["model"], said["fingerprint"], said["size"]) == (
        1, "complete", "words", "words-64", 64,
    )  # fmt: skip
    assert said["fields"] == {"lang": ["text"], "year": ["number"], "open": ["flag"]}
