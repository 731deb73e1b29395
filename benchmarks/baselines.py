"""What a model has to beat: answers without learning, and bags of words with a linear model, a count or a cosine.

Each returns the figures of its answers by the name of the metric, computed by the same code that scores the models.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from litebert.tasks.base import Score, Task
from litebert.tasks.metrics import positive_class
from litebert.tasks.reading.records import Record

Figures = dict[str, float]


@dataclass(frozen=True)
class Baseline:
    """A way of answering, and what it reaches."""

    name: str
    figures: Figures


@dataclass(frozen=True)
class Baselines:
    """What is asked of a model: to beat an answer that learns nothing from the texts, and one that knows words but no order."""

    trivial: Baseline | None
    words: Baseline | None


def baselines(task: Task, train: Sequence[Record], test: Sequence[Record]) -> Baselines | None:
    """Return the baselines of a task, learnt from the same training records; None for tasks that bring their own."""
    found = _BY_TASK.get(task.name)
    return None if found is None else found(task, train, test)


FEW = 100
"""Texts up to which a word that occurs once is kept."""

# --- Classification, regression -------------------------------------------------------------------------------------------


def _words(texts: Sequence[str]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    often = 2 if len(texts) > FEW else 1
    return TfidfVectorizer(ngram_range=(1, 2), min_df=often, sublinear_tf=True).fit(texts)


def bag_of_words(task: Any, train: Sequence[Record], test: Sequence[Record]) -> Figures:
    """Score TF-IDF of words and word pairs with a linear model; a pair's vectors stand side by side with their product."""
    from scipy.sparse import hstack
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier

    words = _words([r.text for r in train] + [r.pair or "" for r in train])

    def features(records: Sequence[Record]) -> Any:
        first = words.transform([r.text for r in records])
        if records[0].pair is None:
            return first
        second = words.transform([r.pair for r in records])
        return hstack([first, second, first.multiply(second)]).tocsr()

    if task.kind == "regression":
        model = Ridge().fit(features(train), [float(r.label) for r in train])
        scores = np.asarray(model.predict(features(test)))[:, None]
    elif task.kind == "multi":
        model = OneVsRestClassifier(LogisticRegression(max_iter=2000)).fit(features(train), _of_each(task, train))
        scores = np.asarray(model.decision_function(features(test))).reshape(len(test), -1)
    else:
        model = LogisticRegression(max_iter=2000).fit(features(train), [str(r.label) for r in train])
        scores = np.full((len(test), len(task.labels)), -30.0)  # of labels that the training records lack
        columns = [task.labels.index(label) for label in model.classes_]
        scores[:, columns] = model.predict_log_proba(features(test))
    return dict(task.score(list(scores.astype(np.float32)), test, []).evaluation.metrics)


def _of_each(task: Any, records: Sequence[Record]) -> Any:
    return np.array([task.target(record) for record in records])


def _classify(task: Any, train: Sequence[Record], test: Sequence[Record]) -> Baselines:
    words = Baseline("TF-IDF, linear model", bag_of_words(task, train, test))
    if task.kind == "regression":
        return Baselines(None, words)
    if task.kind == "multi":
        usual = np.where(_of_each(task, train).mean(axis=0) > 0.5, 30.0, -30.0).astype(np.float32)
        constant = dict(task.score([usual] * len(test), test, []).evaluation.metrics)
        return Baselines(Baseline("each label as it mostly is", constant), words)
    names = {Counter(str(r.label) for r in train).most_common(1)[0][0]: "most frequent label"}
    if (positive := positive_class(task.labels, task.decision.positive)) is not None:
        names.setdefault(task.labels[positive], "positive label")
    scores = {name: _always(task, label, test) for label, name in names.items()}
    best = max(scores, key=lambda name: scores[name].main)
    return Baselines(Baseline(best, dict(scores[best].evaluation.metrics)), words)


def _always(task: Any, label: str, test: Sequence[Record]) -> Score:
    logits = np.full(len(task.labels), -30.0, dtype=np.float32)
    logits[task.labels.index(label)] = 0.0
    return task.score([logits] * len(test), test, [])


# --- Entities -------------------------------------------------------------------------------------------------------------


def word_tags(record: Record) -> list[tuple[str, str]]:
    """Return each word of a text with its tag."""
    from litebert.tasks.ner.data import tagged_words
    from litebert.tasks.ner.tags import bio_tags

    label: Any = record.label
    words = tagged_words(record)
    starts = {start: i for i, (start, _) in enumerate(words)}
    ends = {end: i + 1 for i, (_, end) in enumerate(words)}
    spans = [(starts[s.start], ends[s.end], s.label) for s in label.entities if s.start in starts and s.end in ends]
    tags = bio_tags(spans, len(words))
    return [(record.text[start:end], tag) for (start, end), tag in zip(words, tags, strict=True)]


def _ner(task: Task, train: Sequence[Record], test: Sequence[Record]) -> Baselines:  # noqa: ARG001
    from litebert.tasks.ner.tags import entities_of

    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for record in train:
        for word, tag in word_tags(record):
            seen[word][tag] += 1
    usual = {word: tags.most_common(1)[0][0] for word, tags in seen.items()}
    right = said = gold = 0
    for record in test:
        tagged = word_tags(record)
        mine = set(entities_of([usual.get(word, "O") for word, _ in tagged]))
        true = set(entities_of([tag for _, tag in tagged]))
        right, said, gold = right + len(mine & true), said + len(mine), gold + len(true)
    figures = {
        "f1": 2 * right / max(said + gold, 1), "precision": right / max(said, 1), "recall": right / max(gold, 1),
    }  # fmt: skip
    nothing = Baseline("no entity", dict.fromkeys(figures, 0.0))
    return Baselines(nothing, Baseline("each word's most frequent tag", figures))


# --- Questions ------------------------------------------------------------------------------------------------------------


def _qa(task: Any, train: Sequence[Record], test: Sequence[Record]) -> Baselines:  # noqa: ARG001 - nothing is learnt
    from litebert.tasks.qa.metrics import normalised, scored
    from litebert.text.sentences import split_sentences

    asked = [record for record in test if record.label is not None]

    def figures(answers: Sequence[str]) -> Figures:
        golds = [record.label.texts for record in asked]  # type: ignore[union-attr]
        found = scored(answers, golds, empty=task.unanswerable)
        return {"f1": float(found.f1.mean()), "exact_match": float(found.exact.mean())}

    sentences = {text: split_sentences(text) or [text] for text in {str(record.pair) for record in asked}}

    def nearest(record: Record) -> str:
        words = set(normalised(record.text).split())
        return max(sentences[str(record.pair)], key=lambda sentence: len(words & set(normalised(sentence).split())))

    if task.unanswerable:
        trivial = Baseline("no answer", figures([""] * len(asked)))
    else:
        trivial = Baseline("first sentence", figures([sentences[str(record.pair)][0] for record in asked]))
    return Baselines(trivial, Baseline("sentence that shares most words", figures([nearest(r) for r in asked])))


def _choice(task: Task, train: Sequence[Record], test: Sequence[Record]) -> Baselines:  # noqa: ARG001
    from litebert.text.sentences import split_sentences

    gold = np.array([int(str(record.label)) for record in test])
    most = Counter(int(str(record.label)) for record in train).most_common(1)[0][0]
    contexts = {record.pair or "" for record in test}
    sentences = {text: split_sentences(text) or [text] for text in contexts}
    vectors = _unigrams([sentence for parts in sentences.values() for sentence in parts])
    context = {text: vectors.transform(parts) for text, parts in sentences.items()}
    chosen = []
    for record in test:
        options = vectors.transform([f"{record.text} {option}" for option in record.extra["options"]])
        chosen.append(int((options @ context[record.pair or ""].T).max(axis=1).toarray().argmax()))
    return Baselines(
        Baseline("most frequent place", {"accuracy": float((gold == most).mean())}),
        Baseline("TF-IDF, nearest sentence", {"accuracy": float((gold == np.array(chosen)).mean())}),
    )


# --- Pairs ----------------------------------------------------------------------------------------------------------------


def _unigrams(texts: Sequence[str]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True).fit(texts)


def cosines(train: Sequence[Record], test: Sequence[Record]) -> np.ndarray:
    """Return the TF-IDF cosine (N,) of each pair, weighted by the texts of both parts: their labels are not looked at."""
    records = [*train, *test]
    words = _unigrams(list({r.text for r in records} | {r.pair or "" for r in records}))
    first, second = (words.transform([getattr(r, name) or "" for r in test]) for name in ("text", "pair"))
    return np.asarray(first.multiply(second).sum(axis=1)).ravel()


def _rerank(task: Any, train: Sequence[Record], test: Sequence[Record]) -> Baselines:
    from litebert.tasks.rerank.queries import by_query
    from litebert.tasks.rerank.ranking import ranking_figures

    groups = [np.array(group) for group in by_query(test)]
    labels = np.array([float(str(r.label)) for r in test])
    grades = labels.astype(int) if (labels == labels.round()).all() else (labels >= task.top_grade / 2).astype(int)
    found = cosines(train, test)

    def figures(scores: Callable[[np.ndarray], np.ndarray]) -> Figures:
        return ranking_figures([grades[g] for g in groups], [scores(g) for g in groups]).metrics

    given = figures(lambda group: -np.arange(len(group), dtype=float))
    return Baselines(
        Baseline("order given", given), Baseline("TF-IDF cosine", figures(lambda group: found[group].astype(float)))
    )


def _embed(task: Task, train: Sequence[Record], test: Sequence[Record]) -> Baselines:  # noqa: ARG001
    from litebert.tasks.metrics import regression_metrics

    gold = [float(str(r.label)) for r in test]
    return Baselines(None, Baseline("TF-IDF cosine", dict(regression_metrics(gold, cosines(train, test)))))


_BY_TASK: dict[str, Callable[[Any, Sequence[Record], Sequence[Record]], Baselines]] = {
    "classify": _classify, "ner": _ner, "qa": _qa, "choice": _choice, "rerank": _rerank, "embed": _embed,
}  # fmt: skip
