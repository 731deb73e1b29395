"""``litebert index`` and ``litebert search`` as users run them."""

import io
import json
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("lancedb", reason="needs the extra litebert[search]")

from litebert.search import Index
from tests.pretrained_folders import pretrained_folder

NOTES = {
    "wing.md": "# Wings\n\nThe wing carries the aircraft through the air.\n",
    "kitchen/bread.txt": "Bread needs flour, water and salt.\n",
    "rows.csv": "id,text,year\nold,An old story about ships.,1890\nnew,A new story about rockets.,2020\n",
}


@pytest.fixture(scope="module")
def embed_model(tmp_path_factory):
    return pretrained_folder(tmp_path_factory.mktemp("embed"))


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notes")
    for name, text in NOTES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory, embed_model, notes):
    from litebert.cli.main import run

    out = tmp_path_factory.mktemp("built") / "index"
    assert run(["index", str(embed_model), str(notes), "--out", str(out), "--json"]) == 0
    return out


def test_build_again_and_ask(call, embed_model, notes, built):
    again = call("index", embed_model, notes, "--out", built, "--json").envelope
    assert again["data"] | {"location": ""} == {
        "location": "", "documents": 4, "chunks": 4, "added": 0, "changed": 0, "unchanged": 4, "removed": 0, "empty": 0, "faq": None,
    }  # fmt: skip
    assert again["artifacts"] == [str(built)]
    assert any("was not trained for vectors" in warning for warning in again["warnings"])
    found = call("search", built, "flour", "rockets", "--mode", "bm25", "--json").envelope["data"]["results"]
    assert [[hit["id"] for hit in result["hits"]] for result in found] == [["kitchen/bread.txt"], ["new"]]
    (hit,) = found[0]["hits"]
    assert hit["text"] == NOTES["kitchen/bread.txt"][hit["start"] : hit["end"]]
    shown = call("search", built, "story", "--filter", "year < 1900")
    assert shown.code == 0
    assert shown.out.startswith("1. old [0:25]")
    assert "nothing found" in call("search", built, "zeppelin", "--mode", "bm25").out


def test_queries_from_a_file_in_order(call, built, tmp_path, monkeypatch):
    (tmp_path / "queries.csv").write_text("id,text\nq1,flour\nq2,\nq3,ships\n")
    lines = call("search", built, "--queries", tmp_path / "queries.csv", "--mode", "bm25", "--top", 1).lines
    assert [(line["id"], [hit["id"] for hit in line["hits"]]) for line in lines] == [
        ("q1", ["kitchen/bread.txt"]), ("q2", []), ("q3", ["old"]),
    ]  # fmt: skip
    for flags in (["--queries", "-"], ["-"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"flour\nships\n")))
        lines = call("search", built, *flags, "--mode", "bm25").lines
        assert [line["query"] for line in lines] == ["flour", "ships"]


def test_reranked_by_a_model_of_pairs(call, built, value_model, model):
    hits = call("search", built, "story", "--rerank", value_model, "--json").envelope["data"]["results"][0]["hits"]
    assert [hit["score"] for hit in hits] == sorted((hit["scores"]["rerank"] for hit in hits), reverse=True)
    wrong = call("search", built, "story", "--rerank", model)
    assert (wrong.code, "scores no pairs" in wrong.err) == (2, True)


def test_python(built):
    index = Index.open(str(built))
    assert index.count() == (4, 4)
    assert index.fields == {"year": ["number"]}
    assert [hit.id for hit in index.search("The wing carries the aircraft", top=1)] == ["wing.md"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search", "{built}"], 2, "there is no query"),
        (["search", "{built}", "x", "--queries", "y.txt"], 2, "--queries does not go with"),
        (["search", "{built}", "x", "--filter", "yaer > 3"], 2, "Did you mean 'year'"),
        (["search", "{built}", "x", "--mode", "bm52"], 2, "Did you mean 'bm25'"),
        (["search", "{notes}", "x"], 3, "there is no index"),
        (["search", "http://127.0.0.1:1/notes", "x"], 5, "http://127.0.0.1:1/notes"),
        (["search", "redis://host/notes", "x"], 2, "no index can be kept at redis://"),
        (["search", ":memory:", "x"], 3, "in the process that built it only"),
        (["index", "{model}", "{notes}", "--out", ":memory:"], 2, "would end with this command"),
        (["index", "{model}", "-", "--out", "{new}"], 2, "not from standard input"),
        (["index", "{model}", "{notes}", "--out", "{notes}"], 2, "is no index, and holds other files"),
        (["index", "{model}", "{notes}/nothing", "--out", "{new}"], 3, "there is no file or folder"),
        (["index", "{model}", "{notes}", "--out", "{built}", "--chunk-tokens", "64"], 2, "was built with chunks"),
        (["index", "{model}", "{notes}", "--out", "{new}", "--overlap", "100"], 2, "more than half"),
        (["index", "{model}", "{notes}", "--out", "{new}", "--language", "Englisch"], 2, "Did you mean 'English'"),
        (["index", "{model}", "{notes}", "--out", "{new}", "--encoding", "utf8x"], 2, "no such encoding"),
        (["index", "{model}", "{notes}", "--out", "{new}", "--faq"], 2, "no table of questions"),
    ],
)
def test_wrong_calls(call, built, notes, embed_model, tmp_path, arguments, code, message):
    places = {"built": built, "notes": notes, "model": embed_model, "new": tmp_path / "new"}
    outcome = call(*(argument.format(**places) for argument in arguments))
    assert outcome.code == code
    assert message in outcome.err


def test_a_milvus_database_by_its_name(embed_model, notes, tmp_path):
    """As a user has it, in processes of their own: Milvus Lite starts a server within the process, which stays to its end."""
    pytest.importorskip("milvus_lite", reason="needs the extra litebert[milvus]")
    place = f"milvus:{tmp_path}/deep/notes.db"

    def command(*arguments):
        line = [sys.executable, "-m", "litebert", *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    empty = command("search", place, "x")
    assert (empty.returncode, "there is no index" in empty.stderr) == (3, True)
    built = command("index", embed_model, notes, "--out", place, "--json")
    assert json.loads(built.stdout)["artifacts"] == [place], built.stderr
    found = json.loads(command("search", place, "story", "--filter", "year < 1900", "--json").stdout)
    assert [hit["id"] for hit in found["data"]["results"][0]["hits"]] == ["old"]


def test_another_model_is_refused(call, built, notes, tmp_path):
    other = pretrained_folder(tmp_path / "other", seed=1)
    for arguments in (["index", other, notes, "--out", built], ["search", built, "x", "--model", other]):
        outcome = call(*arguments)
        assert outcome.code == 2
        assert "was made with" in outcome.err


def test_a_moved_model_is_given_by_name(call, notes, tmp_path):
    model, moved = pretrained_folder(tmp_path / "model"), tmp_path / "moved"
    assert call("index", model, notes, "--out", tmp_path / "index").code == 0
    model.rename(moved)
    assert call("search", tmp_path / "index", "wing").code != 0
    assert call("search", tmp_path / "index", "wing", "--model", moved).code == 0


def test_questions_and_answers(call, embed_model, tmp_path):
    lines = [
        "question,answer",
        *(f"How do I reset my {thing}?,Press {thing}." for thing in ("router", "phone", "card", "door")),
    ]
    (tmp_path / "faq.csv").write_text("\n".join(lines) + "\n")
    made = call("index", embed_model, tmp_path / "faq.csv", "--faq", "--out", tmp_path / "faq", "--json").envelope
    assert made["data"]["faq"]["questions"] == 4
    assert any("only 4 questions" in warning for warning in made["warnings"])
    asked = call("search", tmp_path / "faq", "How do I reset my card?", "--json").envelope
    known = asked["data"]["results"][0]["reply"]
    assert (known["known"], known["answer"]) == (True, "Press card.") and known["confidence"] <= 0.8
    assert any("only 4 questions" in warning for warning in asked["warnings"])
    assert call("search", tmp_path / "faq", "How do I reset my card?").out.startswith("Press card.")
    for flag in (
        ["--rerank", embed_model],
        ["--mode", "bm25"],
        ["--top", 3],
        ["--per-document"],
        ["--dense-weight", 0.2],
    ):
        refused = call("search", tmp_path / "faq", "card", *flag)
        assert refused.code == 2 and f"{flag[0]} does not go with" in refused.err
    (tmp_path / "asked.jsonl").write_text('{"text": ""}\n{"text": "How do I reset my card?"}\n')
    replies = [line["reply"] for line in call("search", tmp_path / "faq", "--queries", tmp_path / "asked.jsonl").lines]
    assert [reply["answer"] for reply in replies] == [None, "Press card."]
    assert call("search", tmp_path / "faq", "").out == "I don't know.\n"


def test_ctrl_c_keeps_what_is_done(process, embed_model, tmp_path, call):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"id": str(n), "text": f"Text number {n} of many. " * 8}) + "\n" for n in range(3000))
    )
    out = tmp_path / "index"
    child = process(["index", embed_model, rows, "--out", out])
    data = out / "store" / "chunks.lance" / "data"
    deadline = time.monotonic() + 100
    # The file of the second batch shows that the first one is kept.
    while (
        not (data.is_dir() and len(list(data.iterdir())) > 1) and child.poll() is None and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130, err.decode()
    assert b"Go on with:" in err
    assert "not complete" in call("search", out, "number").err
    again = call("index", embed_model, rows, "--out", out, "--json").envelope["data"]
    assert again["unchanged"] >= 1024
    assert again["unchanged"] + again["added"] == again["documents"] == 3000
