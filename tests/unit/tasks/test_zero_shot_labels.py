"""Labels by meaning: the nearest description is the answer."""

import numpy as np
import pytest

import litebert
from litebert.errors import ConfigError, DataError, UsageError
from litebert.tasks.base import Passes
from litebert.tasks.classify import zero_shot_labels
from litebert.tasks.classify.zero_shot_labels import LabelsTask
from litebert.tasks.reading.records import Record

MEANINGS = {"ball": [1, 0], "vote": [0, 1], "a game with a ball": [0.8, 0.6], "ruling": [0, 1], "both": [0.6, 0.8]}


def compute(monkeypatch, vectors):
    """Let the vectors of texts be what a function says."""
    monkeypatch.setattr(zero_shot_labels, "sentence_windows", lambda _loaded, texts: texts)
    monkeypatch.setattr(zero_shot_labels, "vectors_of", vectors)


@pytest.fixture
def ask(monkeypatch):
    def vectors(_loaded, texts, _passes):
        return np.array([MEANINGS[text] for text in texts], np.float32)

    compute(monkeypatch, vectors)
    return lambda *texts, **options: LabelsTask().answer(None, [Record(t) for t in texts], Passes(), options)


def test_the_nearest_description_wins(ask):
    first, second = ask("ball", "vote", labels={"sport": "a game with a ball", "politics": "ruling"})
    assert (first.label, second.label) == ("sport", "politics")
    expected = np.exp(0.8 / 0.05) / (np.exp(0.8 / 0.05) + 1)
    assert first.score == pytest.approx(expected)
    assert sum(score for _, score in second.scores) == pytest.approx(1) and second.scores[0][0] == "politics"


def test_lists_strings_templates_and_temperature(ask):
    (sharp,) = ask("both", labels="ball, vote")
    (soft,) = ask("both", labels=["ball", "vote"], temperature=1)
    assert sharp.label == soft.label == "vote" and sharp.score > soft.score
    (inside,) = ask("both", labels={"x": "game", "y": "game"}, template="a {} with a ball")
    assert inside.score == pytest.approx(0.5)


def test_the_last_digit_does_not_depend_on_how_many_are_asked(monkeypatch):
    generator = np.random.default_rng(0)
    known = {name: generator.standard_normal(384).astype(np.float32) for name in map(str, range(29))}
    known = {name: vector / np.linalg.norm(vector) for name, vector in known.items()}
    compute(monkeypatch, lambda _l, texts, _p: np.stack([known[t] for t in texts]))
    texts, options = [Record(str(i)) for i in range(20)], {"labels": [str(i) for i in range(20, 29)]}
    together = LabelsTask().answer(None, texts, Passes(), options)
    assert [LabelsTask().answer(None, [one], Passes(), options)[0] for one in texts] == together


def test_descriptions_are_read_once_for_a_stream(monkeypatch):
    read = []

    def vectors(_loaded, texts, _passes):
        read.append(list(texts))
        return np.array([MEANINGS[text] for text in texts], np.float32)

    compute(monkeypatch, vectors)
    task = LabelsTask()
    for text, labels in (("ball", ["ball", "vote"]), ("vote", ["ball", "vote"]), ("vote", ["ball", "both"])):
        (found,) = task.answer(None, [Record(text)], Passes(), {"labels": labels})
        assert found.label == ("both" if "both" in labels else text)
    assert read == [["ball", "vote"], ["ball"], ["vote"], ["ball", "both"], ["vote"]]


def test_labels_as_json_in_a_string(ask):
    (found,) = ask("ball", labels='{"sport": "a game with a ball", "politics": "ruling"}')  # as --set gives it
    assert found.label == "sport" and len(found.scores) == 2


@pytest.mark.parametrize("labels", ['{"ball": vote}', ["ball", ""], {"ball": "ball", "vote": " "}])
def test_labels_that_are_none(ask, labels):
    with pytest.raises(ConfigError, match="labels"):
        ask("ball", labels=labels)


@pytest.mark.parametrize("labels", [None, [], ["one"], {"one": "x"}])
def test_too_few_labels(ask, labels):
    with pytest.raises(UsageError, match="label"):
        ask("ball", labels=labels)


def test_wrong_options_and_pairs(ask):
    with pytest.raises(ConfigError, match="template"):
        ask("ball", labels=["ball", "vote"], template="no place")
    with pytest.raises(DataError, match="not a pair"):
        LabelsTask().answer(None, [Record("ball", "vote")], Passes(), {"labels": ["ball", "vote"]})


def test_through_the_pipeline(pretrained):
    pipe = litebert.load(pretrained, "zero-shot-classification", precision="fp32")
    labels = ["the old house", "a river"]
    answers = pipe(["the old house", "a river"], labels=labels, template="{}")
    assert [answer.label for answer in answers] == labels  # a text is nearest to itself
