"""BLiMP: reading the official layout, ties, both means, the control, damaged files."""

import json

import numpy as np
import pytest

from litebert.errors import DataError, UsageError
from litebert.tasks.official import blimp
from litebert.tasks.official.blimp import BlimpScore, Paradigm, ParadigmScore, read_blimp, score_blimp
from litebert.tasks.official.pretrained import BENCHMARKS, BenchmarkCall, known_benchmark, run_benchmark
from litebert.text import AlbertTokenizer


def row(good, bad, name="one", term="binding"):
    return {
        "sentence_good": good,
        "sentence_bad": bad,
        "field": "syntax",
        "linguistics_term": term,
        "UID": name,
        "pairID": "0",
    }


def write(folder, name, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "blimp"
    write(folder, "one", [row("It is good.", "It are good."), row("a", "b"), row("c", "d")])
    write(folder, "two", [row("The cat sat.", "Sat the cat.", "two", "s-selection")])
    return folder


def test_reading(data):
    warnings = []
    one, two = read_blimp(data, warnings=warnings)
    assert one == Paradigm("one", "binding", (("It is good.", "It are good."), ("a", "b"), ("c", "d")))
    assert two.phenomenon == "argument_structure" and "2 of the 67" in warnings[0] and len(warnings) == 1
    assert read_blimp(data / "one.jsonl") == [one]
    assert [len(p.pairs) for p in read_blimp(data, limit=2, warnings=warnings)] == [
        2,
        1,
    ] and "first 2 pairs" in warnings[-1]


def test_the_official_repository_has_its_files_in_data(data, tmp_path):
    data.rename(tmp_path / "data")
    assert len(read_blimp(tmp_path)) == 2


@pytest.mark.parametrize(
    ("content", "says", "line"),
    [
        ('{"sentence_good": "a"\n', "not JSON", 1),
        (json.dumps({"sentence_good": "a", "sentence_bad": 3}) + "\n", "sentence_bad", 1),
        ("[1]\n", "sentence_good", 1),
        (json.dumps(row("a", "b")) + "\n\n" + json.dumps(row("a", "b", "other")) + "\n", "'other'", 3),
        ("", "no pairs", None),
        (json.dumps(row("a", "b", "two", "s-selection")) + "\n", "twice", None),
    ],
)
def test_damaged_files(content, says, line, data):
    (data / "three.jsonl").write_text(content)
    with pytest.raises(DataError, match=says) as raised:
        read_blimp(data)
    assert raised.value.line == line


def test_what_is_no_blimp(tmp_path):
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match="no BLiMP files"):
            read_blimp(place)
    with pytest.raises(UsageError, match="limit"):
        read_blimp(tmp_path, limit=0)


def test_ties_count_half(monkeypatch):
    """Good, bad: higher, equal, lower, equal."""
    values = {"original": np.array([-1.0, -2.0, -3.0, 0.0, -2.0, -2.0, -1.0, 0.0])}
    monkeypatch.setattr(blimp, "pseudo_log_likelihoods", lambda *args, **kwargs: dict(values))
    paradigm = Paradigm("p", "binding", tuple(("b a", "a b") for _ in range(4)))
    score = score_blimp(None, AlbertTokenizer.bundled(), [paradigm], variants=["original"])
    (one,) = score.paradigms
    assert one.accuracy["original"] == 0.5 and one.ties["original"] == 0.5
    assert score.methods == ("original", "unigram")
    assert (
        one.accuracy["unigram"] == 0.5 and one.ties["unigram"] == 1.0
    )  # the same words: a scorer without context ties


def test_the_unigram_control_prefers_frequent_pieces(monkeypatch):
    monkeypatch.setattr(blimp, "pseudo_log_likelihoods", lambda *args, **kwargs: {})
    paradigm = Paradigm("p", "binding", (("the", "sketch"), ("sketch", "the")))
    assert score_blimp(None, AlbertTokenizer.bundled(), [paradigm]).paradigms[0].accuracy == {"unigram": 0.5}
    pair = Paradigm("p", "binding", (("the cat", "sketch cat"),))
    assert score_blimp(None, AlbertTokenizer.bundled(), [pair]).paradigms[0].accuracy == {"unigram": 1.0}


def test_means_over_paradigms_and_over_phenomena():
    def one(name, phenomenon, accuracy, pairs, ties):
        return ParadigmScore(name, phenomenon, pairs, {"original": accuracy}, {"original": ties})

    paradigms = (
        one("a", "binding", 1.0, 10, 0.5),
        one("b", "binding", 0.5, 10, 0.0),
        one("c", "ellipsis", 0.0, 20, 0.0),
    )
    score = BlimpScore(paradigms, ("original",), seconds=1.0)
    assert score.metrics("original") == {"accuracy": 0.5, "accuracy_over_phenomena": 0.375, "ties": 0.125}
    assert score.by_phenomenon("original") == {"binding": 0.75, "ellipsis": 0.0}
    data = score.to_dict()["blimp/original"]
    assert data["records"] == 40 and data["paradigms"] == {"a": 1.0, "b": 0.5, "c": 0.0} and data["baseline"] == {}


def test_a_model_that_hates_a_word_is_right_about_it(data, pretrained):
    """Through the real scoring: which sentence of a pair is the good one, and that higher wins."""
    from litebert.tasks.model_folder import load_zero_shot

    loaded = load_zero_shot(pretrained, "fill-mask")
    bias = loaded.model.predictions.bias.data
    bias[loaded.tokenizer.piece_to_id("▁are")] = -1000
    paradigm = Paradigm(
        "p", "binding", (("It is good.", "It are good."), ("It are good.", "It is good."), ("It is.", "It are."))
    )
    (one,) = score_blimp(loaded.model, loaded.tokenizer, [paradigm]).paradigms
    assert one.accuracy["original"] == one.accuracy["within_word_l2r"] == pytest.approx(2 / 3)


def test_benchmarks_by_name():
    assert known_benchmark("blimp") and not known_benchmark("glue/mrpc") and "blimp" in BENCHMARKS
    with pytest.raises(UsageError, match="Did you mean 'blimp'"):
        known_benchmark("blipm")
    with pytest.raises(UsageError, match="Allowed"):
        run_benchmark("glue/mrpc", BenchmarkCall("random:nano", "."))


def test_a_wrong_variant_is_refused_before_anything_is_loaded():
    with pytest.raises(UsageError, match="Did you mean 'both'"):
        run_benchmark("blimp", BenchmarkCall("no/where/at/all", "nothing", variant="bot"))
