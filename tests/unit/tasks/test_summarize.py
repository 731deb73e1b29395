"""Summaries: which sentences are learnt, how they are cut into windows, chosen and read back; the graph; the files."""

import json
import re
import tarfile
from itertools import pairwise

import numpy as np
import pytest
import torch

from litebert.errors import ConfigError, DataError, UsageError
from litebert.model.heads import IGNORED
from litebert.tasks.base import Passes
from litebert.tasks.examples import TextSettings, WindowCount, collate
from litebert.tasks.model_folder import load_zero_shot
from litebert.tasks.official.bbc_summaries import SPLITS, BbcSummaryFiles
from litebert.tasks.reading.documents import of_sentences, spans_of
from litebert.tasks.reading.records import Record, parse_columns
from litebert.tasks.summarize.choice import Budget, chosen_sentences
from litebert.tasks.summarize.data import Summary, oracle, read_documents, stream_documents, summary_of, verbatim
from litebert.tasks.summarize.graph import GraphOptions, above_median, pagerank, ranked, shared_words
from litebert.tasks.summarize.task import WEIGHTS, ScorerOptions, SummarizeTask, sentence_windows, weighed
from litebert.text import AlbertTokenizer

SENTENCES = ["The cat sat on the mat.", "Dogs bark.", "The mayor opened the new bridge on Monday.", "It rained."]


@pytest.fixture(scope="module")
def tokenizer():
    return AlbertTokenizer.bundled()


def document(rng, count):
    words = ["river", "stone", "bridge", "council", "walked", "slowly", "because", "rain"]
    return " ".join(" ".join(rng.choice(words, rng.integers(2, 9))).capitalize() + "." for _ in range(count))


# --- What is learnt -------------------------------------------------------------------------------------------------------


def test_extracted_sentences_are_found_however_they_are_glued():
    assert verbatim(SENTENCES, "The mayor opened the new bridge on Monday.The cat  sat\non the mat.") == (0, 2)
    assert verbatim(SENTENCES, "It rained.") == (3,)
    assert verbatim(SENTENCES, "The mayor opened a bridge. It rained.") == ()  # the greater part is in other words
    assert verbatim(["No.", "No, he said."], "No, he said.") == (1,), (
        "a sentence inside another one is not there by itself"
    )
    assert verbatim(SENTENCES, "  ") == () and verbatim([], "a") == ()


def test_the_oracle_is_greedy_and_stops():
    assert oracle(SENTENCES, "A cat on a mat; the mayor opened a bridge") == (0, 2)
    assert oracle(SENTENCES, "the mayor opened the new bridge") == (2,), "nothing that only lowers the precision"
    assert oracle(SENTENCES, "xyz") == () and oracle([], "cat") == () and oracle(["..."], "cat") == ()


def test_the_oracle_is_liu_and_lapatas():
    """Against a plain transcription of what it should be: the best sentence by ROUGE-1 + ROUGE-2 of sets, again and again."""
    rng = np.random.default_rng(0)

    def value(chosen, sentences, reference):
        total = 0.0
        for n in (1, 2):

            def grams(text, n=n):
                words = text.lower().replace(".", "").split()
                return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

            mine = set().union(*(grams(sentences[i]) for i in chosen)) if chosen else set()
            its = grams(reference)
            total += 2 * len(mine & its) / max(len(mine) + len(its), 1)
        return total

    for _ in range(30):
        sentences = [s + "." for s in document(rng, 7).split(".")[:-1]]
        reference = document(rng, 2).replace(".", "")
        chosen, best = [], 0.0
        while len(chosen) < len(sentences):
            scored = {i: value([*chosen, i], sentences, reference) for i in range(len(sentences)) if i not in chosen}
            winner = max(scored, key=scored.get)
            if scored[winner] <= best + 1e-12:
                break
            best = scored[winner]
            chosen.append(winner)
        assert oracle(sentences, reference) == tuple(sorted(chosen))


# --- Windows --------------------------------------------------------------------------------------------------------------


def test_windows_of_whole_sentences_cover_all_and_advance():
    rng = np.random.default_rng(0)
    for _ in range(200):
        lengths = rng.integers(3, 21, rng.integers(1, 30)).tolist()
        parts = sentence_windows(lengths, 20 + int(rng.integers(0, 30)), int(rng.integers(0, 30)))
        covered = [i for part in parts for i in range(part.start, part.stop)]
        assert set(covered) == set(range(len(lengths)))
        assert all(b.stop > a.stop and b.start > a.start for a, b in pairwise(parts))
    assert sentence_windows([5, 5, 5, 5], 10, 5) == [slice(0, 2), slice(1, 3), slice(2, 4)]
    assert sentence_windows([5, 5, 5, 5], 10, 4) == [slice(0, 2), slice(2, 4)]
    assert sentence_windows([5, 5, 10, 5], 10, 5) == [slice(0, 2), slice(2, 3), slice(3, 4)]
    assert sentence_windows([], 10, 5) == []


def test_layout_is_bertsums(tokenizer):
    """[CLS] before and [SEP] behind every sentence, types in turn (Liu & Lapata 2019, figure 1)."""
    record = Record("One is here. Two. Three is there.")
    (example,) = SummarizeTask().examples([record], tokenizer, TextSettings(max_length=64), count=WindowCount())
    ((ids, types),) = example.windows
    starts = [i for i, token in enumerate(ids) if token == tokenizer.cls_id]
    assert [place for _, place in example.detail.places] == starts and starts[0] == 0 and len(starts) == 3
    assert all(ids[start - 1] == tokenizer.sep_id for start in starts[1:]) and ids[-1] == tokenizer.sep_id
    assert types == [0] * starts[1] + [1] * (starts[2] - starts[1]) + [0] * (len(ids) - starts[2])


def test_every_sentence_is_learnt_once_and_read_back(tokenizer):
    """Outputs that are the targets give the labelled sentences back, across windows."""
    rng = np.random.default_rng(1)
    records, task = [], SummarizeTask(ScorerOptions(ratio=1.0))
    for _ in range(6):
        record = Record(document(rng, 25))
        sentences = [record.text[a:b] for a, b in spans_of(record)]
        wanted = sorted(rng.choice(25, 5, replace=False).tolist())
        records.append(Record(record.text, label=Summary(tuple(sentences[i] for i in wanted), tuple(wanted))))
    settings, count = TextSettings(max_length=40, stride=16), WindowCount()
    examples = task.examples(records, tokenizer, settings, count=count)
    trained = task.training_examples(records, tokenizer, settings, count=WindowCount())
    assert count.windowed == 6 and all(len(ids) <= 40 for e in examples for ids, _ in e.windows)
    assert sum(int((e.target != IGNORED).sum()) for e in trained) == 6 * 25
    assert sum(int((e.target == 1).sum()) for e in trained) == 6 * 5
    by_window = {tuple(e.windows[0][0]): e.target for e in trained}
    outputs = []
    for example in examples:
        rows = np.full((len(example.windows), 40), -9.0, dtype=np.float32)
        for row, (ids, _) in enumerate(example.windows):
            target = by_window.get(tuple(ids))
            if target is not None:
                rows[row, : len(ids)][target == 1] = 9.0
        outputs.append(rows)
    for answer, record in zip(task.answer(outputs, examples), records, strict=True):
        assert all(record.text[s.start : s.end] == s.sentence for s in answer.sentences)
        assert tuple(i for i, s in enumerate(answer.sentences) if s.score > 0.5) == record.label.chosen
    five = SummarizeTask(ScorerOptions(sentences=5))
    score = five.score(outputs, records, examples)
    assert score.main == 1.0 and score.evaluation.metrics["rougeLsum"] == 1.0
    assert score.evaluation.baseline["lead"] < 0.9


def test_the_loss_is_of_sentences_only(tokenizer):
    rng = np.random.default_rng(2)
    records = [summarised(Record(document(rng, n)), [0, 2]) for n in (4, 9)]
    task = SummarizeTask()
    examples = task.training_examples(records, tokenizer, TextSettings(max_length=32), count=WindowCount())
    batch = collate(examples, tokenizer.pad_id)
    logits = torch.randn(batch["labels"].shape)
    there = batch["labels"] != IGNORED
    assert (batch["input_ids"][there] == tokenizer.cls_id).all() and task.weight(batch) == 13
    p, y = logits[there].double().sigmoid(), batch["labels"][there].double()
    expected = -(y * p.log() + (1 - y) * (1 - p).log()).sum()
    assert float(task.loss(logits, batch)) == pytest.approx(float(expected), rel=1e-5)
    assert task.chance(examples) == pytest.approx(-(4 / 13) * np.log(4 / 13) - (9 / 13) * np.log(9 / 13))
    assert (
        float(task.distance(logits, logits)) == pytest.approx(0, abs=1e-3) and float(task.distance(logits, -logits)) > 1
    )


def summarised(record, numbers):
    sentences = [record.text[a:b] for a, b in spans_of(record)]
    return Record(record.text, label=Summary(tuple(sentences[i] for i in numbers), tuple(numbers)))


def test_empty_short_and_endless_documents(tokenizer):
    task, count = SummarizeTask(), WindowCount()
    records = [Record(""), Record(" \n"), Record("One."), Record("word " * 300 + "end. Short one.")]
    examples = task.examples(records, tokenizer, TextSettings(max_length=32), count=count)
    assert count.truncated == 1  # the sentence that no window holds
    outputs = [np.zeros((len(e.windows), 32), dtype=np.float32) for e in examples]
    found = [answer.to_dict() for answer in task.answer(outputs, examples)]
    assert found[0] == found[1] == {"summary_text": "", "sentences": []}
    assert found[2]["summary_text"] == "One." and len(found[3]["sentences"]) == 2


def test_what_teaches_nothing_is_left_out(tokenizer):
    kept, strange = summarised(Record("One is here. Two."), [1]), Record("a b.", label=Summary(("xyz",), ()))
    task = SummarizeTask()
    found = task.training_examples([kept, strange], tokenizer, TextSettings(max_length=32), count=WindowCount())
    assert len(found) == 1
    with pytest.raises(DataError, match="no document shares"):
        task.training_examples([strange], tokenizer, TextSettings(max_length=32), count=WindowCount())
    with pytest.raises(DataError, match="one text"):
        task.examples([Record("a", pair="b")], tokenizer, TextSettings(), count=WindowCount())


# --- The graph beside the scorer ------------------------------------------------------------------------------------------


def test_weighed_goes_from_the_scorer_to_the_graph():
    logits, central = np.array([2.0, -np.inf, -1.0, 0.5]), np.array([0.1, 0.2, 0.4, 0.3])
    assert weighed(logits, central, 0.0) is logits
    found = [weighed(logits, central, w) for w in (0.25, 0.5, 1.0)]
    assert all(one[1] == -np.inf and np.isfinite(one[[0, 2, 3]]).all() for one in found)
    assert [list(np.argsort(one[[0, 2, 3]])) for one in (logits, found[-1])] == [[1, 2, 0], [0, 2, 1]]
    known = [0, 2, 3]
    assert found[-1][known].mean() == pytest.approx(logits[known].mean()) and found[-1][known].std() == pytest.approx(
        logits[known].std()
    )
    assert weighed(logits[:1], central[:1], 0.5) == logits[:1]
    assert list(np.argsort(weighed(np.zeros(3), np.array([0.3, 0.1, 0.6]), 0.5))) == [1, 0, 2], (
        "a scorer that says nothing"
    )


def test_the_weight_is_what_held_out_documents_want(tokenizer):
    """Where the references are the central sentences the graph decides, where they are what the scorer says it is not asked."""
    text = (
        "Rain fell. The old bridge fell into the river. The bridge over the river was old. Dogs slept. Tea was served."
    )
    central, others = summarised(Record(text), [1, 2]), summarised(Record(text), [0, 3])
    settings = TextSettings(max_length=64)
    task = SummarizeTask(ScorerOptions(sentences=2))
    (example,) = task.examples([central], tokenizer, settings, count=WindowCount())
    outputs = np.zeros((1, 64), dtype=np.float32)
    for number, (_, place) in enumerate(example.detail.places):
        outputs[0, place] = 2.0 if number in (0, 3) else -2.0
    tuned = task.tune([outputs], [central], [example])
    assert tuned.options.graph_weight == 0.75 == max(WEIGHTS)
    score = tuned.score([outputs], [central], [example])
    assert score.main == 1.0 and task.score([outputs], [central], [example]).main < 0.5
    assert task.tune([outputs], [others], [example]).options.graph_weight == 0.0
    given = SummarizeTask(ScorerOptions(sentences=2, graph_weight=0.5))
    assert given.tune([outputs], [others], [example]) == given
    assert (
        SummarizeTask.from_dict(tuned.to_dict()) == tuned
        and tuned.for_call({"graph_weight": 0}).options.graph_weight == 0
    )


def test_a_folder_from_before_the_graph_answers_as_it_did():
    old = {
        "name": "summarize",
        "labels": ["in_summary"],
        "sentences": 2,
        "ratio": None,
        "words": None,
        "block_ngrams": 0,
    }
    assert SummarizeTask.from_dict(old) == SummarizeTask(ScorerOptions(sentences=2))


# --- Choosing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "chosen"),
    [
        ({}, [0, 2, 3]),
        ({"sentences": 1}, [2]),
        ({"sentences": 9}, [0, 1, 2, 3]),
        ({"ratio": 0.5}, [0, 2]),
        ({"ratio": 0.01}, [2]),
        ({"words": 9}, [2]),  # eight words; nothing else fits
        ({"words": 10}, [2, 3]),  # passes over the six words of the first
        ({"words": 1}, [2]),
    ],
)
def test_lengths(budget, chosen):
    assert chosen_sentences(SENTENCES, np.array([0.8, 0.1, 0.9, 0.5]), Budget(**budget)) == chosen


def test_equal_scores_prefer_the_beginning():
    assert chosen_sentences(SENTENCES, np.zeros(4), Budget(sentences=2)) == [0, 1]


def test_trigrams_are_blocked():
    sentences = ["A b c d.", "x B C D y", "a b d c"]
    scores = np.array([3.0, 2.0, 1.0])
    assert chosen_sentences(sentences, scores, Budget(sentences=2, block_ngrams=3)) == [0, 2]
    assert chosen_sentences(sentences, scores, Budget(sentences=2)) == [0, 1]
    assert chosen_sentences(sentences, scores, Budget(sentences=3, block_ngrams=3)) == [0, 2], (
        "shorter rather than twice"
    )


def test_diversity_passes_over_what_is_alike():
    likeness = np.array([[1, 0.9, 0.1], [0.9, 1, 0.1], [0.1, 0.1, 1]])
    scores = np.array([3.0, 2.9, 2.0])

    def ask(diversity):
        budget = Budget(sentences=2)
        return chosen_sentences(list("abc"), scores, budget, likeness=likeness, diversity=diversity)

    assert ask(0.0) == [0, 1] and ask(0.6) == [0, 2]


def test_one_length_and_calls_change_it():
    with pytest.raises(ConfigError, match="one length"):
        SummarizeTask.from_records([], {"sentences": 2, "words": 10})
    with pytest.raises(ConfigError, match="no option 'kind'"):
        SummarizeTask.from_records([], {"kind": "single"})
    task = SummarizeTask.from_records([], {"ratio": 0.2, "block_ngrams": 3})
    assert SummarizeTask.from_dict(json.loads(json.dumps(task.to_dict()))) == task
    assert task.for_call({"words": 50}).options == ScorerOptions(words=50, block_ngrams=3)
    assert task.for_call({"block_ngrams": 0}).options == ScorerOptions(ratio=0.2)
    assert task.for_call({}).options == task.options
    with pytest.raises(UsageError, match="query"):
        task.for_call({"query": "rain"})


# --- Graph ----------------------------------------------------------------------------------------------------------------


def test_pagerank_is_the_stationary_state():
    rng = np.random.default_rng(0)
    edges = rng.random((6, 6)) * (rng.random((6, 6)) > 0.4)
    np.fill_diagonal(edges, 0)
    edges[3] = 0  # leads anywhere
    home = rng.random(6)
    for start in (None, home):
        rank = pagerank(edges, 0.85, home=start)
        steps = np.where(edges.sum(1, keepdims=True) > 0, edges / edges.sum(1, keepdims=True).clip(1e-12), 1 / 6)
        base = np.full(6, 1 / 6) if start is None else home / home.sum()
        exact = np.linalg.solve((np.eye(6) - 0.85 * steps).T, 0.15 * base)
        assert rank == pytest.approx(exact, abs=1e-7) and rank.sum() == pytest.approx(1)
    assert pagerank(np.zeros((3, 3)), 0.85) == pytest.approx([1 / 3] * 3)


def test_textranks_likeness():
    """Formula of Mihalcea & Tarau 2004, section 4.1."""
    edges = shared_words([{"a", "b", "c"}, {"b", "c", "d", "e"}, {"a"}, set()])
    assert edges[0, 1] == edges[1, 0] == pytest.approx(2 / (np.log(3) + np.log(4)))
    assert edges[0, 2] == 0 and not np.diag(edges).any()


def test_only_pairs_above_the_median_are_edges():
    cosines = np.array([[1, 0.99, 0.97], [0.99, 1, 0.98], [0.97, 0.98, 1]])
    edges = above_median(cosines)
    assert edges[0, 1] == pytest.approx(0.01) and edges[0, 2] == 0 and edges[1, 2] == 0 and not np.diag(edges).any()


def test_the_centre_wins_and_a_query_moves_it():
    options = GraphOptions(sentences=1)
    axes = np.eye(4, 8)
    hub = axes[:3].sum(0)
    vectors = np.stack([axes[0] + 0.1 * axes[3], hub, axes[1] + 0.1 * axes[3], axes[2] + 0.1 * axes[3], axes[3]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores, _ = ranked(list("abcde"), options, vectors=vectors)
    assert scores.argmax() == 1 and scores.sum() == pytest.approx(1)
    scores, _ = ranked(list("abcde"), options, vectors=vectors, query=axes[3])
    assert scores.argmax() == 4
    scores, _ = ranked(["rain fell", "rain and rain", "the sun shone"], GraphOptions(method="words", query="sunny sun"))
    assert scores.argmax() == 2
    scores, _ = ranked(list("abc"), GraphOptions(method="lead"))
    assert scores.tolist() == sorted(scores, reverse=True) and ranked([], options, vectors=vectors[:0])[0].shape == (0,)


def test_the_graph_answers_every_document(pretrained):
    loaded = load_zero_shot(pretrained, "summarize")
    text = "It rained.\tWe stayed in and read. Then it stopped! Nobody went out. The end."
    given = of_sentences(["One. Still one.", "Two", ""])
    records = [Record(""), Record(text), Record("One."), given]
    for options in ({}, {"words": 5}, {"query": "rain", "diversity": 0.5}, {"method": "words"}, {"method": "lead"}):
        empty, whole, one, own = loaded.answer(records, Passes(), options)
        assert empty.sentences == () and one.summary_text == "One."
        assert all(text[s.start : s.end] == s.sentence for s in whole.sentences)
        assert [s.start for s in whole.sentences] == sorted(s.start for s in whole.sentences)
        assert {s.sentence for s in own.sentences} <= {"One. Still one.", "Two"}
    assert loaded.answer([Record(text)], Passes(), {"method": "lead"})[0].summary_text.startswith(
        "It rained. We stayed"
    )
    with pytest.raises(ConfigError, match="Did you mean 'sentences'"):
        loaded.answer(records, Passes(), {"sentence": 2})
    with pytest.raises(DataError) as caught:
        loaded.answer([Record("a", pair="b", line=3)], Passes(), {})
    assert caught.value.line == 3


# --- Files ----------------------------------------------------------------------------------------------------------------


def test_json_lines_of_every_kind(tmp_path):
    path = tmp_path / "a.jsonl"
    text = " ".join(SENTENCES)
    rows = [
        {"id": 7, "article": text, "highlights": "A cat on a mat.\nThe mayor opened a bridge."},
        {"document": text, "summary": ["It rained."]},
        {"text": text, "extracted": [2, 0]},
        {"text": text, "extracted": ["It  rained.", SENTENCES[0]], "summary": "Rain and cats."},
        {"sentences": SENTENCES, "labels": [0, 0, 1, 0]},
        {"sentences": SENTENCES[:2], "extracted": [0, 1]},
        {"text": text, "label": [0, 0, 0, 1]},
        {"text": text, "sentences": SENTENCES, "labels": "[1, 0, 0, 0]"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    warnings = []
    records = read_documents(path, labels_required=True, warnings=warnings)
    assert [r.label.chosen for r in records] == [
        (0, 2),
        (3,),
        (0, 2),
        (0, 3),
        (2,),
        (0, 1),
        (3,),
        (0,),
    ] and warnings == []
    assert records[0].id == 7 and records[0].label.sentences == ("A cat on a mat.", "The mayor opened a bridge.")
    assert records[3].label.text == "Rain and cats." and records[2].label.sentences == (SENTENCES[0], SENTENCES[2])
    assert [records[4].text[a:b] for a, b in spans_of(records[4])] == SENTENCES
    assert records[7].text == text and [text[a:b] for a, b in spans_of(records[7])] == SENTENCES


def test_places_are_told_in_the_text_that_is_given(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "Ok.  No.", "sentences": ["No.", "Ok."], "summary": "No."}) + "\n")
    with pytest.raises(
        DataError, match=re.escape("the sentence 'Ok.' is not in the text, or not behind the one before it")
    ):
        list(stream_documents(path, columns=None, format=None, labelled=False))
    (record,) = read_documents(path, labels_required=True, warnings=[])
    assert record.text == "No.\nOk." and record.label.chosen == (0,), "to learn from they are fine"


def test_tables_and_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('story,short\n"It rained. We left.",It rained.\n')
    (record,) = read_documents(path, columns=parse_columns("text=story,label=short"), labels_required=True, warnings=[])
    assert record.label.chosen == (0,)
    path.write_text('"It rained. We left.",We left.\n')
    (record,) = read_documents(path, columns=parse_columns("text=0,label=1"), labels_required=True, warnings=[])
    assert record.label.chosen == (1,)
    lines = tmp_path / "a.txt"
    lines.write_text("One. Two.\n\nThree.\n")
    found = list(stream_documents(lines, columns=None, format=None, labelled=False))
    assert [r.text for r in found] == ["One. Two.", "", "Three."] and all(r.label is None for r in found)


def test_what_cannot_be_learnt_is_counted(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [
        ("It rained.", "xyz abc"),
        ("", "a"),
        ("It rained.", "It rained and rained and we all got wet."),
        ("Ok. No.", "No."),
    ]
    path.write_text("".join(json.dumps({"text": t, "summary": s}) + "\n" for t, s in rows))
    warnings = []
    records = read_documents(path, labels_required=True, warnings=warnings)
    assert len(records) == 3
    assert [w.split(": ", 1)[1] for w in warnings] == [
        "1 of 4 documents have no text and are skipped (first: line 2)",
        "1 of 3 documents share nothing with their summaries and are not trained on (first: line 1)",
        "1 of 3 summaries are longer than their documents",
    ]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"title": "a", "summary": "b"}, "no text among 'title', 'summary'"),
        ({"text": 5, "summary": "b"}, "the text is a number"),
        ({"text": "a.", "summary": 5}, "the summary is a number"),
        ({"text": "a."}, "has no summary"),
        ({"text": "a.", "extracted": [1]}, "1 is none of the document's 1 sentences"),
        ({"text": "a.", "extracted": ["b."]}, "'b.' is none of"),
        ({"text": "a.", "extracted": "[1"}, "no JSON list"),
        ({"sentences": ["a", 3], "labels": [1, 0]}, "no list of texts"),
        ({"sentences": ["a", "b", "c"], "labels": [0, 1]}, "there are 2 labels for 3 sentences"),
        ({"sentences": ["a", "b"], "extracted": [[0], [1]]}, "[0] is none of"),
    ],
)
def test_bad_rows(tmp_path, row, says):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=re.escape(says)) as caught:
        read_documents(path, labels_required=True, warnings=[])
    assert caught.value.line == 1 and str(caught.value.path).endswith("a.jsonl")


@pytest.fixture
def bbc(tmp_path):
    """Thirty articles and a copy of one, packed as the published archive is."""
    home = tmp_path / "BBC News Summary"
    rng = np.random.default_rng(3)
    for kind in ("News Articles", "Summaries"):
        (home / kind / "tech").mkdir(parents=True)
    for number in range(31):
        body = document(np.random.default_rng(number % 30), 6)
        sentences = [s.strip() + "." for s in body.split(".")[:-1]]
        (home / "News Articles" / "tech" / f"{number:03}.txt").write_text(f"Headline {number}\n\n{body}\n")
        (home / "Summaries" / "tech" / f"{number:03}.txt").write_text(sentences[4] + sentences[int(rng.integers(0, 3))])
    (home / "News Articles" / "tech" / "001.txt").write_bytes("Head\n\nIt cost £5. We left.".encode("cp1252"))
    (home / "Summaries" / "tech" / "001.txt").write_bytes(b"We left.")
    (home / "Summaries" / "tech" / "002.txt").unlink()
    packed = tmp_path / "packed"
    packed.mkdir()
    with tarfile.open(packed / "bbc.tar.xz", "w:xz") as archive:
        archive.add(home, "BBC News Summary")
    return packed, home


def test_the_archive_and_its_splits(bbc):
    data, found, warnings = BbcSummaryFiles(), {}, []
    packed, home = bbc
    for split in SPLITS:
        found[split] = data.read(packed, split, warnings=warnings)
        assert data.read(home, split, warnings=[]) == found[split]
    ids = [record.id for records in found.values() for record in records]
    assert len(ids) == len(set(ids)) == 30 and "tech/002.txt" not in ids and len(found["train"]) > len(found["test"])
    assert any("Windows-1252: 1" in w for w in warnings) and any("skipped: 1" in w for w in warnings)
    assert (
        sum(
            "tech/000.txt" in {r.id for r in records} and "tech/030.txt" in {r.id for r in records}
            for records in found.values()
        )
        == 1
    )
    one = next(r for records in found.values() for r in records if r.id == "tech/001.txt")
    assert one.text == "It cost £5. We left." and one.label.chosen == (1,)
    assert data.files(packed, "test") == [packed / "bbc.tar.xz"] and data.files(home, "test") == []
    with pytest.raises(DataError, match="no archive"):
        data.read(packed.parent / "BBC News Summary" / "Summaries", "test", warnings=[])


def test_summaries_of_other_tasks_are_refused():
    from litebert.tasks.qa.task import QaTask

    data = BbcSummaryFiles()
    assert data.task().options == ScorerOptions(ratio=0.4)
    assert data.task_with({"words": 50}).options == ScorerOptions(words=50)
    assert data.task_with({"graph_weight": 0.5}).options == ScorerOptions(ratio=0.4, graph_weight=0.5)
    with pytest.raises(UsageError, match="answers qa"):
        data.of_model(QaTask())


def test_a_label_keeps_the_order_of_the_document():
    record = Record(" ".join(SENTENCES))
    assert summary_of(record, "It rained. Dogs bark.") == Summary(("Dogs bark.", "It rained."), (1, 3))
