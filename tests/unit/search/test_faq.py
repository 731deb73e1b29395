"""Questions and answers: the right one, "I don't know", and what the confidence says."""

import random

import numpy as np
import pytest

from litebert.errors import DataError, UsageError
from litebert.search import Index
from litebert.search.faq import Calibration, _threshold, some_asked
from litebert.search.store import Chunk
from litebert.tasks.reading.columns import parse_columns
from tests.unit.search.fakes import WordCounts

TOPICS = [f"topic{n}" for n in range(60)]


def rows(wordings=1, seed=0):
    draw = random.Random(seed)
    common = ["please", "tell", "me", "about", "how", "where", "can", "i", "my", "the"]
    return [
        {
            "question": " ".join([*draw.sample(common, 4), topic, topic]),
            "answer": f"Answer on {topic}.",
            "area": topic[-1],
        }
        for topic in TOPICS
        for _ in range(wordings)
    ]


@pytest.fixture
def faq(write, build, place):
    def make(content, **options):
        options.setdefault("embedder", WordCounts(size=2048))
        built = build(write(content, "faq.jsonl"), place, questions=True, **options)
        return built, Index.open(place, embedder=WordCounts(size=2048))

    return make


def test_answers_and_says_when_it_does_not_know(faq):
    built, index = faq(rows())
    reply = index.answer("please how can i topic7 topic7 the")
    assert (reply.answer, reply.metadata) == ("Answer on topic7.", {"area": "7"})
    assert reply.confidence > 0.95
    unknown = index.answer("please tell how can zeppelin zeppelin")
    assert unknown.answer is None
    assert unknown.best.startswith("Answer on")
    assert unknown.confidence < reply.confidence
    assert unknown.to_dict()["known"] is False
    assert built.faq.questions == 60


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_the_share_of_unanswerable_questions_that_pass_is_kept(faq):
    """Questions on topics the index does not have, drawn like those it has."""
    built, index = faq(rows())
    draw = random.Random(1)
    common = ["please", "tell", "me", "about", "how", "where", "can", "i", "my", "the"]
    asked = [" ".join([*draw.sample(common, 4), f"other{n}", f"other{n}"]) for n in range(100)]
    passed = sum(index.answer(text).answer is not None for text in asked) / 100
    assert passed <= 0.12  # 5%, and three standard deviations of so few
    assert built.faq.unknown_rate == 0.05


def test_questions_with_one_answer_make_the_confidence_a_probability(faq):
    built, _ = faq(rows(wordings=3))
    assert built.faq.slope > 0
    assert built.faq.wordings >= 150
    assert built.faq.right > 0.9


def test_other_wordings_make_the_confidence_a_probability(faq, write):
    held_out = write(rows(seed=5), "other.jsonl")
    built, index = faq(rows(), wordings=held_out)
    assert built.faq.wordings == 60
    sure, unsure = index.answer("please tell me about topic3 topic3"), index.answer("where is the moon")
    assert sure.confidence > 0.8 > 0.5 > unsure.confidence


def test_few_questions_are_told(faq):
    built, index = faq(rows()[:3])
    assert any("only 3 questions" in warning for warning in built.warnings)
    assert index.answer(rows()[0]["question"]).answer == "Answer on topic0."


def test_a_single_answer_is_told(faq):
    built, _ = faq([{**row, "answer": "Yes."} for row in rows()[:4]])
    assert any("the same answer" in warning for warning in built.warnings)
    built, _ = faq(rows()[:4])
    assert not any("the same answer" in warning for warning in built.warnings)


def test_an_empty_question_is_not_known(faq):
    _, index = faq(rows()[:3])
    assert (index.answer(" ").answer, index.answer("").confidence) == (None, 0.0)


def test_texts_have_no_answers(index):
    with pytest.raises(UsageError, match="not questions with answers"):
        index.answer("anything")


def test_a_file_without_answers(write, build, tmp_path):
    with pytest.raises(DataError, match=r"pair \(the answer\)"):
        build(write([{"question": "Why?"}], "faq.jsonl"), str(tmp_path / "index"), questions=True)
    with pytest.raises(UsageError, match="no table of questions"):
        build(write("Why?", "faq.txt"), str(tmp_path / "index"), questions=True)
    with pytest.raises(UsageError, match="--faq"):
        build(write([{"text": "Why?"}], "t.jsonl"), str(tmp_path / "index"), wordings="x.csv")


def test_threshold_is_the_conformal_quantile():
    scores = list(np.linspace(0, 0.99, 100))
    edge = _threshold(scores, 0.05)
    assert sum(score >= edge for score in scores) == 4  # ceil(101 * 0.95) = 96 do not reach it
    assert _threshold([0.3], 0.05) > 0.3  # too few to promise anything but what was seen
    assert _threshold([], 0.05) == 0.0


def test_confidence_is_a_share_or_a_probability():
    plain = Calibration(threshold=0.5, unknown_rate=0.05, unknown=[0.1, 0.2, 0.3, 0.4], questions=4)
    assert [plain.confidence(s) for s in (0.0, 0.25, 0.9)] == [0.0, 0.5, 0.8], "no surer than four questions allow"
    fitted = plain.model_copy(update={"slope": 10.0, "offset": -5.0})
    assert fitted.confidence(0.5) == 0.5
    assert fitted.confidence(-1e9) < 1e-6
    assert "only 4 questions" in plain.warning() and plain.model_copy(update={"questions": 20}).warning() is None


def test_a_sample_does_not_depend_on_the_order(monkeypatch):
    monkeypatch.setattr("litebert.search.faq.ASKED", 5)
    chunks = [Chunk(str(n), 0, f"question {n // 2}", 0, 1, "f", {"answer": "a"}) for n in range(50)]
    stored = [([chunk], np.full((1, 2), n // 2, np.float32)) for n, chunk in enumerate(chunks)]
    one, other = (some_asked(order, 2) for order in (stored, stored[::-1]))
    assert one.wordings == other.wordings and len(one.wordings) == 5
    assert np.array_equal(one.vectors, other.vectors) and one.vectors.shape == (5, 2)
    assert [f"question {int(vector[0])}" for vector in one.vectors] == [w.question for w in one.wordings]
    assert some_asked([], 3).vectors.shape == (0, 3)


def test_a_few_more_questions_leave_what_was_learnt(place, write, build):
    """Asked are all questions of the index, not those of the last file."""
    other = write(
        [{"question": f"tell {topic} {topic}", "answer": f"Answer on {topic}."} for topic in TOPICS], "other.jsonl"
    )
    first, last = write(rows()[:58], "a.jsonl"), write(rows()[58:], "b.jsonl")
    options = {"questions": True, "embedder": WordCounts(size=2048)}
    before = build(first, place, wordings=other, unknown_rate=0.2, **options).faq
    assert before.given == 60 and before.unknown_rate == 0.2
    built = build(last, place, **options)
    assert built.faq.questions == 60 and built.faq.unknown_rate == 0.2 and built.faq.slope == before.slope
    assert abs(built.faq.threshold - before.threshold) < 0.05
    assert any("learnt from 60 other wordings and is kept" in warning for warning in built.warnings)
    again = build(last, place, **options)
    assert again.faq == built.faq and again.warnings == [], "nothing has changed"
    whole = build([first, last], place, wordings=other, unknown_rate=0.2, **options).faq
    assert (whole.threshold, whole.questions) == (pytest.approx(built.faq.threshold), 60)


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_a_question_without_an_answer_is_left_out(faq):
    """It would be found, and its empty answer given as known."""
    built, index = faq([*rows(), {"question": "where is my zeppelin zeppelin", "answer": " "}])
    assert (built.documents, built.empty) == (60, 1)
    assert "1 of 61 rows have no question or no answer, and were left out" in built.warnings
    assert index.answer("where is my zeppelin zeppelin").answer is None


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_other_wordings_are_read_like_the_questions(faq, write):
    named = [{"frage": row["question"], "antwort": row["answer"]} for row in rows()]
    others = [{"frage": f"tell {topic} {topic}", "antwort": f"Answer on {topic}."} for topic in TOPICS]
    others += [{"frage": "zeppelin", "antwort": "Nobody said."}, {"frage": "empty", "antwort": ""}]
    columns = parse_columns("text=frage,pair=antwort")
    built, _ = faq(named, columns=columns, wordings=write(others, "others.jsonl"))
    assert built.faq.wordings == 61 and built.faq.right == 1.0
    assert any("1 of 62 other wordings have no text or no answer" in warning for warning in built.warnings)
    assert any("1 of 61 other wordings have an answer that no question of the index has" in w for w in built.warnings)
    usual = [{"question": f"tell {topic} {topic}", "answer": f"Answer on {topic}."} for topic in TOPICS]
    built, _ = faq(named, columns=columns, wordings=write(usual, "usual.jsonl"))
    assert built.faq.wordings == 60
